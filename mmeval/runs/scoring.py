"""Scores and reports of a run folder, computed from its predictions without the model and the data set."""

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
from mmeval.metrics.catalogue import is_built_in
from mmeval.metrics.evaluate import absent_metrics
from mmeval.metrics.predictions import RERUN_ADVICE, read_predictions, read_tasks
from mmeval.metrics.same_examples import check_same_examples
from mmeval.metrics.scores import RunColumns, score, total_resamples, write_scores
from mmeval.metrics.validation import Calibrated, calibrated
from mmeval.plugin import onefile
from mmeval.plugin.manager import Manager
from mmeval.plugin.onefile import SUFFIX
from mmeval.record import Record
from mmeval.report.html import html
from mmeval.report.markdown import markdown
from mmeval.runs.analysis import analysis_of
from mmeval.runs.folder import UNVERIFIED, RunFolder
from mmeval.runs.hierarchies import hierarchies_of_files
from mmeval.runs.lock import exclusive
from mmeval.runs.manifest import CHANGED, differences, format_differences


def write_scores_of(folder: RunFolder, record: Record, metrics: Sequence[MetricSpec] = ()) -> None:
    """Compute ``scores.parquet`` from the predictions of all seeds.

    Raises:
        RunFolderError: predictions are missing or damaged, or the seeds have different examples.
        PluginError: a metric fails.
    """
    protocol = record.plan.protocol
    files = {seed: folder.predictions_file(seed) for seed in protocol.seeds}
    folder.require(*files.values())
    advice = RERUN_ADVICE if record.source is None else folder.rerun_advice("recreate it")
    validation = {seed: _calibrated(folder.validation_predictions_file(seed)) for seed in protocol.seeds}
    predictions = {
        seed: read_predictions(
            file, metrics, advice, conformal={task: facts.conformal for task, facts in validation[seed].items()}
        )
        for seed, file in files.items()
    }
    check_same_examples({files[seed]: of_seed for seed, of_seed in predictions.items()}, advice)
    columns = RunColumns(
        run=record.name,
        model=record.plan.plugin.name,
        dataset=protocol.dataset,
        split=protocol.split,
        inputs=protocol.inputs.value,
    )
    first_seed, first = next(iter(predictions.items()))
    for task in first.tasks:
        for line in absent_metrics(task, first.outcomes[task.name], validation[first_seed].get(task.name), metrics):
            note(line)
    paths = {
        task: {name: tuple(path) for name, path in by_class.items()} for task, by_class in record.hierarchies.items()
    }
    with progress("Bootstrap", total_resamples(predictions), "resamples") as advance:
        table = score(columns, predictions, metrics, advance=advance, validation=validation, paths=paths)
    write_scores(folder.scores_file, table)


def _calibrated(validation_file: Path) -> dict[str, Calibrated]:
    """Return the thresholds that a file of validation predictions gives, by task; none where there is no file."""
    return calibrated(read_predictions(validation_file)) if validation_file.is_file() else {}


def plugin_metrics(manager: Manager) -> tuple[MetricSpec, ...]:
    """Return the metrics of the loaded plugins.

    Raises:
        PluginError: a metric has the name of a built-in metric.
    """
    for metric in manager.metrics():
        if is_built_in(metric.name):
            raise PluginError(
                f'{metric.distribution} registers the metric "{metric.name}", which is built into mmeval; '
                "its authors must rename it."
            )
    return manager.metrics()


@dataclass(frozen=True)
class ScoringPlugins:
    """The plugins that a user names for scoring; Python files that only the run folder names are never run."""

    metrics: tuple[str, ...] = ()
    plugin: str | None = None
    dataset: str | None = None


