"""A rule of the contract as data, and how a plugin fared with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmeval.testing.subject import Subject


@dataclass(frozen=True)
class Check:
    """One rule of the contract."""

    name: str
    """What a user types: ``missing-image``."""
    reason: str
    """Why there is this rule, in one line."""
    breaks: str
    """What would go wrong for a user of a plugin that breaks it."""
    run: Callable[[Subject], str | None]
    """Raises :class:`Broken` or :class:`NotApplicable`; a text that it returns is shown beside `passed`."""


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_REACHED = "not reached"
    """It needs a trained model, and training failed."""


@dataclass(frozen=True)
class Result:
    """A check's verdict on one plugin."""

    check: Check
    verdict: Verdict
    message: str
    """Why it isn't `passed`; beside `passed`, what the rule has to add, mostly nothing."""
    seconds: float
    error: BaseException | None = None
    """What was raised, for a traceback."""


def rule(name: str, reason: str, breaks: str) -> Callable[[Callable[[Subject], str | None]], Check]:
    """Decorator that makes a function the :class:`Check` of that name."""

    def made(run: Callable[[Subject], str | None]) -> Check:
        return Check(name, reason, breaks, run)

    return made
