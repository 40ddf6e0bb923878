"""Always predicts two tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Both(plain.Plain):
    def predict(
        self, examples: mmeval.Examples, context: mmeval.FitContext
    ) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        for block in super().predict(examples, context):
            size = len(block["colour"])
            yield {"shape.kind": np.full((size, 3), 1 / 3, np.float32), **block}


register_models = plain.offers(Both)
