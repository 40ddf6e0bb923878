"""Counts of true, predicted and correct examples per class, and the F1 scores computed from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Counts(NamedTuple):
    """Counts per class, three arrays ``[..., classes]``; the counts of two disjoint groups can be added.

    Counts of bootstrap resamples have the shape ``[groups, classes, resamples]``; the functions below take the axis of
    the classes.
    """

    hits: Floats
    """Examples of the class that were predicted correctly."""
    true: Floats
    """Examples whose true class this is."""
    predicted: Floats
    """Examples whose predicted class this is."""


def f1_per_class(counts: Counts) -> Floats:
    """Return F1 of each class, 2 hits / (true + predicted); NaN for a class that is neither true nor predicted."""
    total = counts.true + counts.predicted
    return np.divide(2 * counts.hits, total, out=np.full_like(total, np.nan), where=total > 0)


def macro_f1(counts: Counts, axis: int = -1) -> Floats:
    """Return the mean F1 over the classes that are true or predicted at least once, scikit-learn's default.

    The result lacks the axis of the classes; it is NaN for a group without examples.
    """
    total = counts.true + counts.predicted
    present = total > 0
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=present)
    return _ratio(f1.sum(axis), present.sum(axis).astype(float))


def weighted_f1(counts: Counts, axis: int = -1) -> Floats:
    """Return the mean F1 weighted by the size of each class; NaN for a group without examples."""
    total = counts.true + counts.predicted
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=total > 0)
    return _ratio((f1 * counts.true).sum(axis), counts.true.sum(axis))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0)


FROM_COUNTS = {"macro_f1": macro_f1, "weighted_f1": weighted_f1}
"""Metrics that are computed from the counts of all classes, not as a mean over examples."""
