"""Every model that mmeval ships keeps the contract that it asks of others, with no exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

import mmeval.testing
from mmeval.plugin.listing import installed

MODELS = [one.name for one in installed("model") if one.distribution == "mmeval-multilingual"]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """More threads gain nothing on data this small, and cost much on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _keeps_the_contract(name: str) -> Callable[[mmeval.testing.BoundCheck], None]:
    @mmeval.testing.contract(name)
    def test(check: mmeval.testing.BoundCheck) -> None:
        check()

    return test


# A test per model, so that one that is added later is held to the contract by being there.
globals().update({f"test_{name}": _keeps_the_contract(name) for name in MODELS})


def test_there_are_models() -> None:
    """Else all of the above would be nothing."""
    assert "embracenet" in MODELS
