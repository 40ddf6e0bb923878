"""What the Hub's client knows of a file, and its errors in a few words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mmeval.fetch.redirects import Unavailable
from mmeval.fetch.transfer import Address


def address(repository: str, name: str) -> Address:
    """Where the Hub has a file of a data set repository, with the user's token where there is one.

    Raises:
        Unavailable: it has none, asks for a token, or can't be reached.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    try:
        url = hf_hub_url(repository, name, repo_type="dataset")
        found = get_hf_file_metadata(url)
        headers = {key: value for key, value in build_hf_headers().items() if key.lower() == "authorization"}
    except client_errors() as error:
        raise Unavailable(says(error, repository, name)) from error
    return Address(url, label(repository), headers, found.etag or "")


def label(repository: str) -> str:
    """A repository as messages name it."""
    return f"the Hub's {repository}"


def client_errors() -> tuple[type[BaseException], ...]:
    """All that the Hub's client raises; the base of its HTTP errors is that of the HTTP library it was built on."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return HfHubHTTPError.__bases__[0], HFValidationError, OSError


def cause(error: BaseException) -> BaseException:
    """What went wrong at the Hub, where the client only says that it has no copy."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    return error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None else error


def says(error: BaseException, repository: str, name: str = "", revision: str = "") -> str:
    """What an error of the Hub's client means for the user, as the end of a sentence."""
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
            f"access is granted on request: ask at https://huggingface.co/datasets/{repository}, then log in with "
            "`hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return "no such data set, or a private one: check the name, or log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f'it has no revision "{revision or "main"}"'
    if isinstance(error, EntryNotFoundError):
        return f'it has no file "{name}"'
    if isinstance(error, HFValidationError):
        return "this is no name of a data set; names look like owner/name"
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code == 401:
            return "the token is not valid (HTTP 401): log in anew with `hf auth login`"
        return f"HTTP {error.response.status_code}"
    return f"no connection ({type(error).__name__})"


def unreachable(error: BaseException) -> bool:
    """Whether asking again later may help, rather than that the Hub has answered no."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    error = cause(error)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return not isinstance(error, HFValidationError)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """The client's bars, one per file, stay away; ours is shown."""
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
