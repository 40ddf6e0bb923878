"""Facts that scoring takes from validation predictions: thresholds of classes and of conformal sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.conformal import LanguageThresholds
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.thresholds import thresholds_of


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The thresholds of one task."""

    recall: NDArray[np.float64]
    """For each class the lowest threshold with 90 % precision, ``[classes]``."""
    conformal: LanguageThresholds
    """The thresholds of conformal sets."""


def calibrated(validation: Predictions) -> dict[str, Calibrated]:
    """Return the thresholds by task; a task whose validation predictions have labels only has none.

    Raises:
        RunFolderError: the file of the predictions is damaged.
    """
    facts = {}
    for task in validation.tasks:
        recall, conformal = thresholds_of(validation, task), LanguageThresholds.of(validation, task.name)
        if recall is not None and conformal is not None:
            facts[task.name] = Calibrated(recall, conformal)
    return facts
