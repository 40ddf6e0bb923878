"""Confusion counts, and the metrics that follow from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Counts(NamedTuple):
    """Per-class counts; any array has shape ``[..., classes]``. Counts of disjoint groups add up."""

    hits: Floats
    """Examples of the class that were predicted as it."""
    true: Floats
    """Examples of the class."""
    predicted: Floats
    """Examples predicted as the class."""


def grouped_counts(
    true: NDArray[np.int64], predicted: NDArray[np.int64], group: NDArray[np.int64], groups: int, classes: int
) -> Counts:
    """Counts of every group at once, arrays ``[groups, classes]``; ``group`` is the group of each row, from 0."""

    def count(labels: NDArray[np.int64], of: NDArray[np.int64]) -> Floats:
        cells = np.bincount(of * classes + labels, minlength=groups * classes)
        return cells.reshape(groups, classes).astype(float)

    hit = true == predicted
    return Counts(count(true[hit], group[hit]), count(true, group), count(predicted, group))


def f1_per_class(counts: Counts) -> Floats:
    """F1 of each class, 2 hits / (true + predicted); NaN for a class that is neither true nor predicted."""
    total = counts.true + counts.predicted
    return np.divide(2 * counts.hits, total, out=np.full_like(total, np.nan), where=total > 0)


def macro_f1(counts: Counts) -> Floats:
    """Mean F1 over the classes that are true or predicted at least once, as scikit-learn does by default.

    Shape ``[...]``; NaN where there is no example.
    """
    total = counts.true + counts.predicted
    present = total > 0
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=present)
    return _ratio(f1.sum(-1), present.sum(-1).astype(float))


def weighted_f1(counts: Counts) -> Floats:
    """Mean F1 weighted by the examples of each class; shape ``[...]``, NaN where there is no example."""
    f1 = np.nan_to_num(f1_per_class(counts))
    return _ratio((f1 * counts.true).sum(-1), counts.true.sum(-1))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)


FROM_COUNTS = {"macro_f1": macro_f1, "weighted_f1": weighted_f1}
"""Metrics that need the counts of all classes at once."""
