"""The metrics of a task that are not a mean over examples: calibration, thresholds, classes, hierarchy, plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmeval.api.spec import MetricSpec
from mmeval.api.task import Task
from mmeval.metrics.calibration import calibration_rows
from mmeval.metrics.catalogue import CATALOGUE, title
from mmeval.metrics.counts import Counts, counts_by_group, per_class_rows
from mmeval.metrics.functions import function_rows, labelled_probabilities
from mmeval.metrics.hierarchy import Hierarchy, hierarchy_rows
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.predictions import probabilities
from mmeval.metrics.row import ScoreRow
from mmeval.metrics.thresholds import recall_rows
from mmeval.metrics.validation import Calibrated


class Evaluation(NamedTuple):
    """The rows of a task, and a sentence for each group of metrics that is absent or limited."""

    rows: list[ScoreRow]
    notes: list[str]


def evaluate(
    predictions: Predictions,
    task: Task,
    facts: Calibrated | None = None,
    hierarchy: Hierarchy | None = None,
    metrics: Sequence[MetricSpec] = (),
    counts: Counts | None = None,
) -> Evaluation:
    """Return the metrics of one task and training seed that are not a mean over examples.

    Args:
        predictions: the predictions of the scored split.
        task: the task.
        facts: thresholds from validation; None if there are no validation predictions.
        hierarchy: the paths of the classes; None if they have none.
        metrics: the metrics of plugins; those that are per example are left out.
        counts: counts of the labelled examples, arrays ``[languages + 1, classes]`` with all languages last, if they
            are known already.

    Raises:
        PluginError: a metric of a plugin fails.
        RunFolderError: the predictions file is damaged.
    """
    known = np.flatnonzero(predictions.outcomes[task.name].true >= 0)
    outcomes = predictions.outcomes[task.name].take(known)
    languages = predictions.languages.take(known)
    if counts is None:
        counts = counts_by_group(
            outcomes.true, outcomes.predicted, languages.codes, len(languages.names), outcomes.classes
        )
    rows = [*calibration_rows(outcomes, languages), *per_class_rows(task, counts, languages.names)]
    if facts is not None:
        rows += recall_rows(task, outcomes, languages, facts.recall)
    if hierarchy is not None:
        rows += hierarchy_rows(hierarchy, outcomes, languages)
    has_probabilities = outcomes.confidence is not None
    functions = [metric for metric in metrics if metric.function is not None]
    if not has_probabilities:
        functions = [metric for metric in functions if not metric.needs_probabilities]
    matrix = None
    if any(metric.needs_probabilities for metric in functions):
        assert predictions.path is not None
        batches = (batch for _, batch in probabilities(predictions.path, task))
        matrix = labelled_probabilities(batches, known, outcomes.classes)
    slices = {name: column.take(known) for name, column in predictions.slices.items()}
    clusters = predictions.clusters.take(known)
    for metric in functions:
        rows += function_rows(metric, outcomes, languages, slices, clusters, matrix)
    return Evaluation(rows, _notes(task, has_probabilities, facts, metrics))


def _notes(task: Task, has_probabilities: bool, facts: Calibrated | None, metrics: Sequence[MetricSpec]) -> list[str]:
    """Return the sentences on absent metrics."""
    notes = []
    if not has_probabilities:
        absent = [title(metric.name) for metric in CATALOGUE.values() if metric.needs_probabilities]
        absent += [metric.name for metric in metrics if metric.needs_probabilities]
        notes.append(f"The predictions of {task.name} have no probabilities, so these are absent: {', '.join(absent)}.")
    elif facts is None:
        absent = [title(metric.name) for metric in CATALOGUE.values() if metric.needs_validation]
        notes.append(f"There are no validation predictions of {task.name}, so these are absent: {', '.join(absent)}.")
    else:
        notes += facts.conformal.notes(task.name)
    return notes
