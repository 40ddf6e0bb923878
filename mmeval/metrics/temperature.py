"""Calibration by a temperature that is fitted on validation predictions (Guo et al. 2017, arXiv 1706.04599).

Probabilities are the softmax of logits up to a constant, so ``softmax(log p / T)`` is the softmax of the logits divided
by ``T``; the logits themselves are not needed. For a multi-label task it is ``sigmoid(logit p / T)``. The order of the
classes never changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.1, 10.0
"""Bounds of a temperature: a few validation rows that are all correct would give 0."""
_PRECISION = 1e-5
"""Relative error of a temperature."""
_ROWS = 4096
"""Rows that are computed at once, to bound memory."""

Floats = NDArray[np.floating]


def fit_temperature(probabilities: Floats, true: NDArray[np.integer]) -> float | None:
    """Return the temperature with the lowest negative log-likelihood; None without a labelled example.

    Args:
        probabilities: of a task with one class per example, ``[n, classes]``.
        true: indices of the true classes, ``[n]``; -1 for an example without a label.
    """
    labelled = np.flatnonzero(true >= 0)
    if not len(labelled):
        return None

    def slope(inverse: float) -> float:
        total = 0.0
        for start in range(0, len(labelled), _ROWS):
            rows = labelled[start : start + _ROWS]
            logits = _log(probabilities[rows])
            weights = _softmax(logits * inverse)
            total += float((weights * logits).sum() - logits[np.arange(len(rows)), true[rows]].sum())
        return total

    return _root(slope)


def fit_multilabel_temperature(probabilities: Floats, true: NDArray[Any]) -> float | None:
    """Return the temperature with the lowest binary negative log-likelihood; None without a labelled example.

    Args:
        probabilities: of each class, ``[n, classes]``.
        true: 1 for the classes of an example, 0 for others, -1 in the rows without a label, ``[n, classes]``.
    """
    labelled = np.flatnonzero((true >= 0).all(1))
    if not len(labelled):
        return None

    def slope(inverse: float) -> float:
        total = 0.0
        for start in range(0, len(labelled), _ROWS):
            rows = labelled[start : start + _ROWS]
            logits = _logit(probabilities[rows])
            total += float(((_sigmoid(logits * inverse) - true[rows]) * logits).sum())
        return total

    return _root(slope)


def calibrated(probabilities: Floats, temperature: float, *, multilabel: bool = False) -> NDArray[np.float32]:
    """Return probabilities ``[n, classes]`` at a temperature; 1 leaves them as they are."""
    if temperature == 1:
        return np.asarray(probabilities, np.float32)
    if multilabel:
        return _sigmoid(_logit(probabilities) / temperature).astype(np.float32)
    return _softmax(_log(probabilities) / temperature).astype(np.float32)


def _root(slope: Callable[[float], float]) -> float:
    """Return the temperature at which the slope of a convex function of the inverse temperature is 0, within bounds."""
    from scipy.optimize import brentq

    low, high = math.log(1 / HIGHEST), math.log(1 / LOWEST)
    if slope(math.exp(high)) <= 0:
        return LOWEST
    if slope(math.exp(low)) >= 0:
        return HIGHEST
    return math.exp(-brentq(lambda logarithm: slope(math.exp(logarithm)), low, high, xtol=_PRECISION))


def _log(probabilities: Floats) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))


def _logit(probabilities: Floats) -> NDArray[np.float64]:
    p = np.clip(probabilities.astype(np.float64), np.finfo(np.float32).tiny, 1 - 1e-7)
    return np.asarray(np.log(p) - np.log1p(-p))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits)))
