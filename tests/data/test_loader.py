"""Loading ahead in threads: in order, bounded, and with errors passed on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmeval.data.loader import batches, epoch_order


@given(st.integers(0, 40), st.integers(1, 45), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_batches_are_complete_and_in_order(size: int, batch_size: int, workers: int) -> None:
    order = epoch_order(size, 0, 0)
    rng = np.random.default_rng(0)

    def make(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        time.sleep(rng.random() / 2000)
        return rows

    loaded = list(batches(order, batch_size, make, workers=workers))
    assert [number for batch in loaded for number in batch] == order.tolist()
    assert [len(batch) for batch in loaded[:-1]] == [batch_size] * (len(loaded) - 1)
    assert all(0 < len(batch) <= batch_size for batch in loaded)


def test_an_error_is_raised_at_its_position() -> None:
    """After the batches before it."""

    def make(rows: NDArray[np.int64]) -> int:
        if 6 in rows:
            raise OSError("cannot identify image file")
        return int(rows[0])

    stream = batches(np.arange(20), 2, make)
    assert [next(stream) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(OSError, match="cannot identify image file"):
        next(stream)
    assert next(stream, None) is None


@pytest.mark.parametrize("workers", [1, 2])
def test_loading_ahead_is_bounded(workers: int) -> None:
    """A data set may be larger than memory."""
    loaded = []
    stream = batches(np.arange(50), 1, loaded.append, workers=workers)
    for taken in range(1, 6):
        next(stream)
        time.sleep(0.05)
        assert taken <= len(loaded) < taken + 2 * workers


def test_closing_the_iterator_stops_the_threads() -> None:
    """Ctrl-C and early stopping must not wait for the rest of the epoch."""
    started = []

    def make(rows: NDArray[np.int64]) -> None:
        started.append(int(rows[0]))
        time.sleep(0.3 if rows[0] else 0)

    stream = batches(np.arange(1000), 1, make, workers=2)
    next(stream)
    stream.close()
    assert set(started) <= {0, 1, 2}, "a waiting task was started"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mmeval-loader")]


@given(st.integers(0, 200), st.integers(0, 9), st.integers(0, 9))
def test_the_order_of_an_epoch_is_a_reproducible_permutation(size: int, seed: int, epoch: int) -> None:
    """A resumed run must see the same batches."""
    order = epoch_order(size, seed, epoch)
    assert sorted(order) == list(range(size))
    assert np.array_equal(order, epoch_order(size, seed, epoch))


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
