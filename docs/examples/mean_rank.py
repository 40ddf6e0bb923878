"""The mean rank of the true class: how far down a list of suggestions a person has to look for it."""

import mmeval
import numpy as np

MMEVAL_API = "1.0"


def rank(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the place of the true class among the classes sorted by probability ``[n, classes]``: ``[n]``, from 1."""
    own = probabilities[np.arange(len(labels)), labels]
    return 1.0 + (probabilities > own[:, None]).sum(1)


@mmeval.hookimpl
def register_metrics(register):
    """Register the metric with mmeval."""
    register(mmeval.MetricSpec(name="mean-rank", summary="1 is best", per_example=rank, higher_is_better=False))
