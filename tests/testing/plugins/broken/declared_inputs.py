"""Declares only texts, but checks whether there is an image."""

from __future__ import annotations

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Peeking(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        sharp = np.where(examples.image_rows < 0, 1.0, 0.1)
        return {task: values * sharp[:, None] for task, values in super().scores(examples).items()}


register_models = plain.offers(Peeking)
