"""A thread pool that computes results ahead, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
P = TypeVar("P")


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def epoch_order(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a permutation of ``range(size)`` that depends only on seed and epoch."""
    return np.random.default_rng([seed, epoch]).permutation(size)


def batches(
    order: NDArray[np.int64], batch_size: int, make: Callable[[NDArray[np.int64]], T], *, workers: int = 2
) -> Iterator[T]:
    """Yield ``make(rows)`` for each ``batch_size`` rows of ``order``, in that order."""
    parts = iter(np.array_split(order, range(batch_size, len(order), batch_size)) if len(order) else [])
    return in_order(parts, make, workers=workers)


def in_order(
    parts: Iterable[P], make: Callable[[P], T], *, workers: int = 2, ahead: int | None = None
) -> Generator[T, None, None]:
    """Yield ``make(part)`` for each of ``parts``, in their order, computed ahead in threads.

    Each part is one task, and at most ``ahead`` tasks (by default ``2 * workers``) are running or finished but not
    consumed. Threads suffice: decoding and resizing release the interpreter lock, and no data is copied between
    processes.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mmeval-loader")
    pending: deque[Future[T]] = deque()
    try:
        for part in parts:
            pending.append(pool.submit(make, part))
            if len(pending) >= (ahead or 2 * workers):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
