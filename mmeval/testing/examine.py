"""Holding a plugin against the contract, check by check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch

from mmeval.errors import UnknownNameError, UserError
from mmeval.testing import behaviour, declaration, persistence, training
from mmeval.testing.check import Check, Result, Verdict
from mmeval.testing.outcome import Broken, NotApplicable
from mmeval.testing.subject import Subject
from mmeval.testing.threads import computing_with, threads_for
from mmeval.testing.training import step_of

CHECKS: dict[str, Check] = {
    value.name: value
    for room in (declaration, behaviour, persistence, training)
    for value in vars(room).values()
    if isinstance(value, Check)
}
"""By name, in the order in which they are checked."""
TRAINS = "trains"
ALONE = {"metadata", "unknown-options", "documented-options", "presets", TRAINS}
"""Checks that need no trained model."""


class Examination:
    """One plugin's way through the contract."""

    def __init__(
        self, plugin: str, preset: str | None = None, changes: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        """Load the plugin; errors as :class:`Subject`."""
        self.subject = Subject(plugin, preset, changes, device)
        self._trains: Result | None = None

    def check(self, check: Check) -> Result:
        """Run one check."""
        if check.name not in ALONE and self.trains.verdict is not Verdict.PASSED:
            return Result(check, Verdict.NOT_REACHED, f'"{TRAINS}" must pass first', 0.0)
        return self.trains if check.name == TRAINS else self._timed(check)

    def all(self, names: Sequence[str] = ()) -> Iterator[Result]:
        """Run the checks of these names, or all."""
        for name in names:
            if name not in CHECKS:
                raise UnknownNameError("check", name, CHECKS, "mmeval plugins check --list")
        for check in CHECKS.values():
            if not names or check.name in names:
                yield self.check(check)

    @property
    def trains(self) -> Result:
        """Whether the plugin trains at all: asked once, needed by most checks."""
        if self._trains is None:
            self._trains = self._timed(CHECKS[TRAINS])
        return self._trains

    @cached_property
    def threads(self) -> int:
        """Threads that the checks of a trained model compute with."""
        try:
            with torch.random.fork_rng(devices=[]):
                return threads_for(step_of(self.subject))
        except Exception:  # whatever is wrong with the plugin is for its check to say
            return torch.get_num_threads()

    def _timed(self, check: Check) -> Result:
        started = time.perf_counter()
        alone = check.name in ALONE and check.name != TRAINS
        with computing_with(torch.get_num_threads() if alone else self.threads):
            verdict, message, error = _verdict(check.run, self.subject)
        return Result(check, verdict, message, time.perf_counter() - started, error)


def check_plugin(
    plugin: str, preset: str | None = None, changes: Sequence[str] = (), device: str = "cpu", only: Sequence[str] = ()
) -> list[Result]:
    """Hold a plugin against the whole contract.

    Args:
        plugin: its name, or the path of a Python file.
        preset: one of its presets, by default its default.
        changes: ``"width=256"``, as ``--set`` takes them.
        device: where its models are built and trained: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        only: names of checks, by default all.

    Returns:
        A result per check.

    Raises:
        UserError: the plugin can't be loaded, or there is no such device or check.
    """
    return list(Examination(plugin, preset, changes, device).all(only))


def _verdict(run: Callable[[Subject], str | None], subject: Subject) -> tuple[Verdict, str, BaseException | None]:
    try:
        added = run(subject)
    except NotApplicable as reason:
        return Verdict.NOT_APPLICABLE, str(reason), None
    except (Broken, UserError) as error:
        return Verdict.FAILED, str(error), error
    except (Exception, SystemExit) as error:  # a plugin may raise anything, the next check is still worth its while
        return Verdict.FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}", error
    return Verdict.PASSED, added or "", None
