"""A check of the contract, and its result for one plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmeval.testing.plugin_under_test import PluginUnderTest


class CheckFailed(AssertionError):  # noqa: N818 - a failed assertion of pytest
    """A plugin breaks a rule; the message says how, in one sentence."""


class NotApplicable(Exception):  # noqa: N818 - not an error
    """A rule does not apply to a plugin; the message says why."""


@dataclass(frozen=True)
class Check:
    """A check of one rule of the contract."""

    name: str
    """The name that a user types: ``missing-image``."""
    rule: str
    """The rule that a plugin must follow, in one line."""
    consequence: str
    """The consequence for users of a plugin that breaks the rule."""
    run: Callable[[PluginUnderTest], str | None]
    """Check a plugin. Raises ``CheckFailed`` or ``NotApplicable``; a returned string is shown beside `passed`."""


class Verdict(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_REACHED = "not reached"
    """The check needs a trained model, and training failed."""


@dataclass(frozen=True)
class Result:
    """The result of a check for one plugin."""

    check: Check
    verdict: Verdict
    message: str
    """Why the check did not pass; for a passed check a remark, usually empty."""
    seconds: float
    error: BaseException | None = None
    """The exception of a failed check, for a traceback."""


def contract_check(
    name: str, rule: str, consequence: str
) -> Callable[[Callable[[PluginUnderTest], str | None]], Check]:
    """Return a decorator that turns a function into a :class:`Check`."""

    def decorate(run: Callable[[PluginUnderTest], str | None]) -> Check:
        return Check(name, rule, consequence, run)

    return decorate
