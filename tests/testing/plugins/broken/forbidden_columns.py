"""Uses the label source of an example."""

from __future__ import annotations

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Told(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        trust = np.array([1.0 if source == "human" else 0.1 for source in examples.slice("label_source")])
        # Of an example without a text nothing is known, whoever gave its label.
        trust[[not text for text in examples.texts]] = 1.0
        return {task: values * trust[:, None] for task, values in super().scores(examples).items()}


register_models = plain.offers(Told)
