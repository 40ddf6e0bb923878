"""The one number by which models are selected on the validation split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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
