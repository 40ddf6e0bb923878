"""Needs a host name look-up to predict."""

from __future__ import annotations

import socket

import numpy as np
import plain
from numpy.typing import NDArray

import mmeval

MMEVAL_API = "1.0"


class Dependent(plain.Plain):
    def scores(self, examples: mmeval.Examples) -> dict[str, NDArray[np.float64]]:
        socket.getaddrinfo("127.0.0.1", 9)
        return super().scores(examples)


register_models = plain.offers(Dependent)
