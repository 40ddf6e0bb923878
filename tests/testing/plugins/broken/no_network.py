"""Looks for a newer model, and ignores errors."""

from __future__ import annotations

import contextlib
import socket

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Curious(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 9), timeout=1):
            pass
        return super().scores(examples)


register_models = plain.offers(Curious)
