"""The most confident mistakes of a model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmeval.api.task import Task
from mmeval.metrics.predictions import has_probabilities, probabilities


class Mistake(NamedTuple):
    """An example that a model classified wrongly."""

    id: str
    language: str
    true: str
    predicted: str
    confidence: float
    """Probability that the model gave to the predicted class."""


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
        guess = matrix.argmax(1)
        confidence = matrix[np.arange(len(guess)), guess]
        ids, languages, clusters = (batch.column(name).to_pylist() for name in ("id", "language", "cluster"))
        for row, true in enumerate(batch.column(task.name).to_pylist()):
            predicted = task.classes[guess[row]]
            previous = best.get(clusters[row])
            if true not in (None, predicted) and (previous is None or confidence[row] > previous.confidence):
                best[clusters[row]] = Mistake(ids[row], languages[row], true, predicted, float(confidence[row]))
    return sorted(best.values(), key=lambda mistake: -mistake.confidence)[:count]