def with_metrics(record: Record, plugins: ScoringPlugins) -> tuple[Record, tuple[MetricSpec, ...]]:
    """Add the metrics that a user names to the record of a run; return the new record and all its metrics.

    Metrics that the run was scored with before are loaded from installed plugins, and from Python files only if the
    user names those files.

    Raises:
        PluginError: a metric comes from a file that the user does not name, can't be loaded, or no longer exists.
    """
    manager = Manager()
    added = {name: manager.metric(name).name for name in plugins.metrics}
    if plugins.plugin:
        manager.model(plugins.plugin)
    if plugins.dataset:
        resolve_spec(plugins.dataset, manager)
    metric_plugins = [*record.metric_plugins, *(name for name in added if name not in record.metric_plugins)]
    metrics = [*record.metrics, *(name for name in added.values() if name not in record.metrics)]
    loaded = _recorded_metrics(record, manager)
    specs = tuple(loaded[name] if name in loaded else manager.metric(name) for name in metrics)
    for spec in specs:
        _note_changed_origin(spec, record.metric_origins.get(spec.name, ""))
    origins = {spec.name: spec.origin for spec in specs}
    changes = {"metric_plugins": metric_plugins, "metrics": metrics, "metric_origins": origins}
    return record.model_copy(update=changes), specs


def _recorded_metrics(record: Record, manager: Manager) -> dict[str, MetricSpec]:
    """Load the metrics of a record into ``manager``, which has those of the user; return all its metrics by name."""

    def loaded() -> dict[str, MetricSpec]:
        return {metric.name: metric for metric in plugin_metrics(manager)}

    def is_installed(name: str) -> bool:
        return bool(name) and not onefile.is_file(name)

    needed = set(record.metrics)
    if not needed <= loaded().keys():
        for name in filter(is_installed, record.metric_plugins):
            manager.metric(name)
    if record.source is None and not needed <= loaded().keys():
        # The plugin of the model or of the data set may bring a metric; scoring needs it for nothing else.
        if is_installed(record.plugin):
            manager.model(record.plugin)
        dataset = DatasetRequest(record.dataset or record.plan.protocol.dataset)
        if is_installed(dataset.name) and not dataset.is_table:
            resolve_spec(dataset.name, manager)
    metrics = loaded()
    if missing := [name for name in record.metrics if name not in metrics]:
        raise PluginError(_missing_metrics_message(record, missing, manager.names_of_files))
    return metrics


def _missing_metrics_message(record: Record, missing: Sequence[str], loaded: Collection[str]) -> str:
    """Return the message that names the files which recorded metrics came from, and the options that load them."""
    options = {record.plugin: "--plugin", record.dataset: "--dataset"} | dict.fromkeys(
        record.metric_plugins, "--metric"
    )
    files = [name for name in options if name.endswith(SUFFIX) and str(Path(name).resolve()) not in loaded]
    needed: dict[str, str] = {}
    for metric in missing:
        origin = Path(record.metric_origins.get(metric, "").rpartition("+")[0])
        came_from = [name for name in options if name.endswith(SUFFIX) and Path(name).name == origin.name]
        candidates = sorted(files, key=lambda name: (Path(name) != origin, Path(name).name != origin.name))
        if not candidates or (came_from and not set(came_from) & set(files)):
            names = " and ".join(dict.fromkeys([record.plugin, *record.metric_plugins]))
            return f'The metric "{metric}" of this run is no longer registered by {names}.'
        needed[metric] = candidates[0]
    paths = list(dict.fromkeys(needed.values()))
    metrics = " and ".join(f'"{metric}"' for metric in needed)
    add = " ".join(f"{options[name]} {name}" for name in paths)
    many, several = len(needed) > 1, len(paths) > 1
    return (
        f"The metric{'s' if many else ''} {metrics} of this run come{'' if many else 's'} from the "
        f"file{'s' if several else ''} {' and '.join(paths)}, and mmeval runs no file that only a run folder names; "
        f"if you trust {'them' if several else 'it'}, add {add}."
    )


def _note_changed_origin(spec: MetricSpec, recorded: str) -> None:
    """Print a note if a metric differs from the one of the last scoring: another file content or another version."""
    now, before = (text.rpartition("+")[2] or text for text in (spec.origin, recorded))
    if recorded and now != before:
        note(f"The metric {spec.name} was {recorded} when this run was scored; now it is {spec.origin}.")


