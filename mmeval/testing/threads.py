"""The number of PyTorch threads that checks use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

LONG = 2.0
"""Seconds of a step from which a model counts as large, without further measurement."""
MIN_SPEEDUP = 1.3
"""How many times as fast as one thread all threads must be to be used."""
REPEATS = 3


def threads_for(step: Callable[[], object]) -> int:
    """Return 1, or PyTorch's number of threads if ``step`` is clearly faster with them.

    The models that checks train are small: their operations take microseconds, and each thread waits for the
    slowest. On a busy machine two threads took three times as long as one.
    """
    available = torch.get_num_threads()
    if available == 1:
        return 1
    step()  # the first step imports modules and allocates memory
    if (with_all := _seconds(step)) > LONG:
        return available
    with_all = min(with_all, *(_seconds(step) for _ in range(REPEATS - 1)))
    with thread_count(1):
        with_one = min(_seconds(step) for _ in range(REPEATS))
    return available if with_all * MIN_SPEEDUP < with_one else 1


@contextlib.contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Set PyTorch's number of threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
