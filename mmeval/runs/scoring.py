"""Scores and reports of a run folder, made from its predictions: no model, no data set."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmeval.api.spec import MetricSpec
from mmeval.console import note, progress
from mmeval.data.open.resolve import resolve_spec
from mmeval.data.request import DatasetRequest
from mmeval.errors import PluginError, RunFolderError
from mmeval.files import write_text
from mmeval.metrics.predictions import RERUN_ADVICE, read_predictions
from mmeval.metrics.scores import METRICS, RunColumns, score, total_resamples, write_scores
from mmeval.plugin import onefile
from mmeval.plugin.manager import Manager
from mmeval.plugin.onefile import SUFFIX
from mmeval.record import Record
from mmeval.report.html import html
from mmeval.report.markdown import markdown
from mmeval.runs.folder import UNVERIFIED, RunFolder
from mmeval.runs.manifest import CHANGED, differences, listed


def write_scores_of(folder: RunFolder, record: Record, metrics: Sequence[MetricSpec] = ()) -> None:
    """Make ``scores.parquet`` from the predictions of all seeds.

    Raises:
        RunFolderError: predictions are missing or bad.
    """
    protocol = record.plan.protocol
    files = {seed: folder.predictions_file(seed) for seed in protocol.seeds}
    folder.require(*files.values())
    predictions = {seed: read_predictions(file, metrics) for seed, file in files.items()}
    first = next(iter(predictions.values()))
    for seed, one in predictions.items():
        if one.ids != first.ids:
            raise RunFolderError(
                f"{files[seed]} is of other examples than {next(iter(files.values()))}; {RERUN_ADVICE}."
            )
    columns = RunColumns(
        run=record.name,
        model=record.plan.plugin.name,
        dataset=protocol.dataset,
        split=protocol.split,
        inputs=protocol.inputs.value,
    )
    with progress("Bootstrap", total_resamples(predictions), "resamples") as advance:
        table = score(columns, predictions, metrics, advance=advance)
    write_scores(folder.scores_file, table)


def plugin_metrics(manager: Manager) -> tuple[MetricSpec, ...]:
    """The metrics of the loaded plugins.

    Raises:
        PluginError: one has the name of a built-in metric.
    """
    for metric in manager.metrics():
        if metric.name in METRICS:
            raise PluginError(
                f'{metric.distribution} registers the metric "{metric.name}", which mmeval has itself; '
                "its authors must rename it."
            )
    return manager.metrics()


@dataclass(frozen=True)
class Named:
    """The plugins that a user names beside a run folder; files that only its record names are not run."""

    metrics: tuple[str, ...] = ()
    plugin: str | None = None
    dataset: str | None = None


def with_metrics(record: Record, named: Named) -> tuple[Record, tuple[MetricSpec, ...]]:
    """The record of a run that is also scored with the metrics that a user names, and all metrics of that record.

    Metrics that the run was scored with before are loaded from installed plugins, and from files only where the user
    names them.

    Raises:
        PluginError: a metric comes from a file that isn't named, can't be loaded, or is no longer there.
    """
    manager = Manager()
    added = {name: manager.metric(name).name for name in named.metrics}
    if named.plugin:
        manager.model(named.plugin)
    if named.dataset:
        resolve_spec(named.dataset, manager)
    plugins = [*record.metric_plugins, *(name for name in added if name not in record.metric_plugins)]
    metrics = [*record.metrics, *(name for name in added.values() if name not in record.metrics)]
    found = _recorded_metrics(record, manager)
    specs = tuple(found[name] if name in found else manager.metric(name) for name in metrics)
    for spec in specs:
        _say_if_other(spec, record.metric_origins.get(spec.name, ""))
    origins = {spec.name: spec.origin for spec in specs}
    return record.model_copy(update={"metric_plugins": plugins, "metrics": metrics, "metric_origins": origins}), specs


def _recorded_metrics(record: Record, manager: Manager) -> dict[str, MetricSpec]:
    """All metrics at hand, by name, once those of the record are loaded; ``manager`` holds what the user named."""

    def at_hand() -> dict[str, MetricSpec]:
        return {metric.name: metric for metric in plugin_metrics(manager)}

    def installed(name: str) -> bool:
        return bool(name) and not onefile.is_file(name)

    needed = set(record.metrics)
    if not needed <= at_hand().keys():
        for name in filter(installed, record.metric_plugins):
            manager.metric(name)
    if not needed <= at_hand().keys():
        # Brought by the model or the data set, which need not be there otherwise.
        if installed(record.plugin):
            manager.model(record.plugin)
        dataset = DatasetRequest(record.dataset or record.plan.protocol.dataset)
        if installed(dataset.name) and not dataset.is_table:
            resolve_spec(dataset.name, manager)
    found = at_hand()
    if missing := [name for name in record.metrics if name not in found]:
        raise PluginError(_where_from(record, missing, manager.names_of_files))
    return found


def _where_from(record: Record, missing: Sequence[str], loaded: Collection[str]) -> str:
    """Which files recorded metrics came from, and the options that name them."""
    options = {record.plugin: "--plugin", record.dataset: "--dataset"} | dict.fromkeys(
        record.metric_plugins, "--metric"
    )
    files = [name for name in options if name.endswith(SUFFIX) and str(Path(name).resolve()) not in loaded]
    needed: dict[str, str] = {}
    for metric in missing:
        origin = Path(record.metric_origins.get(metric, "").rpartition("+")[0])
        came_from = [name for name in options if name.endswith(SUFFIX) and Path(name).name == origin.name]
        alike = sorted(files, key=lambda name: (Path(name) != origin, Path(name).name != origin.name))
        if not alike or (came_from and not set(came_from) & set(files)):
            by = " and ".join(dict.fromkeys([record.plugin, *record.metric_plugins]))
            return f'The metric "{metric}" of this run is no longer brought by {by}.'
        needed[metric] = alike[0]
    named = list(dict.fromkeys(needed.values()))
    metrics = " and ".join(f'"{metric}"' for metric in needed)
    add = " ".join(f"{options[name]} {name}" for name in named)
    many, several = len(needed) > 1, len(named) > 1
    return (
        f"The metric{'s' if many else ''} {metrics} of this run come{'' if many else 's'} from the "
        f"file{'s' if several else ''} {' and '.join(named)}, and mmeval runs no file that only a run folder names; "
        f"if you trust {'them' if several else 'it'}, add {add}."
    )


def _say_if_other(spec: MetricSpec, recorded: str) -> None:
    """One line where a metric isn't what the run was scored with before: another text of its file, another version."""
    now, before = (text.rpartition("+")[2] or text for text in (spec.origin, recorded))
    if recorded and now != before:
        note(f"The metric {spec.name} was {recorded} when this run was scored; now it is {spec.origin}.")


