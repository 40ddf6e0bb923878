"""Predicts invalid probabilities for a single task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Shares(plain.Plain):
    def predict(
        self, examples: mmeval.Examples, context: mmeval.FitContext
    ) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        for block in super().predict(examples, context):
            yield {task: values * (2 / len(self.context.tasks)) for task, values in block.items()}


register_models = plain.offers(Shares)
