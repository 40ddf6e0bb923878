"""Scores and reports of a run folder, made from its predictions: no model, no data set."""

from __future__ import annotations

from collections.abc import Sequence

from mmeval.console import progress
from mmeval.data.asked import Asked, spec_of
from mmeval.errors import PluginError, RunFolderError
from mmeval.files import write_text
from mmeval.metrics.predictions import ANEW, read_predictions
from mmeval.metrics.scores import METRICS, Source, passes, read_scores, score, write_scores
from mmeval.plugin.manager import Manager
from mmeval.plugin.spec import MetricSpec
from mmeval.record import Record
from mmeval.report.content import Content
from mmeval.report.html import html
from mmeval.report.markdown import markdown
from mmeval.run.folder import RunFolder
from mmeval.run.gallery import read_gallery


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
            raise RunFolderError(f"{files[seed]} is of other examples than {next(iter(files.values()))}; {ANEW}.")
    source = Source(
        run=record.name,
        model=record.plan.plugin.name,
        dataset=protocol.dataset,
        split=protocol.split,
        inputs=protocol.inputs.value,
    )
    with progress("Bootstrap", passes(predictions), "resamples") as advance:
        table = score(source, predictions, metrics, advance=advance)
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


def metrics_of(record: Record, manager: Manager) -> tuple[MetricSpec, ...]:
    """The plugin metrics that a run was scored with, loaded again by ``manager``.

    Raises:
        PluginError: the plugin that brought them can't be loaded, or no longer brings them.
    """
    if not record.metrics:
        return ()
    for name in record.metric_plugins:
        manager.metric(name)
    found = {metric.name: metric for metric in plugin_metrics(manager)}
    if not found.keys() >= set(record.metrics):
        # Brought by the model or the data set, which need not be there otherwise.
        manager.model(record.plugin)
        asked = Asked(record.dataset or record.plan.protocol.dataset)
        if not asked.is_table:
            spec_of(asked.name, manager)
        found = {metric.name: metric for metric in plugin_metrics(manager)}
    if missing := [name for name in record.metrics if name not in found]:
        named = " and ".join([record.plugin, *record.metric_plugins])
        raise PluginError(f'The metric "{missing[0]}" of this run is no longer brought by {named}.')
    return tuple(found[name] for name in record.metrics)


def with_metrics(record: Record, names: Sequence[str]) -> tuple[Record, tuple[MetricSpec, ...]]:
    """The record of a run that is also scored with the metrics that a user calls ``names``, and all its metrics."""
    manager = Manager()
    added = {name: manager.metric(name).name for name in names}
    plugins = [*record.metric_plugins, *(name for name in added if name not in record.metric_plugins)]
    metrics = [*record.metrics, *(name for name in added.values() if name not in record.metrics)]
    record = record.model_copy(update={"metric_plugins": plugins, "metrics": metrics})
    found = metrics_of(record, manager)
    return record.model_copy(update={"metric_origins": {one.name: one.origin for one in found}}), found


def write_report(folder: RunFolder, record: Record) -> None:
    """Make ``report.html`` and ``README.md`` from the scores and the gallery.

    Raises:
        RunFolderError: scores or gallery are missing or bad.
    """
    content = content_of(folder, record)
    write_text(folder.html_file, html(content))
    write_text(folder.readme_file, markdown(content))


def content_of(folder: RunFolder, record: Record) -> Content:
    """All that the views of a run show."""
    folder.require(folder.scores_file, folder.gallery_file)
    return Content(record, read_scores(folder.scores_file), read_gallery(folder.gallery_file))
