"""Needs a module variable that training sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"
temperature = 1.0


class Global(plain.Plain):
    def fit(self, train: mmeval.Examples, validation: mmeval.Examples, context: mmeval.FitContext) -> Mapping[str, Any]:
        global temperature
        temperature = 2.0
        return super().fit(train, validation, context)

    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        return {task: values / temperature for task, values in super().scores(examples).items()}


register_models = plain.offers(Global)
