"""Files of repositories on the Hub, of data sets or models, kept per commit and usable offline."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from rich.filesize import decimal

from mmeval.console import note, progress
from mmeval.errors import DataError
from mmeval.fetch.hub import DATASET, Kind, client_errors, reason, unreachable, without_bars
from mmeval.fetch.transfer import MEGABYTE, TIMEOUT
from mmeval.files import disk_full, lock, write_text
from mmeval.home import home

WORKERS = 8


class Snapshot(NamedTuple):
    """Files of one commit of a repository."""

    folder: Path
    """The folder that holds the files under their paths in the repository; don't write to it."""
    commit: str
    """The commit, 40 hex digits."""
    files: tuple[str, ...]
    """The requested files as sorted paths below ``folder``, which may hold others too."""


def snapshot(name: str, patterns: Sequence[str], revision: str | None = None, kind: Kind = DATASET) -> Snapshot:
    """Download the files of ``owner/name`` that match one of ``patterns``, at a branch, tag or commit.

    Patterns are those of the Hub's client: ``*`` also matches ``/``, and ``images/`` everything below that folder. To
    download more files of the same version (such as the images that a table names), call again with the commit as
    ``revision``. Without a network, the files of an earlier call are used if they are complete.

    Raises:
        DataError: the repository, revision or file does not exist, or there is no access or no connection.
    """
    folder = home() / "hub"
    try:
        with lock(folder / f".{name.replace('/', '--')}.lock"), without_bars():
            return _snapshot(name, patterns, revision or "main", folder, kind)
    except OSError as error:
        if not disk_full(error):
            raise DataError(f"{folder} can't be written: {error.strerror or error}.") from error
        raise DataError(
            f"The disk of {folder} is full; make room and call again: files that were downloaded are kept."
        ) from error


def _snapshot(name: str, patterns: Sequence[str], revision: str, folder: Path, kind: Kind) -> Snapshot:
    index = _Index(folder, name, kind)
    # A commit never changes, so the Hub need not be asked.
    if (commit := index.commit(revision)) == revision and (cached := index.snapshot(commit, patterns)):
        return cached
    try:
        commit = _resolve(name, revision, index, kind)
    except client_errors() as error:
        why = reason(error, name, revision=revision, kind=kind)
        cached = index.snapshot(commit, patterns) if commit and unreachable(error) else None
        if cached is None:
            raise DataError(f"The {kind.noun} {name} can't be fetched from the Hub: {why}.") from error
        note(f"{name}: {why}; using the files of an earlier download, commit {cached.commit[:8]}")
        return cached
    matching = _matching(index.sizes(commit), patterns)
    if not matching:
        shown = sorted(index.sizes(commit))
        more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
        raise DataError(
            f"The {kind.noun} {name} has no file that matches {' or '.join(patterns)}; "
            f"it has {', '.join(shown[:8])}{more}."
        )
    _download(name, commit, matching, index, kind)
    return Snapshot(index.snapshot_folder(commit), commit, tuple(sorted(matching)))


def _resolve(name: str, revision: str, index: _Index, kind: Kind) -> str:
    """Return the current commit of a revision, and record its list of files in the index."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    commit = str(api.repo_info(name, repo_type=kind.type, revision=revision, timeout=TIMEOUT).sha)
    if not index.sizes(commit):
        tree = api.list_repo_tree(name, repo_type=kind.type, revision=commit, recursive=True)
        index.record(revision, commit, {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)})
    else:
        index.record(revision, commit, index.sizes(commit))
    return commit


def _download(name: str, commit: str, sizes: dict[str, int], index: _Index, kind: Kind) -> None:
    """Download the files in ``sizes``, a path -> size in bytes, that are missing."""
    from huggingface_hub import hf_hub_download

    missing = {path: size for path, size in sizes.items() if not index.has(commit, path)}
    need, free = sum(missing.values()), shutil.disk_usage(index.folder).free
    if need > free:
        raise DataError(
            f"There is no room for {name}: it needs {decimal(need)}, and {index.folder} has {decimal(free)} free; "
            "make room, or set MMEVAL_HOME to a folder on another disk."
        )
    if not missing:
        return

    def download(path: str) -> str:
        hf_hub_download(name, path, repo_type=kind.type, revision=commit, cache_dir=index.folder)
        return path

    path = ""
    with ThreadPoolExecutor(WORKERS) as pool, progress(name, -(-need // MEGABYTE), "MB") as advance:
        running = {pool.submit(download, path): path for path in sorted(missing)}
        try:
            for done in as_completed(running):
                path = running[done]
                done.result()
                advance(missing[path] / MEGABYTE)
        except client_errors() as error:
            if disk_full(error):
                raise
            why = reason(error, name, path, kind=kind)
            kept = "; files that were downloaded are kept, call again to continue" if unreachable(error) else ""
            raise DataError(
                f"The file {path} of the {kind.noun} {name} can't be fetched from the Hub: {why}{kept}."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


class _Index:
    """The local index of a repository: the commit of each revision, and the files of each commit."""

    def __init__(self, folder: Path, name: str, kind: Kind) -> None:
        self.folder = folder
        self._repository = folder / f"{kind.type}s--{name.replace('/', '--')}"
        self._file = self._repository / "mmeval.json"
        try:
            self._all: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._all = {"revisions": {}, "files": {}}

    def record(self, revision: str, commit: str, sizes: dict[str, int]) -> None:
        """Save the commit of a revision, and the size of each file of the commit."""
        self._all["revisions"][revision] = commit
        self._all["files"][commit] = sizes
        write_text(self._file, json.dumps(self._all, indent=1) + "\n")

    def commit(self, revision: str) -> str | None:
        """Return the last known commit of a revision; None if there is none."""
        if revision in self._all["files"]:
            return revision
        commit: str | None = self._all["revisions"].get(revision)
        return commit

    def sizes(self, commit: str) -> dict[str, int]:
        """Return the size of each file of a commit, by path; empty if the commit is unknown."""
        sizes: dict[str, int] = self._all["files"].get(commit, {})
        return sizes

    def snapshot_folder(self, commit: str) -> Path:
        return self._repository / "snapshots" / commit

    def has(self, commit: str, path: str) -> bool:
        """Return whether a file of a commit was downloaded completely."""
        file = self.snapshot_folder(commit) / path
        return file.is_file() and file.stat().st_size == self.sizes(commit)[path]

    def snapshot(self, commit: str, patterns: Sequence[str]) -> Snapshot | None:
        """Return the matching files of a commit if all were downloaded; otherwise None."""
        matching = _matching(self.sizes(commit), patterns)
        if not matching or not all(self.has(commit, path) for path in matching):
            return None
        return Snapshot(self.snapshot_folder(commit), commit, tuple(sorted(matching)))


def _matching(sizes: dict[str, int], patterns: Sequence[str]) -> dict[str, int]:
    # One regular expression for all patterns, because a table may name as many images as there are files.
    expanded = [f"{pattern}*" if pattern.endswith("/") else pattern for pattern in patterns]
    names = {pattern for pattern in expanded if not re.search(r"[*?\[]", pattern)}
    rest = re.compile("|".join(map(fnmatch.translate, set(expanded) - names)) or "(?!)")
    return {path: size for path, size in sizes.items() if path in names or rest.match(path)}
