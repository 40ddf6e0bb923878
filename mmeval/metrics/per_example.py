"""Metrics that are a mean over examples: top-1 and top-5 accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def rank_of_label(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rank of the true class among all classes sorted by probability, ``[n]``; 0 is the most probable.

    Among equal probabilities the class with the lower index comes first, as in ``argmax``.
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    rank: NDArray[np.int64] = np.count_nonzero(probabilities > own, axis=1)
    equal = probabilities == own
    tied = np.flatnonzero(np.count_nonzero(equal, axis=1) > 1)
    before = np.arange(probabilities.shape[1]) < labels[tied, None]
    rank[tied] += np.count_nonzero(equal[tied] & before, axis=1)
    return rank


def top1(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 for each example whose most probable class is the true class, else 0: ``[n]``."""
    return np.asarray(probabilities.argmax(1) == labels, np.float64)


def top5(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 for each example whose true class is among the five most probable classes, else 0: ``[n]``."""
    return np.asarray(rank_of_label(labels, probabilities) < 5, np.float64)


def mean_language_top1(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], languages: Sequence[str]
) -> float:
    """Return the mean over languages of top-1 accuracy; examples without a label (-1) are left out.

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
