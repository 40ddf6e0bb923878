"""File addresses from the Hub's client, and its errors as short reasons."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from mmeval.fetch.redirects import Unavailable
from mmeval.fetch.transfer import Address


class Kind(NamedTuple):
    """A kind of repository: its name in the client, in messages, and in addresses."""

    type: str
    noun: str
    prefix: str


DATASET = Kind("dataset", "data set", "datasets/")
MODEL = Kind("model", "model", "")


def address(repository: str, name: str) -> Address:
    """Return the address of a file in a data set repository, with the user's token if there is one.

    Raises:
        Unavailable: the file does not exist, needs a token, or the Hub can't be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    try:
        url = hf_hub_url(repository, name, repo_type="dataset")
        metadata = get_hf_file_metadata(url)
        headers = {key: value for key, value in build_hf_headers().items() if key.lower() == "authorization"}
    except client_errors() as error:
        raise Unavailable(reason(error, repository, name)) from error
    return Address(url, label(repository), headers, metadata.etag or "")


def label(repository: str) -> str:
    """Return the name of a repository in messages."""
    return f"the Hub's {repository}"


def client_errors() -> tuple[type[BaseException], ...]:
    """Return all exceptions that the Hub's client raises; the base of its HTTP errors depends on its HTTP library."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return HfHubHTTPError.__bases__[0], HFValidationError, OSError


def cause(error: BaseException) -> BaseException:
    """Return the original error, if the client only reports that it has no local copy."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    return error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None else error


def reason(error: BaseException, repository: str, name: str = "", revision: str = "", kind: Kind = DATASET) -> str:
    """Return the meaning of a client error for the user, as the end of a sentence."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    error = cause(error)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, GatedRepoError):
        return (
            f"access is granted on request: ask at https://huggingface.co/{kind.prefix}{repository}, then log in with "
            "`hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"no such {kind.noun}, or a private one: check the name, or log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f'it has no revision "{revision or "main"}"'
    if isinstance(error, EntryNotFoundError):
        return f'it has no file "{name}"'
    if isinstance(error, HFValidationError):
        return f"this is not a valid name of a {kind.noun}; names look like owner/name"
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code == 401:
            return "the token is not valid (HTTP 401): log in again with `hf auth login`"
        return f"HTTP {error.response.status_code}"
    return f"no connection ({type(error).__name__})"


def unreachable(error: BaseException) -> bool:
    """Return whether a later attempt may succeed, because the Hub gave no answer or had an internal error."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    error = cause(error)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return not isinstance(error, HFValidationError)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Disable the client's progress bars, one per file, within the block; mmeval shows its own."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
