"""Conformal prediction sets: sets of classes that hold the true class with a chosen probability.

The method is LAC, least ambiguous set-valued classifiers (Sadinle, Lei and Wasserman 2019, arXiv 1609.00451): the set
of an example has every class whose probability reaches a threshold. The threshold is chosen on validation. If the rows
of validation and test are exchangeable, a set holds the true class with a probability of at least ``COVERAGE``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
"""Share of examples whose set shall hold the true class; 1 - alpha of the literature."""

Floats = NDArray[np.floating]


class Threshold(NamedTuple):
    """The least probability with which a class belongs to a set."""

    probability: float
    """The threshold; 0 where there are too few calibration examples, so that every set has all classes."""
    n: int
    """Number of calibration examples."""

    @property
    def every_class(self) -> bool:
        """Whether there are too few calibration examples for the coverage, so that every set has all classes."""
        return rank(self.n) > self.n


def rank(n: int, coverage: float = COVERAGE) -> int:
    """Return k: the threshold is the k-th smallest of ``n`` calibration scores, k = ceil((n + 1) coverage)."""
    # The product of a whole number and a decimal fraction may lie just above a whole number.
    return math.ceil((n + 1) * coverage - 1e-9)


def calibrate(true_probability: Floats, coverage: float = COVERAGE) -> Threshold:
    """Return the threshold that calibration examples give.

    The score of an example is 1 - probability of its true class; the k-th smallest score is the k-th largest
    probability, which is exact where the subtraction would round.

    Args:
        true_probability: probability of the true class of each calibration example, ``[n]``.
        coverage: share of examples whose set shall hold the true class.
    """
    n, k = len(true_probability), rank(len(true_probability), coverage)
    if k > n:
        return Threshold(0.0, n)
    return Threshold(float(np.partition(true_probability, n - k)[n - k]), n)


def set_sizes(probabilities: Floats, thresholds: Floats | float) -> NDArray[np.int64]:
    """Return the number of classes in the set of each example, ``[n]``.

    Args:
        probabilities: ``[n, classes]``.
        thresholds: the least probability of a class in a set: a number, or one per example, ``[n]``.
    """
    limit = np.asarray(thresholds, probabilities.dtype).reshape(-1, 1)
    return np.count_nonzero(probabilities >= limit, axis=1)


def streamed_set_sizes(batches: Iterable[Floats], *thresholds: Floats) -> list[NDArray[np.int32]]:
    """Return the set sizes of all examples for several thresholds each, reading the probabilities once.

    Args:
        batches: probabilities ``[rows, classes]`` of consecutive examples.
        thresholds: arrays ``[n]``, the least probability of a class in the set of each example.

    Returns:
        An array ``[n]`` for each array of thresholds.
    """
    sizes = [np.zeros(len(of_rows), np.int32) for of_rows in thresholds]
    start = 0
    for batch in batches:
        rows = slice(start, start + len(batch))
        for out, of_rows in zip(sizes, thresholds, strict=True):
            out[rows] = set_sizes(batch, of_rows[rows])
        start += len(batch)
    return sizes
