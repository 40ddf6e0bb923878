"""How many threads a check computes with: as few as will do, for a busy machine punishes each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from mmeval.testing import CHECKS, Verdict
from mmeval.testing import examine as module
from mmeval.testing import threads as clock
from mmeval.testing.check import Check, rule
from mmeval.testing.examine import Examination
from mmeval.testing.threads import computing_with, threads_for


@pytest.fixture(autouse=True)
def _four(_plugins: None) -> Iterator[None]:
    """Four threads, whatever the machine has."""
    with computing_with(4):
        yield


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Callable[[], None]]:
    """Makes a step that takes so many seconds with one thread and with all, by a clock that it moves itself."""
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
def test_more_than_one_thread_must_pay(
    alone: float, together: float, threads: int, step: Callable[[float, float], Callable[[], None]]
) -> None:
    assert threads_for(step(alone, together)) == threads
    assert torch.get_num_threads() == 4


def test_a_large_model_is_not_tried_with_one_thread(step: Callable[[float, float], Callable[[], None]]) -> None:
    """One step of it may take minutes then."""

    def run() -> None:
        assert torch.get_num_threads() == 4
        step(0, 30)()

    assert threads_for(run) == 4


def test_checks_compute_with_what_was_found_and_leave_it_as_it_was(
    monkeypatch: pytest.MonkeyPatch, plugin: Callable[[str], str]
) -> None:
    seen = {}

    def look(name: str) -> Check:
        return rule(name, "", "")(lambda _: seen.update({name: torch.get_num_threads()}))

    monkeypatch.setattr(module, "threads_for", lambda step: step() and 2)
    examination = Examination(plugin("sound"))
    monkeypatch.setitem(CHECKS, "trains", look("trains"))
    for name in ("presets", "same-seed"):
        assert examination.check(look(name)).verdict is Verdict.PASSED
    assert seen == {"presets": 4, "trains": 2, "same-seed": 2}
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("name", ["plain", "broken/trains_shape"])
def test_where_no_step_can_be_taken_the_threads_stay(name: str, plugin: Callable[[str], str]) -> None:
    """A plain model, or one that fails: what is wrong with it is for the check to say."""
    assert Examination(plugin(name)).threads == 4