def check_files(folder: RunFolder, record: Record, rewritten: Collection[Path]) -> None:
    """Compare every file of a finished run with its digest, before scores or reports are computed from some of them.

    Args:
        folder: the run folder.
        record: its record. Schema 1 has no digests; a note says that the files are unverified.
        rewritten: the files that are about to be replaced. Their changes are only noted.

    Raises:
        RunFolderError: predictions, scores or the gallery were changed and are not about to be replaced.
    """
    if record.schema_version == 1:
        note(f"{folder.path}: its files are {UNVERIFIED}.")
        return
    problems = differences(folder.path, record.files)
    replaced = {folder.scores_file, folder.report_path, folder.readme_file}.intersection(rewritten)
    names = {path.relative_to(folder.path).as_posix() for path in replaced}
    if recreated := {name: problem for name, problem in problems.items() if name in names}:
        note(f"{folder.path}: {format_differences(recreated)}; recreated by this command.")
    # A missing file that is needed raises its own error when it is read.
    needed = {name for name in problems if _is_input(folder, name) and problems[name] != CHANGED}
    if folder.scores_file not in rewritten:
        needed -= {name for name in needed if name.startswith("predictions/")}
    others = {name: problem for name, problem in problems.items() if name not in names | needed}
    refused = {name: problem for name, problem in others.items() if problem == CHANGED and _is_input(folder, name)}
    if refused:
        advice = folder.rerun_advice("recreate it")
        if set(refused) == {folder.scores_file.name}:
            advice = f"run `mmeval score {folder.path}` to recreate it"
        raise RunFolderError(
            f"{folder.path} was changed after its run finished: {format_differences(refused)}; {advice}."
        )
    if others:
        note(f"{folder.path}: {format_differences(others)}; {folder.rerun_advice('recreate it')}.")


def _is_input(folder: RunFolder, name: str) -> bool:
    """Return whether scores or reports are computed from a file."""
    return name.startswith("predictions/") or name in (folder.scores_file.name, folder.gallery_file.name)


def score_again(folder: RunFolder, plugins: ScoringPlugins = ScoringPlugins(), hierarchies: Sequence[str] = ()) -> None:
    """Recompute scores and report of a finished run from its predictions.

    Args:
        folder: the run folder.
        plugins: plugins with metrics.
        hierarchies: taxonomy files, ``FILE`` or ``TASK=FILE``, in place of the paths that the run was scored with.

    Raises:
        UserError: there is no finished run, predictions or gallery were changed, a metric can't be loaded, a taxonomy
            file can't be used, or another process is working in the folder.
    """
    with exclusive(folder, str(folder.path), optional=True):
        record = folder.record
        written = (folder.scores_file, folder.report_path, folder.readme_file)
        check_files(folder, record, written)
        record, metrics = with_metrics(record, plugins)
        if hierarchies:
            tasks = read_tasks(folder.predictions_file(record.plan.protocol.seeds[0]))
            paths = record.hierarchies | hierarchies_of_files(hierarchies, tasks)
            record = record.model_copy(update={"hierarchies": paths})
        write_scores_of(folder, record, metrics)
        write_report(folder, record)
        folder.finish(record, written)


def report_again(folder: RunFolder) -> None:
    """Write the report of a finished run again from its scores.

    Raises:
        RunFolderError: there is no finished run, scores, predictions or gallery were changed, or another process is
            working in the folder.
    """
    with exclusive(folder, str(folder.path), optional=True):
        record = folder.record
        written = (folder.report_path, folder.readme_file)
        check_files(folder, record, written)
        write_report(folder, record)
        folder.finish(record, written)


def write_report(folder: RunFolder, record: Record) -> None:
    """Write ``report.html`` and ``README.md`` from scores, gallery and predictions.

    Raises:
        RunFolderError: scores or gallery are missing or damaged, or predictions are damaged.
    """
    content = folder.content(record)
    write_text(folder.report_path, html(content, analysis_of(folder, record)))
    write_text(folder.readme_file, markdown(content))
