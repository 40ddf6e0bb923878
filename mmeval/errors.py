"""Exceptions for mistakes of users: one sentence with the problem, its place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user; the command line shows it as one sentence without a traceback."""

    exit_code = 2


class UnknownNameError(UserError):
    """A name that is not registered; the message suggests the nearest name and the command that lists all."""

    def __init__(self, kind: str, name: str, known: Iterable[str], listing: str) -> None:
        matches = difflib.get_close_matches(name, list(known), n=1)
        guess = f' Did you mean "{matches[0]}"?' if matches else ""
        super().__init__(f'No {kind} is named "{name}".{guess} `{listing}` lists all.')


class PluginError(UserError):
    """A plugin that can't be used: it is missing, fails on import, or violates its specification."""


class SpecError(PluginError):
    """A spec with a missing or invalid field; the plugin manager adds the name of the plugin."""


class MissingExtraError(UserError):
    """A package of an optional extra is not installed."""

    def __init__(self, feature: str, package: str, extra: str, distribution: str = "mmeval-multilingual") -> None:
        super().__init__(
            f'{feature} needs the package "{package}", which is not installed; '
            f"run: pip install '{distribution}[{extra}]'"
        )


class RunFolderError(UserError):
    """A run folder that can't be used: it is unfinished, damaged, of another run, or not a run folder."""


class Stopped(UserError):  # noqa: N818 - not an error
    """The user pressed Ctrl-C."""

    exit_code = 130


class DataError(UserError):
    """Data that differs from its data card or from its file format."""


class MissingWeightsError(UserError):
    """Published weights that are not on this machine and can't be downloaded."""

    def __init__(self, encoder: str, why: str) -> None:
        super().__init__(
            f"The weights of {encoder} could not be loaded: {why} "
            "Download them on a machine with a network, or name a folder that holds them: local:PATH."
        )
