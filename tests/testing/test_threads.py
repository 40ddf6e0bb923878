"""The number of threads of a check: one, unless more are clearly faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from mmeval.testing import CHECKS, Verdict
from mmeval.testing import runner as module
from mmeval.testing import threads as clock
from mmeval.testing.check import Check, contract_check
from mmeval.testing.runner import CheckRunner
from mmeval.testing.threads import thread_count, threads_for


@pytest.fixture(autouse=True)
def _four_threads(_plugins: None) -> Iterator[None]:
    """Use four threads on any machine."""
    with thread_count(4):
        yield


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Callable[[], None]]:
    """Return a factory of steps, whose seconds with one and with all threads a simulated clock counts."""
    now = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def make(alone: float, together: float) -> Callable[[], None]:
        def run() -> None:
            now[0] += alone if torch.get_num_threads() == 1 else together

        return run

    return make


@pytest.mark.parametrize(
    ("alone", "together", "threads"),
    [(0.1, 0.1, 1), (0.1, 0.3, 1), (0.1, 0.09, 1), (0.1, 0.05, 4), (60.0, 30.0, 4)],
)
def test_several_threads_are_used_only_if_clearly_faster(
    alone: float, together: float, threads: int, step: Callable[[float, float], Callable[[], None]]
) -> None:
    assert threads_for(step(alone, together)) == threads
    assert torch.get_num_threads() == 4


def test_a_large_model_is_not_timed_with_one_thread(step: Callable[[float, float], Callable[[], None]]) -> None:
    """One step may take minutes with one thread."""

    def run() -> None:
        assert torch.get_num_threads() == 4
        step(0, 30)()

    assert threads_for(run) == 4


def test_checks_use_the_chosen_threads_and_restore_the_setting(
    monkeypatch: pytest.MonkeyPatch, plugin: Callable[[str], str]
) -> None:
    seen = {}

    def record_threads(name: str) -> Check:
        return contract_check(name, "", "")(lambda _: seen.update({name: torch.get_num_threads()}))

    monkeypatch.setattr(module, "threads_for", lambda step: step() and 2)
    runner = CheckRunner(plugin("sound"))
    monkeypatch.setitem(CHECKS, "trains", record_threads("trains"))
    for name in ("presets", "same-seed"):
        assert runner.check(record_threads(name)).verdict is Verdict.PASSED
    assert seen == {"presets": 4, "trains": 2, "same-seed": 2}
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("name", ["plain", "broken/trains_shape"])
def test_without_a_training_step_the_threads_are_unchanged(name: str, plugin: Callable[[str], str]) -> None:
    """For a plain model, or a broken one, whose error the check reports."""
    assert CheckRunner(plugin(name)).threads == 4