def check_files(folder: RunFolder, record: Record, remade: Collection[Path]) -> None:
    """Hold every file of a finished run against its record, before views are made again from some of them.

    Args:
        folder: the run folder.
        record: its record; one of schema 1 has no digests, which is said.
        remade: the files that are about to be written anew, whose changes are only said.

    Raises:
        RunFolderError: predictions, scores or the gallery were changed and aren't about to be written anew.
    """
    if record.schema_version == 1:
        note(f"{folder.path}: its files are {UNVERIFIED}.")
        return
    wrong = differences(folder.path, record.files)
    again = {folder.scores_file, folder.report_path, folder.readme_file}.intersection(remade)
    names = {path.relative_to(folder.path).as_posix() for path in again}
    if said := {name: what for name, what in wrong.items() if name in names}:
        note(f"{folder.path}: {listed(said)}; made again.")
    # What is missing and needed is an error of its own, where it is read.
    needed = {name for name in wrong if _is_read(folder, name) and wrong[name] != CHANGED}
    if folder.scores_file not in remade:
        needed -= {name for name in needed if name.startswith("predictions/")}
    others = {name: what for name, what in wrong.items() if name not in names | needed}
    refused = {name: what for name, what in others.items() if what == CHANGED and _is_read(folder, name)}
    if refused:
        scores = folder.scores_file.name
        how = (
            f"`mmeval score {folder.path}` makes it again" if set(refused) == {scores} else folder.again("make it anew")
        )
        raise RunFolderError(f"{folder.path} is not as its run left it: {listed(refused)}; {how}.")
    if others:
        note(f"{folder.path}: {listed(others)}; {folder.again('make it anew')}.")


def _is_read(folder: RunFolder, name: str) -> bool:
    return name.startswith("predictions/") or name in (folder.scores_file.name, folder.gallery_file.name)


def score_again(folder: RunFolder, named: Named = Named()) -> None:
    """Make scores and report of a finished run again, from its predictions.

    Raises:
        UserError: there is no finished run, predictions or gallery were changed, or a metric can't be loaded.
    """
    record = folder.record
    made = (folder.scores_file, folder.report_path, folder.readme_file)
    check_files(folder, record, made)
    record, metrics = with_metrics(record, named)
    write_scores_of(folder, record, metrics)
    write_report(folder, record)
    folder.finish(record, made)


def report_again(folder: RunFolder) -> None:
    """Make the report of a finished run again, from its scores.

    Raises:
        RunFolderError: there is no finished run, or scores, predictions or gallery were changed.
    """
    record = folder.record
    made = (folder.report_path, folder.readme_file)
    check_files(folder, record, made)
    write_report(folder, record)
    folder.finish(record, made)


def write_report(folder: RunFolder, record: Record) -> None:
    """Make ``report.html`` and ``README.md`` from the scores and the gallery.

    Raises:
        RunFolderError: scores or gallery are missing or bad.
    """
    content = folder.content(record)
    write_text(folder.report_path, html(content))
    write_text(folder.readme_file, markdown(content))
