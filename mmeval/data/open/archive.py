"""Opening of data sets that are read from files: finding, downloading and checking the files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.console import note
from mmeval.data.card import read_card
from mmeval.data.open.registry import read_registry, register, registered_store
from mmeval.data.prepare.prepare import open_store, prepare
from mmeval.errors import DataError
from mmeval.home import stores

if TYPE_CHECKING:
    from mmeval.api.source import Source
    from mmeval.api.spec import DatasetSpec
    from mmeval.data.request import DatasetRequest
    from mmeval.data.store import Store

FOLDERS = 20
"""Number of subfolders that are searched for an archive."""


def open_archive(spec: DatasetSpec, request: DatasetRequest, *, download: bool) -> Store:
    """Open the Store of a data set that is read from files, and prepare it first if necessary.

    The files are ``request.source``, or those from which this or another variant was prepared before, or a download.

    Raises:
        UserError: the location of the files is unknown, or they can't be used.
    """
    assert spec.archive is not None
    registry = read_registry(spec.name)
    entry, path, released = registry.get(spec.variant), request.source, not request.allow_mismatch
    if path is None and entry and (folder := registered_store(spec.name, entry)) and (released or not entry.released):
        return open_store(spec, folder)
    if path is None:
        earlier = entry or next(iter(registry.values()), None)
        if earlier and Path(earlier.path).exists():
            path, released = Path(earlier.path), released and earlier.released
    if path is None:
        path = _download(spec) if download else None
    if path is None:
        raise DataError(_how_to_get(spec))
    if not path.exists():
        raise DataError(f"--source {path}: there is no such file or folder.")
    if released:
        _check_digest(spec, path)
    source, path = _open(spec, path)
    if released and spec.archive.lacks and (lacks := spec.archive.lacks(source)):
        raise DataError(f"{lacks}. {spec.archive.get} --allow-mismatch accepts the data as it is, under another name.")
    store = prepare(spec, source, released=released)
    register(spec.name, spec.variant, path, store)
    return store


def _open(spec: DatasetSpec, path: Path) -> tuple[Source, Path]:
    """Open the source at ``path``, or in its only subfolder that holds one: archives often unpack one level deeper.

    Returns:
        The source, and the path that it was opened at.

    Raises:
        UserError: neither holds the source.
    """
    assert spec.archive is not None
    try:
        return spec.archive.open(path, spec.variant), path
    except DataError:
        entries = sorted(path.iterdir()) if path.is_dir() else []
        subfolders = [entry for entry in entries if entry.is_dir() and entry.name[0] not in "._"]
        opened: list[tuple[Source, Path]] = []
        for folder in subfolders[:FOLDERS]:
            with contextlib.suppress(DataError):
                opened.append((spec.archive.open(folder, spec.variant), folder))
        if len(opened) != 1:
            raise
    note(f"{spec.name} is one folder deeper than given, in {opened[0][1]}")
    return opened[0]


def _download(spec: DatasetSpec) -> Path | None:
    assert spec.archive is not None
    download = spec.archive.downloads.get(spec.variant) or spec.archive.downloads.get("")
    if download is None:
        return None
    from mmeval.fetch import fetch

    return fetch(download, stores(spec.name) / "downloads")


def _check_digest(spec: DatasetSpec, path: Path) -> None:
    """Compare a file with the MD5 that its publisher gives, if the card has one."""
    if spec.card is None or not path.is_file():
        return
    from mmeval.fetch import check_digest

    expected = read_card(spec.card, spec.variant).sources.get(path.name, {}).get("md5")
    if expected:
        check_digest(path, expected, f"Checking {path.name}")


def _how_to_get(spec: DatasetSpec) -> str:
    assert spec.archive is not None
    command = f"`mmeval data prepare {spec.full_name}` downloads it, or get it yourself: "
    return f"{spec.name} is not prepared on this machine. {command if spec.archive.downloads else ''}{spec.archive.get}"
