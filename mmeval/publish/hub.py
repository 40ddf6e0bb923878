"""Upload of a publication to a repository on the Hub, in one commit; a repeated call continues it."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any, NamedTuple

from mmeval.console import note, progress
from mmeval.errors import UserError
from mmeval.fetch.hub import MODEL, Kind, client_errors, without_bars
from mmeval.publish.tree import Tree, size_of

MEGABYTE = 1_000_000
OWN_FILES = (
    *("run.json", "plan.json", "README.md", "report.html", "scores.parquet", "gallery.parquet", "eval.yaml"),
    *("models/seed-*", "predictions/seed-*.parquet", ".eval_results/*.yaml"),
)
"""Files that a publication may hold; those of an earlier one that the new one lacks are removed."""
HARMLESS = (".gitattributes", "README.md", "LICENSE*")
"""Files that a repository may hold before a run is published there."""
LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with the right to write"
CONTINUE = "files that were uploaded are kept, the same command continues"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


class Uploaded(NamedTuple):
    """The result of an upload."""

    url: str
    commit: str
    changed: bool
    """Whether a commit was made; False if the repository held these files already."""


class PublishError(UserError):
    """A publication that the Hub refused or could not finish; nothing that was uploaded is lost."""


def check_name(repo: str) -> None:
    """Check that a name is that of a repository with its owner.

    Raises:
        UserError: it is not.
    """
    if not NAME.fullmatch(repo) or ".." in repo or "--" in repo or len(repo.rpartition("/")[2]) > 96:
        raise UserError(f"--repo {repo}: write OWNER/NAME, with letters, digits, '-', '_' and '.' of the Hub's names.")


def require_token() -> str:
    """Return the user's token.

    Raises:
        PublishError: there is none, or the Hub is switched off.
    """
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise PublishError("Nothing was published: HF_HUB_OFFLINE is set; publish on a machine with a network.")
    token = get_token()
    if not token:
        raise PublishError(f"Nothing was published: there is no token of the Hub; {LOGIN}.")
    return token


def upload(
    tree: Tree, repo: str, message: str, *, private: bool = False, kind: Kind = MODEL, marker: str = "run.json"
) -> Uploaded:
    """Upload the files in one commit, so that nobody sees half of a publication.

    The repository is created if it does not exist. Files that the Hub has already are not sent again, and without any
    change there is no commit.

    Args:
        tree: the files.
        repo: the repository, ``owner/name``.
        message: the commit's message.
        private: whether a new repository is private.
        kind: the kind of repository.
        marker: the file by which a publication of mmeval is known; a repository with other files needs it.

    Raises:
        PublishError: the Hub refused, or could not be reached; the message says what to do.
    """
    check_name(repo)
    token = require_token()
    with hub_errors(repo, kind, token):
        return _upload(tree, repo, message, private, kind, marker)


def _upload(tree: Tree, repo: str, message: str, private: bool, kind: Kind, marker: str) -> Uploaded:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    url = str(api.create_repo(repo, private=private or None, repo_type=kind.type, exist_ok=True))
    info: Any = api.repo_info(repo, repo_type=kind.type)
    if private and info.private is False:
        raise PublishError(f"--private: the repository {repo} exists and is public; change that on its settings page.")
    entries = list(api.list_repo_tree(repo, repo_type=kind.type, recursive=True)) if info.sha else []
    existing = [entry.path for entry in entries if isinstance(entry, RepoFile)]
    _require_own(repo, existing, marker)
    stale = [name for name in existing if name not in tree and any(fnmatch(name, own) for own in OWN_FILES)]
    additions = {
        name: CommitOperationAdd(name, value if isinstance(value, bytes) else str(value))
        for name, value in tree.items()
    }
    large = sorted(name for name, value in tree.items() if size_of(value) >= MEGABYTE)
    with progress(f"{repo}: upload", -(-sum(map(size_of, tree.values())) // MEGABYTE), "MB") as advance:
        for name in large:
            api.preupload_lfs_files(repo, [additions[name]], repo_type=kind.type, free_memory=False)
            advance(size_of(tree[name]) / MEGABYTE)
        deletions = [CommitOperationDelete(name) for name in stale]
        commit = api.create_commit(repo, [*deletions, *additions.values()], commit_message=message, repo_type=kind.type)
        advance(sum(size_of(value) for name, value in tree.items() if name not in large) / MEGABYTE)
    return Uploaded(url, str(commit.oid), str(commit.oid) != str(info.sha))


def _require_own(repo: str, existing: list[str], marker: str) -> None:
    """Check that a repository is empty or holds a publication of mmeval.

    Raises:
        PublishError: it holds other files.
    """
    others = [name for name in existing if not any(fnmatch(name, harmless) for harmless in HARMLESS)]
    if others and marker not in others:
        raise PublishError(
            f"Nothing was published: the repository {repo} holds other files, such as {others[0]}; name another one."
        )


@contextlib.contextmanager
def hub_errors(repo: str, kind: Kind, token: str) -> Iterator[None]:
    """Turn the errors of the Hub's client in the block into one sentence, which never holds the token.

    The client's own bars and log lines are switched off, since the latter show addresses with signatures; its waits are
    noted.

    Raises:
        PublishError: the Hub refused, or could not be reached.
    """
    errors: tuple[type[BaseException], ...] = (*client_errors(), ValueError, RuntimeError)
    try:
        with without_bars(), _quiet_client(), warnings.catch_warnings():
            # They are for the client's developers, or say that Parquet files are unusual beside a model.
            warnings.simplefilter("ignore")
            yield
    except errors as error:
        raise PublishError(_sentence(error, repo, kind).replace(token, "***")) from None


def _sentence(error: BaseException, repo: str, kind: Kind) -> str:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, client_errors()):
        cause = cause.__cause__
    if cause is None:
        # Refused metadata, and the errors of the Xet client.
        return f"The Hub refused {repo}: {' '.join(str(error).split()).rstrip('.')}; {CONTINUE}."
    error = cause
    if isinstance(error, OfflineModeIsEnabled):
        return "Nothing was published: HF_HUB_OFFLINE is set; publish on a machine with a network."
    if isinstance(error, HFValidationError):
        return f"--repo {repo}: this is not a valid name of a {kind.noun}; names look like owner/name."
    if not isinstance(error, HfHubHTTPError):
        if isinstance(error, OSError) and error.filename is not None:
            return f"{error.filename} can't be read: {error.strerror}."
        return f"The connection to the Hub was lost ({type(error).__name__}); {CONTINUE}."
    status = error.response.status_code
    said = f" ({' '.join(error.server_message.split())})" if error.server_message else ""
    match status:
        case 401:
            return f"The Hub does not accept the token, which may have expired (HTTP 401); {LOGIN}."
        case 403:
            return (
                f"The name {repo} belongs to somebody else, or the token may not write there (HTTP 403); choose "
                f"another --repo, or {LOGIN}."
            )
        case 404:
            return f"There is no {kind.noun} {repo} that this token may write (HTTP 404); check the owner's name."
        case 409:
            return (
                f"The Hub reports a conflict for {repo} (HTTP 409): somebody changed it meanwhile; repeat the command."
            )
        case 429:
            return f"The Hub limits the rate of requests (HTTP 429); wait a few minutes: {CONTINUE}."
        case _ if status >= 500:
            return f"The Hub has an internal error (HTTP {status}); {CONTINUE} later."
    return f"The Hub refused {repo}: HTTP {status}{said}; {CONTINUE} when that is settled."


class _Waits(logging.Handler):
    """Shows the client's waits as notes; its other lines hold addresses."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith(("Rate limited", "Retrying in")):
            note(f"The Hub: {message}")


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    logger = logging.getLogger("huggingface_hub")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [_Waits()], False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
