"""The metrics of a task that are not a mean over examples: calibration, thresholds, classes, hierarchy, plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.api.task import Task
from mmeval.metrics.calibration import calibration_rows
from mmeval.metrics.catalogue import CATALOGUE, title
from mmeval.metrics.counts import counts_by_group, per_class_rows
from mmeval.metrics.functions import function_rows, labelled_probabilities
from mmeval.metrics.hierarchy import Hierarchy, hierarchy_rows
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions
from mmeval.metrics.predictions import probabilities
from mmeval.metrics.row import Interval, ScoreRow
from mmeval.metrics.thresholds import recall_rows
from mmeval.metrics.validation import Calibrated


@dataclass(frozen=True, eq=False)
class Labelled:
    """The examples of one task that have a label, with the outcomes of one training seed."""

    task: Task
    outcomes: Outcomes
    languages: Codes
    clusters: Codes
    slices: Mapping[str, Codes]
    rows: NDArray[np.integer]
    """Their row numbers in the predictions file."""
    path: Path | None
    """The predictions file; None if the predictions were not read from a file."""

    @classmethod
    def of_seeds(cls, predictions: Sequence[Predictions], task: Task) -> list[Labelled]:
        """Return the labelled examples of a task for each training seed; all have the same examples."""
        first = predictions[0]
        rows = np.flatnonzero(first.outcomes[task.name].true >= 0)
        outcomes = [each.outcomes[task.name] for each in predictions]
        languages, clusters, slices = first.languages, first.clusters, dict(first.slices)
        if len(rows) < len(first):  # without missing labels, no copies are needed
            outcomes = [each.take(rows) for each in outcomes]
            languages, clusters = languages.take(rows), clusters.take(rows)
            slices = {name: column.take(rows) for name, column in slices.items()}
        return [
            cls(task, of_seed, languages, clusters, slices, rows, each.path)
            for of_seed, each in zip(outcomes, predictions, strict=True)
        ]

    def probabilities(self) -> NDArray[np.float32]:
        """Read the probabilities ``[n, classes]`` from the file.

        Raises:
            RunFolderError: the file is damaged.
        """
        assert self.path is not None
        batches = (matrix for _, matrix in probabilities(self.path, self.task))
        return labelled_probabilities(batches, self.rows, self.outcomes.classes)


def evaluate(
    labelled: Labelled,
    facts: Calibrated | None = None,
    hierarchy: Hierarchy | None = None,
    metrics: Sequence[MetricSpec] = (),
) -> list[ScoreRow]:
    """Return the metrics of one task and training seed that are not a mean over examples.

    Metrics that need probabilities are left out where there are only labels, and those that need validation
    predictions where there are none; :func:`absent_metrics` names them.

    Args:
        labelled: the examples.
        facts: thresholds from validation; None if there are no validation predictions.
        hierarchy: the paths of the classes; None if they have none.
        metrics: the metrics of plugins; those that are per example are left out.

    Raises:
        PluginError: a metric of a plugin fails.
        RunFolderError: the predictions file is damaged.
    """
    outcomes, languages = labelled.outcomes, labelled.languages
    if not len(languages):
        return []
    names = languages.names
    counts = counts_by_group(outcomes.true, outcomes.predicted, languages.codes, len(names), outcomes.classes)
    rows = [*calibration_rows(outcomes, languages), *per_class_rows(labelled.task, counts, names)]
    if facts is not None:
        rows += recall_rows(labelled.task, outcomes, languages, facts.recall)
    if hierarchy is not None:
        rows += hierarchy_rows(hierarchy, outcomes, languages)
    only_labels = outcomes.confidence is None
    functions = [m for m in metrics if m.function is not None and not (only_labels and m.needs_probabilities)]
    matrix = labelled.probabilities() if any(metric.needs_probabilities for metric in functions) else None
    for metric in functions:
        rows += function_rows(metric, outcomes, languages, labelled.slices, labelled.clusters, matrix)
    return rows


def mean_over_seeds(seeds: Sequence[Sequence[ScoreRow]]) -> list[ScoreRow]:
    """Return the means over training seeds of the rows of :func:`evaluate`, without intervals.

    A mean covers the seeds in which the row exists and its value is defined; its ``n`` is the mean of theirs, rounded.
    """
    groups: dict[tuple[str, str, str, str], list[ScoreRow]] = {}
    for rows in seeds:
        for row in rows:
            groups.setdefault((row.metric, row.slice, row.language, row.klass), []).append(row)
    means = []
    for rows in groups.values():
        defined = [row for row in rows if np.isfinite(row.value)] or rows[:1]
        value, n = float(np.mean([row.value for row in defined])), round(np.mean([row.n for row in defined]))
        means.append(replace(defined[0], value=value, n=n, interval=Interval()))
    return means


def absent_metrics(
    task: Task, outcomes: Outcomes, facts: Calibrated | None, metrics: Sequence[MetricSpec] = ()
) -> list[str]:
    """Return a sentence about the metrics of a task that are absent or limited, with the reason; empty if none is.

    Args:
        task: the task.
        outcomes: its outcomes.
        facts: thresholds from validation; None if there are no validation predictions.
        metrics: the metrics of plugins.
    """
    if outcomes.confidence is None:
        described = [metric for metric in CATALOGUE.values() if not metric.multilabel]
        absent = [title(metric.name) for metric in described if metric.needs_probabilities]
        absent += [metric.name for metric in metrics if metric.needs_probabilities]
        return [f"The predictions of {task.name} have no probabilities, so these are absent: {', '.join(absent)}."]
    if facts is None:
        absent = [title(metric.name) for metric in CATALOGUE.values() if metric.needs_validation]
        return [f"There are no validation predictions of {task.name}, so these are absent: {', '.join(absent)}."]
    return facts.conformal.notes(task.name)
