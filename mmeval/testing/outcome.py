"""How a check of the contract ends when a plugin does not simply pass."""

from __future__ import annotations


class Broken(AssertionError):  # noqa: N818 - reads as what it says
    """A plugin breaks a rule; the message says how, in one sentence."""


class NotApplicable(Exception):  # noqa: N818 - not an error
    """A rule has nothing to say about this plugin; the message says why."""
