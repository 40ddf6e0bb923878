"""Whether the files of a folder are as they were written, at a cost that a run doesn't feel."""

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
"""Beside large files: sizes, inodes and times of those whose digests were compared."""
LARGE = 1 << 28
"""Bytes of a folder's files from which ``checked.json`` is trusted; less is read whole, in .25 s at 1 GB/s."""
MEGABYTE = 1_000_000
WORKERS = 8


def changed(folder: Path, expected: Mapping[str, str], what: str) -> list[str]:
    """Names of the files of ``folder`` that lack, or whose content isn't that of their SHA-256 in ``expected``.

    A process reads a file once for it, and several at once, in threads. Where the files are large together, one isn't
    read whose size, inode and times are those that an earlier process recorded when it compared the digest: that
    misses only damage below the file system, which `mmeval data verify` finds. ``what`` names the files on the
    progress bar.

    Raises:
        DataError: a file can't be read.
    """
    try:
        stamps = {name: Stamp.of(folder / name) for name in sorted(expected) if (folder / name).is_file()}
        known = {name: [expected[name], *stamp[1:]] for name, stamp in stamps.items()}
        large = sum(stamp.size for stamp in stamps.values()) >= LARGE
        recorded = _recorded(folder) if large else {}
        unread = [name for name in stamps if recorded.get(name) != known[name]]
        digests = dict(_digests(folder, unread, stamps, what, large=large))
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be read ({error.strerror}).") from None
    bad = {name for name, found in digests.items() if found != expected[name]} | (expected.keys() - stamps.keys())
    good = {name: known[name] for name in stamps if name not in bad and stamps[name].settled}
    if large and good != recorded:
        _record(folder, good)
    return sorted(bad)


def _digests(
    folder: Path, names: list[str], stamps: Mapping[str, Stamp], what: str, *, large: bool
) -> Iterable[tuple[str, str]]:
    def take(name: str) -> tuple[str, str]:
        return name, content_digest(folder / name)

    if not large or not names:
        yield from map(take, names)
        return
    size = sum(stamps[name].size for name in names)
    with progress(f"Checking {what}", size / MEGABYTE, "MB") as advance:
        # Threads: computing a digest releases the interpreter lock.
        for name, digest in in_order(names, take, workers=min(cores(), WORKERS)):
            advance(stamps[name].size / MEGABYTE)
            yield name, digest


def _recorded(folder: Path) -> dict[str, Any]:
    try:
        return read_sealed(folder / CHECKED)
    except (DamageError, OSError):
        return {}


def _record(folder: Path, known: Mapping[str, Any]) -> None:
    try:
        write_text(folder / CHECKED, sealed(known))
    except OSError:
        return  # a folder that can only be read: the next process checks again
