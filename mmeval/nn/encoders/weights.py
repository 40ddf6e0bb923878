"""Published weights: their source, quiet loading, and one-sentence reasons why they can't be loaded."""

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
from mmeval.nn.encoders.name import EncoderName

_unreachable = False
"""Whether the Hub's client is offline at the moment because its host has no address."""


class WeightsSource(NamedTuple):
    """Where the weights of an encoder come from."""

    name: str
    """The encoder's full name."""
    location: str
    """A repository of the Hub, or a folder."""
    revision: str | None
    """A revision of the repository; None for its main branch."""
    local: bool
    """Whether ``location`` is a folder."""
    random: bool
    """Whether only the architecture is used, with random weights."""

    @property
    def published(self) -> bool:
        """Whether the weights can be downloaded again by name."""
        return not (self.local or self.random)


def weights_source(name: EncoderName, *options: str) -> WeightsSource:
    """Return the source that a name describes.

    ``options`` are the options of this kind of encoder, besides ``weights`` and, for ``hf:``, ``revision``.

    Raises:
        UserError: the name has another option or no argument, the folder does not exist, or the name of a repository is
            also the path of a folder.
    """
    local, on_hub = name.kind == "local", name.kind == "hf"
    name.check_options(*options, "weights", *(["revision"] if on_hub else []))
    if not name.argument:
        raise UserError(f'"{name.full}": write {name.kind}:{"PATH" if local else "OWNER/NAME" if on_hub else "NAME"}.')
    location = str(Path(name.argument).expanduser()) if local else name.argument
    if local and not Path(location).is_dir():
        raise UserError(f'"{name.full}": there is no folder {location}.')
    if on_hub and Path(location).exists():
        raise UserError(
            f'"{name.full}": {location} is also a folder here; write local:{location}, or change to another folder.'
        )
    return WeightsSource(name.full, location, name.options.get("revision"), local, name.has_random_weights)


@contextlib.contextmanager
def fetching(source: WeightsSource) -> Iterator[None]:
    """Turn errors of a library's download or loading into one sentence, and silence the library meanwhile.

    Raises:
        MissingWeightsError: weights, configuration or tokenizer could not be loaded.
    """
    with quiet(on_hub=not source.local):
        try:
            yield
        except UserError:
            raise
        except client_errors() as error:
            raise MissingWeightsError(source.name, failure_reason(error, source)) from error


def failure_reason(error: BaseException, source: WeightsSource) -> str:
    """Return the reason of a failed download or load, as the end of a sentence."""
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

    if source.local:
        return f"{source.location} can't be loaded ({_first_line(error)})."
    if _unreachable:
        return f"there is no connection to the Hub ({_host()} has no address here)."
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and this machine has no copy."
    known = (HfHubHTTPError, HFValidationError, EntryNotFoundError)
    causes = [
        cause for cause in _causes(error) if isinstance(cause, known) and not isinstance(cause, LocalEntryNotFoundError)
    ]
    match causes[-1] if causes else None:
        case GatedRepoError():
            address = f"https://huggingface.co/{source.location}"
            return f"access is granted on request: ask at {address}, then log in with `hf auth login`."
        case RepositoryNotFoundError():
            return (
                f"the Hub has no model {source.location}, or a private one: check it, or log in with `hf auth login`."
            )
        case RevisionNotFoundError():
            return f'{source.location} has no revision "{source.revision or "main"}".'
        case EntryNotFoundError():
            return f"{source.location} lacks a file that is needed ({_first_line(error)})."
        case HFValidationError():
            return f'"{source.location}" is no name of a model; names look like owner/name.'
        case HfHubHTTPError() as http_error:
            return f"the Hub answers HTTP {http_error.response.status_code}."
    for cause in _causes(error):
        if isinstance(cause, OSError) and "does not appear to have" in str(cause):  # as transformers words it
            return f"{source.location} lacks a file that is needed ({_first_line(cause)})."
    return f"there is no connection to the Hub ({type(_causes(error)[-1]).__name__})."


@contextlib.contextmanager
def quiet(*, on_hub: bool) -> Iterator[None]:
    """Suppress progress bars and loading reports of libraries; mmeval raises an error for what matters in them.

    ``on_hub``: whether the block may use the Hub; loading from a folder must not look for a network.
    """
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm", "transformers")]
    levels = [logger.level for logger in loggers]
    no_retries = _without_retries() if on_hub else contextlib.nullcontext()
    with without_bars(), _without_transformers_bars(), no_retries:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Use only the Hub's cache on this machine within the block."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _without_retries() -> Iterator[None]:
    """Go offline if the Hub's host has no address: its client would retry for a minute before it uses its cache."""
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
        # A proxy may resolve the host where this machine can't.
        return bool(getproxies())
    return True


@contextlib.contextmanager
def _without_transformers_bars() -> Iterator[None]:
    transformers_logging: Any = sys.modules.get("transformers.utils.logging")
    if transformers_logging is None or not transformers_logging.is_progress_bar_enabled():
        yield
        return
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error, its cause, the cause of that, and so on."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
