"""The most confident mistakes of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.multilabel import predicted_classes
from mmeval.metrics.predictions import has_probabilities, probabilities

NO_CLASS = "(none)"
"""The name of an empty set of classes."""


class Mistake(NamedTuple):
    """An example that a model classified wrongly."""

    id: str
    language: str
    true: str
    """The true class; of a multi-label task all true classes, joined by commas."""
    predicted: str
    """The predicted class, or all predicted classes likewise."""
    confidence: float
    """Probability that the model gave to the predicted class; of a multi-label task, its largest probability of a wrong
    decision: of a class that the example lacks, or 1 - that of a class that it has."""


def confident_mistakes(path: Path, task: Task, count: int) -> list[Mistake]:
    """Return the ``count`` most confident mistakes of one task, in order of confidence, at most one per cluster.

    An image that is classified wrongly in one language tends to be wrong in all, and would fill the page. Predictions
    without probabilities have no confidence, and so no such list.

    Raises:
        RunFolderError: the predictions file is damaged.
    """
    best: dict[str, Mistake] = {}
    if not has_probabilities(path, task):
        return []
    for batch, matrix in probabilities(path, task):
        if task.multilabel:
            _keep_most_confident(best, _multilabel_mistakes(batch, matrix, task))
            continue
        guess = matrix.argmax(1)
        confidence = matrix[np.arange(len(guess)), guess]
        ids, languages, clusters = (batch.column(name).to_pylist() for name in ("id", "language", "cluster"))
        for row, true in enumerate(batch.column(task.name).to_pylist()):
            predicted = task.classes[guess[row]]
            previous = best.get(clusters[row])
            if true not in (None, predicted) and (previous is None or confidence[row] > previous.confidence):
                best[clusters[row]] = Mistake(ids[row], languages[row], true, predicted, float(confidence[row]))
    return sorted(best.values(), key=lambda mistake: -mistake.confidence)[:count]


def _keep_most_confident(best: dict[str, Mistake], mistakes: Iterable[tuple[str, Mistake]]) -> None:
    for cluster, mistake in mistakes:
        if cluster not in best or mistake.confidence > best[cluster].confidence:
            best[cluster] = mistake


def _multilabel_mistakes(
    batch: pa.RecordBatch, scores: NDArray[np.float32], task: Task
) -> Iterator[tuple[str, Mistake]]:
    """Yield the mistakes of a batch on a multi-label task, each with its cluster."""
    predicted = predicted_classes(scores)
    names, languages, clusters = (batch.column(name).to_pylist() for name in ("id", "language", "cluster"))
    for row, own in enumerate(batch.column(task.name).to_pylist()):
        if own is None:
            continue
        true = np.isin(task.classes, own)
        if (wrong := true != predicted[row]).any():
            confidence = np.where(true, 1 - scores[row], scores[row])[wrong].max()
            shown = (_names(task, true), _names(task, predicted[row]))
            yield clusters[row], Mistake(names[row], languages[row], shown[0], shown[1], float(confidence))


def _names(task: Task, classes: NDArray[np.bool_]) -> str:
    return ", ".join(task.classes[index] for index in np.flatnonzero(classes)) or NO_CLASS
