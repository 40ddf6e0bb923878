"""Published weights: where they are, why they can't be had, in a sentence, and no noise while they are fetched."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from mmeval.errors import MissingWeightsError, UserError
from mmeval.fetch.hub import client_errors, without_bars
from mmeval.nn.encoders.name import Named

_unreachable = False
"""Whether the Hub is left alone just now, for want of an address."""


class Source(NamedTuple):
    """Where an encoder comes from."""

    name: str
    """The encoder's whole name."""
    where: str
    """A repository of the Hub, or a folder."""
    revision: str | None
    local: bool
    random: bool
    """Whether only the architecture is taken, and weights are drawn."""

    @property
    def published(self) -> bool:
        """Whether anyone can have these weights by name."""
        return not (self.local or self.random)


def source(named: Named, *options: str) -> Source:
    """What a name means, whose kind knows ``options`` besides ``weights`` and, on the Hub, ``revision``.

    Raises:
        UserError: another option; no name; a folder that isn't there, or one that a name of the Hub would hide.
    """
    local, on_hub = named.kind == "local", named.kind == "hf"
    named.only(*options, "weights", *(["revision"] if on_hub else []))
    if not named.rest:
        raise UserError(
            f'"{named.full}": write {named.kind}:{"PATH" if local else "OWNER/NAME" if on_hub else "NAME"}.'
        )
    where = str(Path(named.rest).expanduser()) if local else named.rest
    if local and not Path(where).is_dir():
        raise UserError(f'"{named.full}": there is no folder {where}.')
    if on_hub and Path(where).exists():
        raise UserError(f'"{named.full}": {where} is also a folder here; write local:{where}, or go to another folder.')
    random = named.choice("weights", "pretrained", "random") == "random"
    return Source(named.full, where, named.options.get("revision"), local, random)


@contextlib.contextmanager
def fetching(found: Source) -> Iterator[None]:
    """Turn what libraries raise while they fetch and load into one sentence, and keep them quiet meanwhile.

    Raises:
        MissingWeightsError: weights, or what describes them, could not be had.
    """
    with quiet(on_hub=not found.local):
        try:
            yield
        except UserError:
            raise
        except client_errors() as error:
            raise MissingWeightsError(found.name, why(error, found)) from error


def why(error: BaseException, found: Source) -> str:
    """What went wrong at the Hub or in a folder, as the end of a sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if found.local:
        return f"{found.where} does not hold all that is needed ({_first_line(error)})."
    if _unreachable:
        return f"there is no connection to the Hub ({_host()} has no address here)."
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and this machine has no copy."
    known = (HfHubHTTPError, HFValidationError, EntryNotFoundError)
    causes = [one for one in _causes(error) if isinstance(one, known) and not isinstance(one, LocalEntryNotFoundError)]
    match causes[-1] if causes else None:
        case GatedRepoError():
            address = f"https://huggingface.co/{found.where}"
            return f"access is granted on request: ask at {address}, then log in with `hf auth login`."
        case RepositoryNotFoundError():
            return f"the Hub has no model {found.where}, or a private one: check it, or log in with `hf auth login`."
        case RevisionNotFoundError():
            return f'{found.where} has no revision "{found.revision or "main"}".'
        case EntryNotFoundError():
            return f"{found.where} lacks a file that is needed ({_first_line(error)})."
        case HFValidationError():
            return f'"{found.where}" is no name of a model; names look like owner/name.'
        case HfHubHTTPError() as refused:
            return f"the Hub answers HTTP {refused.response.status_code}."
    missing_file = [one for one in _causes(error) if isinstance(one, OSError) and "does not appear to have" in str(one)]
    if missing_file:
        return f"{found.where} lacks a file that is needed ({_first_line(missing_file[0])})."
    return f"there is no connection to the Hub ({type(_causes(error)[-1]).__name__})."


@contextlib.contextmanager
def quiet(*, on_hub: bool) -> Iterator[None]:
    """No bars, no reports of what was loaded: what matters of them is checked, and said as an error.

    ``on_hub``: whether the Hub may be asked; what is in a folder must not look for a network.
    """
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm", "transformers")]
    levels = [logger.level for logger in loggers]
    waiting = _without_waiting() if on_hub else contextlib.nullcontext()
    with without_bars(), _without_transformers_bars(), waiting:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Leave the Hub alone: what its cache lacks is missing."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _without_waiting() -> Iterator[None]:
    """Where the Hub's host has no address, its client would try for a minute; what is cached is found offline too."""
    global _unreachable
    from huggingface_hub import constants

    if _unreachable or constants.HF_HUB_OFFLINE or _has_address(_host()):
        yield
        return
    _unreachable = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        _unreachable = constants.HF_HUB_OFFLINE = False


def _host() -> str:
    from huggingface_hub import constants

    return urlsplit(constants.ENDPOINT).hostname or ""


def _has_address(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        # A proxy may know the host where this machine does not.
        return bool(getproxies())
    return True


@contextlib.contextmanager
def _without_transformers_bars() -> Iterator[None]:
    said: Any = sys.modules.get("transformers.utils.logging")
    if said is None or not said.is_progress_bar_enabled():
        yield
        return
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.enable_progress_bar()


def _causes(error: BaseException) -> list[BaseException]:
    """An error, then what it came from, and so on."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None and cause not in found:
        found.append(cause)
    return found


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
