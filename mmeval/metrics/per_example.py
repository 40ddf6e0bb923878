"""Metrics that are a mean over examples: top-1 and top-k accuracy, log loss and Brier score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_PROBABILITY = 1e-12
"""Probabilities below this count as this in the log loss, so that one certain mistake doesn't make it infinite."""


def rank_of_label(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rank of the true class among all classes sorted by probability, ``[n]``; 0 is the most probable.

    Among equal probabilities the class with the lower index comes first, as in ``argmax``.
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    rank: NDArray[np.int64] = np.count_nonzero(probabilities > own, axis=1)
    tied = np.flatnonzero(np.count_nonzero(probabilities >= own, axis=1) > rank + 1)
    equal = probabilities[tied] == own[tied]
    before = np.arange(probabilities.shape[1]) < labels[tied, None]
    rank[tied] += np.count_nonzero(equal & before, axis=1)
    return rank


def top1(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for each example whether its most probable class is the true class: ``[n]``."""
    return np.asarray(probabilities.argmax(1) == labels)


def top_k(classes: int) -> int | None:
    """Return k of top-k accuracy: the largest of 5, 3 and 2 that is smaller than the number of classes.

    With k classes or fewer, top-k accuracy is 1 for any model. None for two classes or one.
    """
    return next((k for k in (5, 3, 2) if k < classes), None)


def log_loss(true_probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the negative logarithm of the probability of the true class, ``[n]``, clipped at ``LEAST_PROBABILITY``."""
    return -np.log(np.maximum(true_probability.astype(np.float64), LEAST_PROBABILITY))


def brier(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Brier score of each example, ``[n]``, from 0 to 2 (Brier 1950).

    The score is the sum over classes of the squared difference between the probability and 1 for the true class, 0 for
    any other.
    """
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    squares = np.einsum("ij,ij->i", probabilities, probabilities, dtype=np.float64)
    return np.asarray(squares - 2 * own + 1, np.float64)


def per_example_values(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return the built-in per-example metrics by name, each ``[n]``.

    Args:
        labels: indices of the true classes, ``[n]``.
        probabilities: ``[n, classes]``.
    """
    rows = np.arange(len(labels))
    values: dict[str, NDArray[np.float64] | NDArray[np.bool_]] = {"top1": top1(labels, probabilities)}
    if k := top_k(probabilities.shape[1]):
        values[f"top{k}"] = rank_of_label(labels, probabilities) < k
    values["log_loss"] = log_loss(probabilities[rows, labels])
    values["brier"] = brier(labels, probabilities)
    return values


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
