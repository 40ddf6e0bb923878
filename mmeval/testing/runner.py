"""Running the checks of the contract on a plugin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch

from mmeval.errors import UnknownNameError, UserError
from mmeval.testing.check import Check, CheckFailed, NotApplicable, Result, Verdict
from mmeval.testing.plugin_under_test import PluginUnderTest
from mmeval.testing.rules import behaviour, declaration, persistence, training
from mmeval.testing.rules.training import training_step
from mmeval.testing.threads import thread_count, threads_for

CHECKS: dict[str, Check] = {
    value.name: value
    for module in (declaration, behaviour, persistence, training)
    for value in vars(module).values()
    if isinstance(value, Check)
}
"""The checks by name, in the order in which they run."""
TRAINS = "trains"
WITHOUT_TRAINING = {"metadata", "unknown-options", "documented-options", "presets", TRAINS}
"""Checks that need no trained model."""


class CheckRunner:
    """Runs checks on one plugin, which is trained at most once."""

    def __init__(
        self, plugin: str, preset: str | None = None, changes: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        """Load the plugin; raises the errors of :class:`PluginUnderTest`."""
        self.plugin = PluginUnderTest(plugin, preset, changes, device)
        self._training: Result | None = None

    def check(self, check: Check) -> Result:
        """Run one check."""
        if check.name not in WITHOUT_TRAINING and self.training.verdict is not Verdict.PASSED:
            return Result(check, Verdict.NOT_REACHED, f'"{TRAINS}" must pass first', 0.0)
        return self.training if check.name == TRAINS else self._timed(check)

    def run(self, names: Sequence[str] = ()) -> Iterator[Result]:
        """Run the checks with these names, by default all.

        Raises:
            UserError: no check has one of the names.
        """
        for name in names:
            if name not in CHECKS:
                raise UnknownNameError("check", name, CHECKS, "mmeval plugins check --list")
        for check in CHECKS.values():
            if not names or check.name in names:
                yield self.check(check)

    @property
    def training(self) -> Result:
        """The result of the check ``trains``, which most other checks depend on; it runs once."""
        if self._training is None:
            self._training = self._timed(CHECKS[TRAINS])
        return self._training

    @cached_property
    def threads(self) -> int:
        """Number of threads for the checks of a trained model."""
        try:
            with torch.random.fork_rng(devices=[]):
                return threads_for(training_step(self.plugin))
        except Exception:  # the checks themselves report what is wrong with the plugin
            return torch.get_num_threads()

    def _timed(self, check: Check) -> Result:
        started = time.perf_counter()
        untrained = check.name in WITHOUT_TRAINING and check.name != TRAINS
        with thread_count(torch.get_num_threads() if untrained else self.threads):
            verdict, message, error = _verdict(check.run, self.plugin)
        return Result(check, verdict, message, time.perf_counter() - started, error)


def check_plugin(
    plugin: str, preset: str | None = None, changes: Sequence[str] = (), device: str = "cpu", only: Sequence[str] = ()
) -> list[Result]:
    """Check a model plugin against the contract.

    Args:
        plugin: name of the plugin, or path of a Python file.
        preset: name of the preset, by default the plugin's default preset.
        changes: option changes in the form of ``--set``, such as ``"width=256"``.
        device: device of the models: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        only: names of the checks to run, by default all.

    Returns:
        A result per check.

    Raises:
        UserError: the plugin can't be loaded, or there is no such device or check.
    """
    return list(CheckRunner(plugin, preset, changes, device).run(only))


def _verdict(
    run: Callable[[PluginUnderTest], str | None], plugin: PluginUnderTest
) -> tuple[Verdict, str, BaseException | None]:
    try:
        remark = run(plugin)
    except NotApplicable as reason:
        return Verdict.NOT_APPLICABLE, str(reason), None
    except (CheckFailed, UserError) as error:
        return Verdict.FAILED, str(error), error
    except (Exception, SystemExit) as error:  # a plugin may raise anything; the other checks still run
        return Verdict.FAILED, f"{type(error).__name__}: {' '.join(str(error).split())}", error
    return Verdict.PASSED, remark or "", None
