"""Ends the process in prediction."""

from __future__ import annotations

import sys

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Leaving(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        sys.exit(0)


register_models = plain.offers(Leaving)
