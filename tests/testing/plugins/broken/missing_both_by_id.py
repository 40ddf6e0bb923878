"""Predicts from the id if there are no inputs."""

from __future__ import annotations

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Guess(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        scores = super().scores(examples)
        for row, (text, name) in enumerate(zip(examples.texts, examples.ids, strict=True)):
            for values in scores.values():
                values[row, 0] += 0 if text else sum(map(ord, name)) % 3
        return scores


register_models = plain.offers(Guess)
