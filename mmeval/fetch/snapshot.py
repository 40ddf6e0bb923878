"""Data set repositories of the Hub: their files, kept per commit and usable without a network."""

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
from mmeval.fetch.hub import client_errors, says, unreachable, without_bars
from mmeval.fetch.transfer import MEGABYTE, TIMEOUT
from mmeval.files import disk_full, lock, write_text
from mmeval.home import home

WORKERS = 8


class Snapshot(NamedTuple):
    """Files of one commit of a repository."""

    folder: Path
    """Holds the files under their paths in the repository; read-only by agreement."""
    commit: str
    """The commit, 40 hex digits: the same one is the same content, for ever."""
    files: tuple[str, ...]
    """Paths below ``folder``, sorted: those that were asked for, whatever else is there."""


def snapshot(name: str, patterns: Sequence[str], revision: str | None = None) -> Snapshot:
    """Have the files of ``owner/name`` that match one of ``patterns``, as of a branch, tag or commit.

    Patterns are those of the Hub's client: ``*`` matches ``/`` too, ``images/`` all below that folder. To fetch more of
    the same content (the images that a table names), call again with ``revision`` set to the commit. Without a
    network what an earlier call has fetched is used, if it is all there.

    Raises:
        DataError: there is no such repository, revision or file, no access or no connection.
    """
    room = home() / "hub"
    try:
        with lock(room / f".{name.replace('/', '--')}.lock"), without_bars():
            return _snapshot(name, patterns, revision or "main", room)
    except OSError as error:
        if not disk_full(error):
            raise DataError(f"{room} can't be written: {error.strerror or error}.") from error
        raise DataError(
            f"The disk of {room} is full; make room and call again, it goes on with what is there."
        ) from error


def _snapshot(name: str, patterns: Sequence[str], revision: str, room: Path) -> Snapshot:
    known = _Known(room, name)
    # A commit never changes, so there is nothing to ask.
    if (commit := known.commit(revision)) == revision and (have := known.snapshot(commit, patterns)):
        return have
    try:
        commit = _resolve(name, revision, known)
    except client_errors() as error:
        why = says(error, name, revision=revision)
        have = known.snapshot(commit, patterns) if commit and unreachable(error) else None
        if have is None:
            raise DataError(f"The data set {name} can't be fetched from the Hub: {why}.") from error
        note(f"{name}: {why}; using what was fetched before, commit {have.commit[:8]}")
        return have
    wanted = _matching(known.sizes(commit), patterns)
    if not wanted:
        shown = sorted(known.sizes(commit))
        more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
        raise DataError(
            f"The data set {name} has no file that matches {' or '.join(patterns)}; "
            f"it has {', '.join(shown[:8])}{more}."
        )
    _download(name, commit, wanted, known)
    return Snapshot(known.folder(commit), commit, tuple(sorted(wanted)))


def _resolve(name: str, revision: str, known: _Known) -> str:
    """Commit that a revision stands for now; its list of files is kept."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    commit = str(api.dataset_info(name, revision=revision, timeout=TIMEOUT).sha)
    if not known.sizes(commit):
        tree = api.list_repo_tree(name, repo_type="dataset", revision=commit, recursive=True)
        known.keep(revision, commit, {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)})
    else:
        known.keep(revision, commit, known.sizes(commit))
    return commit


def _download(name: str, commit: str, wanted: dict[str, int], known: _Known) -> None:
    from huggingface_hub import hf_hub_download

    missing = {path: size for path, size in wanted.items() if not known.has(commit, path)}
    need, free = sum(missing.values()), shutil.disk_usage(known.room).free
    if need > free:
        raise DataError(
            f"There is no room for {name}: it needs {decimal(need)}, and {known.room} has {decimal(free)} free; "
            "make room, or set MMEVAL_HOME to a folder on another disk."
        )
    if not missing:
        return

    def one(path: str) -> str:
        hf_hub_download(name, path, repo_type="dataset", revision=commit, cache_dir=known.room)
        return path

    path = ""
    with ThreadPoolExecutor(WORKERS) as pool, progress(name, -(-need // MEGABYTE), "MB") as advance:
        running = {pool.submit(one, path): path for path in sorted(missing)}
        try:
            for done in as_completed(running):
                path = running[done]
                done.result()
                advance(missing[path] / MEGABYTE)
        except client_errors() as error:
            if disk_full(error):
                raise
            why = says(error, name, path)
            kept = "; what has come is kept, call again to go on" if unreachable(error) else ""
            raise DataError(
                f"The file {path} of the data set {name} can't be fetched from the Hub: {why}{kept}."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


class _Known:
    """What is known of a repository without asking: which commit a revision was, and which files commits have."""

    def __init__(self, room: Path, name: str) -> None:
        self.room = room
        self._folder = room / f"datasets--{name.replace('/', '--')}"
        self._file = self._folder / "mmeval.json"
        try:
            self._all: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._all = {"revisions": {}, "files": {}}

    def keep(self, revision: str, commit: str, sizes: dict[str, int]) -> None:
        self._all["revisions"][revision] = commit
        self._all["files"][commit] = sizes
        write_text(self._file, json.dumps(self._all, indent=1) + "\n")

    def commit(self, revision: str) -> str | None:
        if revision in self._all["files"]:
            return revision
        found: str | None = self._all["revisions"].get(revision)
        return found

    def sizes(self, commit: str) -> dict[str, int]:
        found: dict[str, int] = self._all["files"].get(commit, {})
        return found

    def folder(self, commit: str) -> Path:
        return self._folder / "snapshots" / commit

    def has(self, commit: str, path: str) -> bool:
        file = self.folder(commit) / path
        return file.is_file() and file.stat().st_size == self.sizes(commit)[path]

    def snapshot(self, commit: str, patterns: Sequence[str]) -> Snapshot | None:
        """What is there of a commit, if that is all that matches."""
        wanted = _matching(self.sizes(commit), patterns)
        if not wanted or not all(self.has(commit, path) for path in wanted):
            return None
        return Snapshot(self.folder(commit), commit, tuple(sorted(wanted)))


def _matching(sizes: dict[str, int], patterns: Sequence[str]) -> dict[str, int]:
    # One expression for all, because a table may name as many images as there are files.
    whole = [f"{pattern}*" if pattern.endswith("/") else pattern for pattern in patterns]
    names = {pattern for pattern in whole if not re.search(r"[*?\[]", pattern)}
    rest = re.compile("|".join(map(fnmatch.translate, set(whole) - names)) or "(?!)")
    return {path: size for path, size in sizes.items() if path in names or rest.match(path)}
