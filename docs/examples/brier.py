"""The Brier score (Brier 1950): the squared distance between predicted probabilities and the true class."""

import mmeval
import numpy as np

MMEVAL_API = "1.0"


def brier(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the squared distance between probabilities ``[n, classes]`` and the true class: ``[n]``, 0 to 2."""
    truth = np.eye(probabilities.shape[1])[labels]
    return ((probabilities - truth) ** 2).sum(1)


@mmeval.hookimpl
def register_metrics(register):
    """Register the metric with mmeval."""
    register(mmeval.MetricSpec(name="brier", summary="Brier score, 0 to 2", per_example=brier, higher_is_better=False))
