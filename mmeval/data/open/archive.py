"""Data sets that are read from files: where those are, and whether they are the published ones."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.console import note
from mmeval.data.card import read_card
from mmeval.data.open.known import known, prepared, remember
from mmeval.data.prepare.prepare import open_store, prepare
from mmeval.errors import DataError
from mmeval.home import stores

if TYPE_CHECKING:
    from mmeval.api.source import Source
    from mmeval.api.spec import DatasetSpec
    from mmeval.data.request import DatasetRequest
    from mmeval.data.store import Store

FOLDERS = 20
"""Folders of a folder in which an archive is looked for."""


def open_archive(spec: DatasetSpec, request: DatasetRequest, *, download: bool) -> Store:
    """The Store of a data set that is read from files: prepared before, or from files that are known or fetched.

    Raises:
        UserError: no files are known, or they can't be used.
    """
    assert spec.archive is not None
    seen = known(spec.name)
    mine, path, released = seen.get(spec.variant), request.source, not request.allow_mismatch
    if path is None and mine and (folder := prepared(spec.name, mine)) and (released or not mine.released):
        return open_store(spec, folder)
    if path is None:
        other = mine or next(iter(seen.values()), None)
        if other and Path(other.path).exists():
            path, released = Path(other.path), released and other.released
    if path is None:
        path = _fetched(spec) if download else None
    if path is None:
        raise DataError(_how_to_get(spec))
    if not path.exists():
        raise DataError(f"--source {path}: there is no such file or folder.")
    if released:
        _check_digest(spec, path)
    source, path = _open(spec, path)
    if released and spec.archive.lacks and (lacks := spec.archive.lacks(source)):
        raise DataError(f"{lacks}. {spec.archive.get} --allow-mismatch takes what is there, under another name.")
    store = prepare(spec, source, released=released)
    remember(spec.name, spec.variant, path, store)
    return store


def _open(spec: DatasetSpec, path: Path) -> tuple[Source, Path]:
    """The source at ``path``, or in the one folder below it that holds it: archives are often unpacked into another.

    Raises:
        UserError: it is in neither.
    """
    assert spec.archive is not None
    try:
        return spec.archive.open(path, spec.variant), path
    except DataError:
        inner = (
            [one for one in sorted(path.iterdir()) if one.is_dir() and one.name[0] not in "._"] if path.is_dir() else []
        )
        found: list[tuple[Source, Path]] = []
        for one in inner[:FOLDERS]:
            with contextlib.suppress(DataError):
                found.append((spec.archive.open(one, spec.variant), one))
        if len(found) != 1:
            raise
    note(f"{spec.name} is one folder deeper than said, in {found[0][1]}")
    return found[0]


def _fetched(spec: DatasetSpec) -> Path | None:
    assert spec.archive is not None
    download = spec.archive.downloads.get(spec.variant) or spec.archive.downloads.get("")
    if download is None:
        return None
    from mmeval.fetch import fetch

    return fetch(download, stores(spec.name) / "downloads")


def _check_digest(spec: DatasetSpec, path: Path) -> None:
    """Hold a file against the digest that its publisher gives."""
    if spec.card is None or not path.is_file():
        return
    from mmeval.fetch import check_digest

    expected = read_card(spec.card, spec.variant).sources.get(path.name, {}).get("md5")
    if expected:
        check_digest(path, expected, f"Checking {path.name}")


def _how_to_get(spec: DatasetSpec) -> str:
    assert spec.archive is not None
    may = f"`mmeval data prepare {spec.full_name}` downloads it, or get it yourself: " if spec.archive.downloads else ""
    return f"{spec.name} is not prepared on this machine. {may}{spec.archive.get}"
