"""Counts of true, predicted and correct examples per class; precision, recall, F1 and balanced accuracy from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def precision_per_class(counts: Counts) -> Floats:
    """Return the precision of each class, hits / predicted; NaN for a class that is never predicted."""
    return _ratio(counts.hits, counts.predicted)


def recall_per_class(counts: Counts) -> Floats:
    """Return the recall of each class, hits / true; NaN for a class without examples."""
    return _ratio(counts.hits, counts.true)


def f1_per_class(counts: Counts) -> Floats:
    """Return F1 of each class, 2 hits / (true + predicted); NaN for a class that is neither true nor predicted."""
    return _ratio(2 * counts.hits, counts.true + counts.predicted)


def macro_f1(counts: Counts, classes: NDArray[np.bool_] | None = None) -> Floats:
    """Return the mean F1 over classes, shape ``[...]``; NaN for a group in which no class occurs.

    A class that is neither true nor predicted in a group has no F1 there and is left out, as by default in
    scikit-learn.

    Args:
        counts: the counts.
        classes: the class list, ``[classes]``; by default all classes.
    """
    total = counts.true + counts.predicted
    present = total > 0 if classes is None else (total > 0) & classes
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=present)
    return _ratio(f1.sum(-1), present.sum(-1).astype(float))


def weighted_f1(counts: Counts) -> Floats:
    """Return the mean F1 weighted by the size of each class, shape ``[...]``; NaN for a group without examples."""
    f1 = np.nan_to_num(f1_per_class(counts))
    return _ratio((f1 * counts.true).sum(-1), counts.true.sum(-1))


def balanced_accuracy(counts: Counts) -> Floats:
    """Return the mean recall over the classes that have examples, shape ``[...]``; NaN for a group without examples.

    A class without examples in a group is left out there, as in scikit-learn's ``balanced_accuracy_score``.
    """
    present = counts.true > 0
    recall = np.divide(counts.hits, counts.true, out=np.zeros_like(counts.true), where=present)
    return _ratio(recall.sum(-1), present.sum(-1).astype(float))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0)


FROM_COUNTS: Mapping[str, Callable[[Counts], Floats]] = {
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "balanced_accuracy": balanced_accuracy,
}
"""Metrics that are computed from the counts of all classes, not as a mean over examples."""
PER_CLASS: Mapping[str, Callable[[Counts], Floats]] = {
    "precision": precision_per_class,
    "recall": recall_per_class,
    "f1": f1_per_class,
}
"""Metrics of a single class."""
