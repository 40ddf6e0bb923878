"""Metrics that are a mean over examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def rank_of_label(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Position of the true class when classes are put in order of probability, 0 for the first: ``[n]``.

    Of equal probabilities the class with the lower index comes first, as in ``argmax``.
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    rank: NDArray[np.int64] = np.count_nonzero(probabilities > own, axis=1)
    equal = probabilities == own
    tied = np.flatnonzero(np.count_nonzero(equal, axis=1) > 1)
    before = np.arange(probabilities.shape[1]) < labels[tied, None]
    rank[tied] += np.count_nonzero(equal[tied] & before, axis=1)
    return rank


def top1(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 where the most probable class is the true one: ``[n]``."""
    return np.asarray(probabilities.argmax(1) == labels, np.float64)


def top5(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 where the true class is among the five most probable ones: ``[n]``."""
    return np.asarray(rank_of_label(labels, probabilities) < 5, np.float64)


def mean_language_top1(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], languages: Sequence[str]
) -> float:
    """Top-1 of each language, averaged over languages; examples without a label don't count.

    Raises:
        ValueError: no example has a label.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("no example has a label")
    _, group = np.unique(np.asarray(languages)[known], return_inverse=True)
    hit = probabilities[known].argmax(1) == labels[known]
    return float((np.bincount(group, hit) / np.bincount(group)).mean())


BUILT_IN = {"top1": top1, "top5": top5}
