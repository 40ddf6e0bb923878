"""The confusion matrix of the classes that are confused most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.outcomes import Outcomes


@dataclass(frozen=True)
class ConfusionMatrix:
    """Shares of the rows of each class that are predicted as each class, the mean over training seeds."""

    classes: tuple[str, ...]
    """The classes of the matrix, in the order of their index."""
    shares: NDArray[np.float64]
    """``[classes, classes + 1]``: true by predicted class; the last column has all classes outside of the matrix."""
    n: NDArray[np.int64]
    """Rows of each true class, ``[classes]``."""
    total_classes: int
    """Classes that are true or predicted at least once."""
    mistakes: float
    """Share of all mistakes that have both classes in the matrix; NaN without mistakes."""

    @property
    def is_complete(self) -> bool:
        """Whether every class that occurs is in the matrix."""
        return len(self.classes) == self.total_classes


def confusion_matrix(outcomes: Sequence[Outcomes], classes: Sequence[str], most: int) -> ConfusionMatrix:
    """Return the matrix of all classes that occur, or of those with the most frequent confusions if there are more.

    Args:
        outcomes: outcomes of the same examples with each training seed.
        classes: the class names.
        most: the largest number of classes.
    """
    count = len(classes)
    known = np.flatnonzero(outcomes[0].true >= 0)
    true = np.tile(outcomes[0].true[known], len(outcomes)).astype(np.int64)
    predicted = np.concatenate([each.predicted[known] for each in outcomes]).astype(np.int64)
    occurring = np.union1d(true, predicted)
    wrong = true != predicted
    pairs, frequency = np.unique(true[wrong] * count + predicted[wrong], return_counts=True)
    chosen = occurring if len(occurring) <= most else _most_confused(pairs, frequency, true, count, most)
    place = np.full(count, len(chosen))
    place[chosen] = np.arange(len(chosen))
    rows = place[true] < len(chosen)
    cells = place[true[rows]] * (len(chosen) + 1) + place[predicted[rows]]
    matrix = np.bincount(cells, minlength=len(chosen) * (len(chosen) + 1)).reshape(len(chosen), -1)
    n = matrix.sum(1)
    shares = np.divide(matrix, n[:, None], out=np.zeros(matrix.shape), where=n[:, None] > 0)
    inside = matrix[:, :-1].sum() - np.trace(matrix)
    mistakes = float(inside / wrong.sum()) if wrong.any() else float("nan")
    names = tuple(classes[index] for index in chosen.tolist())
    return ConfusionMatrix(names, shares, n // len(outcomes), len(occurring), mistakes)


def _most_confused(
    pairs: NDArray[np.int64], frequency: NDArray[np.integer], true: NDArray[np.int64], count: int, most: int
) -> NDArray[np.int64]:
    """Return the classes of the most frequent pairs; if there are too few pairs, also the most frequent classes."""
    chosen: dict[int, None] = {}
    for pair in pairs[np.argsort(-frequency, kind="stable")].tolist():
        both = [index for index in divmod(pair, count) if index not in chosen]
        if len(chosen) + len(both) <= most:
            chosen |= dict.fromkeys(both)
        if len(chosen) == most:
            break
    frequent, n = np.unique(true, return_counts=True)
    for index in frequent[np.argsort(-n, kind="stable")].tolist():
        if len(chosen) < most:
            chosen.setdefault(index)
    return np.sort(np.array(list(chosen), np.int64))
