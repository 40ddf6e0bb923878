"""Checks of a folder's files against their SHA-256, cached for large files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmeval.console import progress
from mmeval.data.loader import cores, in_order
from mmeval.errors import DataError
from mmeval.files import write_text
from mmeval.integrity import DamageError, Stamp, content_digest, read_sealed, sealed

CHECKED = "checked.json"
"""The cache beside large files: sizes, inodes and times of the files whose digests were correct."""
LARGE = 1 << 28
"""Bytes of a folder's files from which ``checked.json`` is used; fewer are always read, in 0.25 s at 1 GB/s."""
MEGABYTE = 1_000_000
WORKERS = 8


def changed_files(folder: Path, expected: Mapping[str, str], label: str) -> list[str]:
    """Return the names of files in ``folder`` that are missing or whose SHA-256 differs from ``expected``.

    Files are read in threads. In a large folder, a file is skipped if its size, inode and times are those recorded when
    an earlier process found its digest correct. That misses only damage below the file system, which
    ``mmeval data verify`` finds.

    Args:
        folder: the folder of the files.
        expected: SHA-256 by file name.
        label: the name of the files on the progress bar.

    Raises:
        DataError: a file can't be read.
    """
    try:
        stamps = {name: Stamp.of(folder / name) for name in sorted(expected) if (folder / name).is_file()}
        current = {name: [expected[name], *stamp[1:]] for name, stamp in stamps.items()}
        large = sum(stamp.size for stamp in stamps.values()) >= LARGE
        recorded = _recorded(folder) if large else {}
        unread = [name for name in stamps if recorded.get(name) != current[name]]
        digests = dict(_digests(folder, unread, stamps, label, large=large))
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read ({error.strerror}).") from None
    bad = {name for name, digest in digests.items() if digest != expected[name]} | (expected.keys() - stamps.keys())
    good = {name: current[name] for name in stamps if name not in bad and stamps[name].settled}
    if large and good != recorded:
        _record(folder, good)
    return sorted(bad)


def _digests(
    folder: Path, names: list[str], stamps: Mapping[str, Stamp], label: str, *, large: bool
) -> Iterable[tuple[str, str]]:
    def take(name: str) -> tuple[str, str]:
        return name, content_digest(folder / name)

    if not large or not names:
        yield from map(take, names)
        return
    size = sum(stamps[name].size for name in names)
    with progress(f"Checking {label}", size / MEGABYTE, "MB") as advance:
        # Threads suffice: computing a digest releases the interpreter lock.
        for name, digest in in_order(names, take, workers=min(cores(), WORKERS)):
            advance(stamps[name].size / MEGABYTE)
            yield name, digest


def _recorded(folder: Path) -> dict[str, Any]:
    try:
        return read_sealed(folder / CHECKED)
    except (DamageError, OSError):
        return {}


def _record(folder: Path, checked: Mapping[str, Any]) -> None:
    try:
        write_text(folder / CHECKED, sealed(checked))
    except OSError:
        return  # a read-only folder: the next process checks again
