"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): a single number makes confidence fit validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.05, 20.0
"""The temperature lies between these."""
FLOOR = 1e-12
"""Probabilities below this count as this, as in the log loss."""


def fit_temperature(probabilities: NDArray[np.floating], true: NDArray[np.integer]) -> float:
    """Return the temperature with the least log loss: above 1 for a model that is too confident.

    Args:
        probabilities: ``[n, classes]``.
        true: index of the true class of each row, ``[n]``, all known; there is at least one row.
    """
    from scipy.optimize import minimize_scalar

    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float32)
    logs -= logs.max(1, keepdims=True)
    own = logs[np.arange(len(true)), true].astype(np.float64)

    def loss(log_temperature: float) -> float:
        inverse = float(np.exp(-log_temperature))
        return float(np.mean(np.log(np.exp(logs * np.float32(inverse)).sum(1, dtype=np.float64)) - own * inverse))

    bounds = (float(np.log(LOWEST)), float(np.log(HIGHEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))


def scaled_confidence(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Return the probability of the predicted class at a temperature, ``[n]``; the predicted class stays the same."""
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64) / temperature
    return np.asarray(1 / np.exp(logs - logs.max(1, keepdims=True)).sum(1), np.float32)
