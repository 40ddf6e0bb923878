"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): a single number makes confidence fit validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.predictions import has_probabilities, probabilities, true_labels

LOWEST, HIGHEST = 0.05, 20.0
"""The temperature lies between these."""
FLOOR = 1e-12
"""Probabilities below this count as this, as in the log loss."""
FIT_ROWS = 20_000
"""Validation rows that a temperature is fitted on; of more, evenly spaced ones."""


def validation_temperature(validation: Path, task: Task) -> tuple[float, int] | None:
    """Return the temperature of a task, and the number of rows that it is fitted on; None without labelled rows.

    Args:
        validation: a file with the predictions of the validation split.
        task: the task; probabilities of a multi-label task are scaled as the sigmoid of their logits.

    Raises:
        RunFolderError: the file is damaged.
    """
    if not has_probabilities(validation, task):
        return None
    matrices, labels = [], []
    for batch, matrix in probabilities(validation, task):
        true = true_labels(validation, batch, task)
        known = (true >= 0).all(1) if task.multilabel else true >= 0
        matrices.append(matrix[known])
        labels.append(true[known])
    count = sum(map(len, labels))
    if not count:
        return None
    rows = np.unique(np.linspace(0, count - 1, min(count, FIT_ROWS)).astype(np.int64))
    fit = fit_multilabel_temperature if task.multilabel else fit_temperature
    return fit(np.concatenate(matrices)[rows], np.concatenate(labels)[rows]), len(rows)


def fit_temperature(probabilities: NDArray[np.floating], true: NDArray[np.integer]) -> float:
    """Return the temperature with the least log loss: above 1 for a model that is too confident.

    Args:
        probabilities: ``[n, classes]``.
        true: index of the true class of each row, ``[n]``, all known; there is at least one row.
    """
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float32)
    logs -= logs.max(1, keepdims=True)
    own = logs[np.arange(len(true)), true].astype(np.float64)

    def loss(log_temperature: float) -> float:
        inverse = float(np.exp(-log_temperature))
        return float(np.mean(np.log(np.exp(logs * np.float32(inverse)).sum(1, dtype=np.float64)) - own * inverse))

    return _least(loss)


def fit_multilabel_temperature(probabilities: NDArray[np.floating], true: NDArray[np.integer]) -> float:
    """Return the temperature with the least binary log loss, averaged over examples and classes.

    Args:
        probabilities: of each class, ``[n, classes]``.
        true: 1 for the classes of an example, 0 for the others, ``[n, classes]``; there is at least one row.
    """
    logits = _logits(probabilities)
    sign = np.where(true > 0, -1.0, 1.0)
    return _least(lambda log_temperature: float(np.logaddexp(0, sign * logits * np.exp(-log_temperature)).mean()))


def scaled(probabilities: NDArray[np.floating], temperature: float, *, multilabel: bool = False) -> NDArray[np.float32]:
    """Return probabilities ``[n, classes]`` at a temperature; the order of the classes stays the same."""
    if multilabel:
        return np.asarray(1 / (1 + np.exp(-_logits(probabilities) / temperature)), np.float32)
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64) / temperature
    weights = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def scaled_confidence(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Return the probability of the predicted class at a temperature, ``[n]``; the predicted class stays the same."""
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64) / temperature
    return np.asarray(1 / np.exp(logs - logs.max(1, keepdims=True)).sum(1), np.float32)


def _least(loss: Any) -> float:  # noqa: ANN401 - a function of the logarithm of a temperature
    from scipy.optimize import minimize_scalar

    bounds = (float(np.log(LOWEST)), float(np.log(HIGHEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = np.clip(probabilities.astype(np.float64), FLOOR, 1 - 1e-7)
    return np.asarray(np.log(p) - np.log1p(-p))
