"""Buffers are reused only when no tensor refers to them, so that batches never mix."""

from __future__ import annotations

import threading

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmeval.data.buffers import Buffers


def test_free_memory_is_reused() -> None:
    buffers = Buffers()
    first = buffers.take(4, 3)
    address = first.data_ptr()
    del first
    assert buffers.take(2, 6).data_ptr() == address
    assert buffers.take(4, 3).data_ptr() == address, "freed again"


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_memory_in_use_keeps_its_content(steps: list[tuple[int, bool]]) -> None:
    """Whether the tensor itself is in use, a view, a NumPy array, or a copy on the same device."""
    buffers, held = Buffers(), []
    views = (
        lambda t: t,
        lambda t: t[1:],
        lambda t: t.permute(1, 0),
        lambda t: t.numpy(),
        lambda t: t.to("cpu"),
        lambda t: t.view(-1)[3:],
    )
    for value, (kind, drop) in enumerate(steps):
        taken = buffers.take(3, 4)
        taken.fill_(value)
        held.append((views[kind](taken), value))
        if drop:
            held.pop(0)
        for array, expected in held:
            assert bool((torch.as_tensor(np.asarray(array)) == expected).all())


def test_threads_never_share_memory() -> None:
    buffers, wrong = Buffers(), []

    def work(value: int) -> None:
        for _ in range(300):
            taken = buffers.take(64)
            taken.fill_(value)
            copy = taken.clone()
            if not bool((copy == value).all() and (taken == value).all()):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_batch_without_images_is_empty() -> None:
    assert Buffers().take(0, 8, 8, 3).shape == (0, 8, 8, 3)
