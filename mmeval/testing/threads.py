"""How many threads PyTorch computes with while a plugin is checked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

LONG = 2.0
"""Seconds of a step from which on a model counts as large, without further trial."""
WORTH = 1.3
"""How many times as fast all threads must be as one."""
TRIALS = 3


def threads_for(step: Callable[[], object]) -> int:
    """One thread, unless all of them make ``step`` clearly faster.

    The models of the contract are small: their operations take microseconds, in which each thread waits for the
    slowest. On a busy machine that one isn't even running; two threads then took three times as long as one.
    """
    most = torch.get_num_threads()
    if most == 1:
        return 1
    step()  # the first one imports and allocates
    if (together := _seconds(step)) > LONG:
        return most
    together = min(together, *(_seconds(step) for _ in range(TRIALS - 1)))
    with computing_with(1):
        alone = min(_seconds(step) for _ in range(TRIALS))
    return most if together * WORTH < alone else 1


@contextlib.contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads within the block."""
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
