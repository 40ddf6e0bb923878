"""What a user did wrong, as one sentence: what, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what was asked for; shown as one sentence, never as a traceback."""

    exit_code = 2


class UnknownNameError(UserError):
    """A name that is not registered; the message carries the nearest one and the command that lists all."""

    def __init__(self, kind: str, name: str, known: Iterable[str], listing: str) -> None:
        near = difflib.get_close_matches(name, list(known), n=1)
        guess = f' Did you mean "{near[0]}"?' if near else ""
        super().__init__(f'No {kind} is named "{name}".{guess} `{listing}` lists all.')


class PluginError(UserError):
    """A plugin that can't be used: it is missing, fails on import, or breaks its specification."""


class SpecError(PluginError):
    """A spec that lacks a field or holds what it must not; the manager adds which plugin is at fault."""


class MissingExtraError(UserError):
    """A package of an optional extra is not installed."""

    def __init__(self, what: str, package: str, extra: str, distribution: str = "mmeval-multilingual") -> None:
        super().__init__(
            f'{what} needs the package "{package}", which is not installed; '
            f"run: pip install '{distribution}[{extra}]'"
        )


class RunFolderError(UserError):
    """A run folder that is not what it should be: unfinished, another run's, or not a run at all."""


class Stopped(UserError):  # noqa: N818 - not an error of anyone
    """The user pressed Ctrl-C."""

    exit_code = 130


class DataError(UserError):
    """Data that is not as its card or its format says."""


class MissingWeightsError(UserError):
    """Published weights that are neither on this machine nor to be had from where they are published."""

    def __init__(self, encoder: str, why: str) -> None:
        super().__init__(
            f"The weights of {encoder} could not be had: {why} "
            "Fetch them where there is a network, or give a folder that holds them: local:PATH."
        )
