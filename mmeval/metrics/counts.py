"""Counts of true, predicted and correct examples per class, and the F1 scores computed from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Counts(NamedTuple):
    """Counts per class, three arrays ``[..., classes]``; the counts of two disjoint groups can be added."""

    hits: Floats
    """Examples of the class that were predicted correctly."""
    true: Floats
    """Examples whose true class this is."""
    predicted: Floats
    """Examples whose predicted class this is."""


def grouped_counts(
    true: NDArray[np.int64], predicted: NDArray[np.int64], group: NDArray[np.int64], groups: int, classes: int
) -> Counts:
    """Return the counts of every group, arrays ``[groups, classes]``; ``group`` is the group of each row, from 0."""

    def count(labels: NDArray[np.int64], group: NDArray[np.int64]) -> Floats:
        cells = np.bincount(group * classes + labels, minlength=groups * classes)
        return cells.reshape(groups, classes).astype(float)

    hit = true == predicted
    return Counts(count(true[hit], group[hit]), count(true, group), count(predicted, group))


def f1_per_class(counts: Counts) -> Floats:
    """Return F1 of each class, 2 hits / (true + predicted); NaN for a class that is neither true nor predicted."""
    total = counts.true + counts.predicted
    return np.divide(2 * counts.hits, total, out=np.full_like(total, np.nan), where=total > 0)


def macro_f1(counts: Counts) -> Floats:
    """Return the mean F1 over the classes that are true or predicted at least once, scikit-learn's default.

    The result has shape ``[...]``; it is NaN for a group without examples.
    """
    total = counts.true + counts.predicted
    present = total > 0
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=present)
    return _ratio(f1.sum(-1), present.sum(-1).astype(float))


def weighted_f1(counts: Counts) -> Floats:
    """Return the mean F1 weighted by the size of each class, shape ``[...]``; NaN for a group without examples."""
    f1 = np.nan_to_num(f1_per_class(counts))
    return _ratio((f1 * counts.true).sum(-1), counts.true.sum(-1))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0)


FROM_COUNTS = {"macro_f1": macro_f1, "weighted_f1": weighted_f1}
"""Metrics that are computed from the counts of all classes, not as a mean over examples."""
