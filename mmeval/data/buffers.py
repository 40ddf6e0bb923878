"""Reuse of the memory of earlier batches of images.

New memory costs a page fault every 4 kB. ``python benchmarks/reading.py --buffers`` measured reading without reuse
relative to reading with it: in batches of 256, as most presets have, 1.17 times the CPU time and 1.10 to 1.16 times the
wall time; in batches of 64, 1.02 to 1.07 times the CPU time (two shared cores, two to four series).
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MAX_ARRAYS = 32
"""Number of arrays that are kept; fewer batches than this are in use at a time."""


def _references(arrays: list[NDArray[np.uint8]]) -> list[int]:
    return [sys.getrefcount(array) for array in arrays]


_FREE = _references([np.empty(1, np.uint8)])[0]
"""Reference count of an array that only a list refers to; it differs between versions of Python."""


class Buffers:
    """A pool of NumPy arrays whose memory is reused for tensors.

    A tensor and its views hold a reference to their array; an array without such a reference is free.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def take(self, *shape: int) -> Tensor:
        """Return a uint8 tensor of this shape, with arbitrary content; safe to call from several threads."""
        size = int(np.prod(shape))
        with self._lock:
            for number, references in enumerate(_references(self._arrays)):
                if references == _FREE and len(self._arrays[number]) >= size:
                    return torch.from_numpy(self._arrays[number][:size].reshape(shape))
            new = np.empty(size, np.uint8)
            # Arrays that are too small for the current batches are dropped.
            kept = [array for array in self._arrays if len(array) >= size][1 - _MAX_ARRAYS :]
            self._arrays = [*kept, new]
            return torch.from_numpy(new[:size].reshape(shape))
