"""Every model that mmeval ships keeps the contract that it asks of others, with no exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

import mmeval.testing
from mmeval.plugin.listing import installed
from tests.forked import fork_fresh_processes

MODELS = [entry.name for entry in installed("model") if entry.distribution == "mmeval-multilingual"]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """More threads gain nothing on data this small, and cost much on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


NEW_INTERPRETER = ("embracenet", "tfidf")
"""Models whose check `fresh-process` starts a new interpreter, as for users: a torch model and a plain one. For the
others it forks a process, because each import of torch takes seconds."""


def _keeps_the_contract(name: str, preset: str | None = None) -> Callable[..., None]:
    @mmeval.testing.contract(name, preset)
    def test(check: mmeval.testing.BoundCheck, monkeypatch: pytest.MonkeyPatch) -> None:
        if preset and check.check.name == "presets":
            pytest.skip("the test of the default preset tries all presets")
        if preset or name not in NEW_INTERPRETER:
            fork_fresh_processes(monkeypatch)
        try:
            check()
        except pytest.skip.Exception:
            # Its sparse features are no vector of a few hundred numbers.
            assert check.check.name != "embedding" or name == "tfidf", "our models give a fused vector"
            raise

    return test


# A test per model, so that one that is added later is held to the contract by being there.
globals().update({f"test_{name}": _keeps_the_contract(name) for name in MODELS})

# Their other presets that need no download. `paper` of coca and perceiver needs none either, and more than two cores.
PRESETS = (
    ("cma-clip", "without-both"),
    ("late-fusion", "logistic"),
    ("tfidf", "class-names"),
    ("unimodal", "tiny-image"),
)
globals().update({f"test_{name}_{preset}": _keeps_the_contract(name, preset) for name, preset in PRESETS})


def test_there_are_models() -> None:
    """Else all of the above would be nothing."""
    assert "embracenet" in MODELS
