"""Memory for batches that is used again once nobody looks at the batch any more."""

from __future__ import annotations

import sys
import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MOST = 32
"""Arrays that are kept: more batches are never under way."""


def _references(arrays: list[NDArray[np.uint8]]) -> list[int]:
    return [sys.getrefcount(array) for array in arrays]


_FREE = _references([np.empty(1, np.uint8)])[0]
"""Of an array that only a list holds; how the interpreter counts differs between its versions."""


class Buffers:
    """Tensors that live in arrays of earlier batches.

    Fresh memory costs a page fault every 4 kB, which for images is a fifth of the time of decoding them. A tensor
    holds a reference to the array that it lives in, as do its views; an array without one is free.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def take(self, *shape: int) -> Tensor:
        """A uint8 tensor with any content."""
        size = int(np.prod(shape))
        with self._lock:
            for number, references in enumerate(_references(self._arrays)):
                if references == _FREE and len(self._arrays[number]) >= size:
                    return torch.from_numpy(self._arrays[number][:size].reshape(shape))
            array = np.empty(size, np.uint8)
            # Those that are too small for today's batches are let go.
            kept = [one for one in self._arrays if len(one) >= size][1 - _MOST :]
            self._arrays = [*kept, array]
            return torch.from_numpy(array[:size].reshape(shape))
