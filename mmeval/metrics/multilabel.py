"""Metrics of multi-label tasks: mean average precision, F1 at a threshold, subset accuracy.

Here ``truth`` is bool ``[n, classes]`` and ``scores`` is float32 ``[n, classes]``, the probability of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.counts import Counts

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating]

THRESHOLD = 0.5
"""A class is predicted if its probability is at least this."""


def predicted_classes(scores: Floats, threshold: float | Floats = THRESHOLD) -> Bools:
    """Return the predicted classes, bool ``[n, classes]``; ``threshold`` is one number, or one per class."""
    return np.asarray(scores >= threshold)


def label_counts(truth: Bools, predicted: Bools, group: NDArray[np.int64], groups: int) -> Counts:
    """Return the counts of every group, arrays ``[groups, classes]``; ``group`` is the group of each row, from 0.

    ``counts.macro_f1`` and ``counts.f1_per_class`` take them as they take those of other tasks.
    """
    classes = truth.shape[1]

    def count(cells: Bools) -> Floats:
        row, label = np.nonzero(cells)
        return np.bincount(group[row] * classes + label, minlength=groups * classes).reshape(groups, classes) * 1.0

    return Counts(count(truth & predicted), count(truth), count(predicted))


def micro_f1(counts: Counts, axis: int = -1) -> Floats:
    """Return F1 of all decisions together; NaN for a group with neither true nor predicted classes.

    The result lacks the axis of the classes.
    """
    return _ratio(2 * counts.hits.sum(axis), counts.true.sum(axis) + counts.predicted.sum(axis))


def precision(counts: Counts) -> Floats:
    """Return the precision of each class ``[..., classes]``; NaN for a class that is never predicted."""
    return _ratio(counts.hits, counts.predicted)


def recall(counts: Counts) -> Floats:
    """Return the recall of each class ``[..., classes]``; NaN for a class that no example has."""
    return _ratio(counts.hits, counts.true)


def subset_correct(truth: Bools, predicted: Bools) -> Bools:
    """Return which examples have exactly the predicted classes, bool ``[n]``; their share is the subset accuracy."""
    return np.asarray((truth == predicted).all(1))


def average_precision(truth: Bools, scores: Floats) -> NDArray[np.float64]:
    """Return the average precision of each class, float64 ``[classes]``; NaN for a class that no example has.

    It is the mean, over the examples of the class, of the precision among all examples that score at least as high
    (scikit-learn's ``average_precision_score``: a step function without interpolation, ties count together).
    """
    return np.array([_ap(truth[:, label], scores[:, label])[0] for label in range(truth.shape[1])])


def mean_average_precision(truth: Bools, scores: Floats) -> float:
    """Return the mean of the average precision over the classes that an example has; NaN if no example has any."""
    return mean_average_precision_influence(truth, scores)[0]


def mean_average_precision_influence(
    truth: Bools, scores: Floats, *, corrected: bool = False
) -> tuple[float, NDArray[np.float64]]:
    """Return the mean average precision, and the influence of each example on it, float64 ``[n]``.

    The influence of an example is the derivative of the value by the example's weight (the infinitesimal jackknife,
    Efron 1982). Sums of influences over clusters give the standard error of the value in one pass. A bootstrap would
    sort all scores again for every resample, and copies of an example in a resample raise the precision.

    Args:
        truth: bool ``[n, classes]``.
        scores: ``[n, classes]``.
        corrected: multiply the influences on the average precision of a class by the root of P / (P - 1), where P is
            its number of examples: the average precision is a mean over P examples, whose variance would be too small.
    """
    total, classes = np.zeros(len(truth)), 0
    value = 0.0
    for label in np.flatnonzero(truth.any(0)):
        own, influence = _ap(truth[:, label], scores[:, label])
        positives = int(truth[:, label].sum())
        if corrected and positives > 1:
            influence *= np.sqrt(positives / (positives - 1))
        value, total, classes = value + own, total + influence, classes + 1
    return (value / classes, total / classes) if classes else (float("nan"), total)


def _ap(truth: Bools, scores: Floats) -> tuple[float, NDArray[np.float64]]:
    """Return the average precision of one class, and the influence of each example ``[n]``; NaN without a positive.

    With weights w, true labels y and precision p_i = sum of w_j y_j / sum of w_j over all j with s_j >= s_i, the
    average precision is A = sum w_i y_i p_i / P, where P = sum w_i y_i. Its derivative by w_k at w = 1 is
    y_k (p_k - A) / P + 1/P * sum of y_i (y_k - p_i) / N_i over all i with s_i <= s_k, where N_i counts s_j >= s_i.
    """
    n, positives = len(truth), int(truth.sum())
    if not positives:
        return float("nan"), np.zeros(n)
    order = np.argsort(-scores, kind="stable")
    y, s = truth[order].astype(np.float64), scores[order]
    new = np.append(s[1:] != s[:-1], True)  # the last position of each run of ties
    last = np.repeat(np.flatnonzero(new), np.diff(np.flatnonzero(new), prepend=-1))
    first = np.repeat(np.append(0, np.flatnonzero(new)[:-1] + 1), np.diff(np.flatnonzero(new), prepend=-1))
    above = last + 1.0
    own = np.cumsum(y)[last] / above
    value = float((y * own).sum() / positives)
    below = np.cumsum((y / above)[::-1])[::-1][first]
    weighted = np.cumsum((y * own / above)[::-1])[::-1][first]
    influence = np.empty(n)
    influence[order] = (y * (own - value) + y * below - weighted) / positives
    return value, influence


def mean_language_map(labels: NDArray[Any], probabilities: Floats, languages: Sequence[str]) -> float:
    """Return the mean over languages of the mean average precision.

    Args:
        labels: int8 ``[n, classes]``, zeros and ones; -1 in the rows without a label, which are left out.
        probabilities: ``[n, classes]``.
        languages: the language of each example.

    Raises:
        ValueError: no example has any of the classes.
    """
    known = (labels >= 0).all(1)
    truth, scores, language = labels[known] > 0, probabilities[known], np.asarray(languages)[known]
    if not truth.any():
        raise ValueError("no example has any of the classes")
    values = [mean_average_precision(truth[language == name], scores[language == name]) for name in np.unique(language)]
    return float(np.nanmean(values))


def best_threshold(truth: Bools, scores: Floats) -> float:
    """Return the threshold for all classes with the highest micro-F1; to be chosen on validation, not on test.

    Of several, it is the highest. Without a true class it is above every score.
    """
    flat, labels = scores.ravel(), truth.ravel()
    order = np.argsort(-flat, kind="stable")
    s = flat[order]
    last = np.flatnonzero(np.append(s[1:] != s[:-1], True))
    if not labels.any():
        return float(np.nextafter(s[0], np.inf)) if len(s) else THRESHOLD
    f1 = 2 * np.cumsum(labels[order])[last] / (last + 1 + labels.sum())
    return float(s[last[f1.argmax()]])


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    ratio: Floats = np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator > 0)
    return ratio
