"""Which examples a model got wrong while it was most sure."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmeval.api.task import Task
from mmeval.metrics.predictions import probabilities


class Mistake(NamedTuple):
    """A wrong prediction."""

    id: str
    language: str
    true: str
    predicted: str
    confidence: float
    """Probability of the predicted class."""


def confident_mistakes(path: Path, task: Task, count: int) -> list[Mistake]:
    """The ``count`` most confident mistakes of one task, the surest first, one per cluster.

    One per cluster, because an image that is wrong in one language tends to be wrong in all, and would fill the page.
    """
    best: dict[str, Mistake] = {}
    for batch, matrix in probabilities(path, task):
        guess = matrix.argmax(1)
        sure = matrix[np.arange(len(guess)), guess]
        ids, languages, clusters = (batch.column(name).to_pylist() for name in ("id", "language", "cluster"))
        for row, true in enumerate(batch.column(task.name).to_pylist()):
            predicted = task.classes[guess[row]]
            known = best.get(clusters[row])
            if true not in (None, predicted) and (known is None or sure[row] > known.confidence):
                best[clusters[row]] = Mistake(ids[row], languages[row], true, predicted, float(sure[row]))
    return sorted(best.values(), key=lambda mistake: -mistake.confidence)[:count]
