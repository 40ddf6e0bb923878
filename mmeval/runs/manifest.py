"""The digests of a run folder's files: made when a file is finished, held against it before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.console import progress
from mmeval.errors import RunFolderError
from mmeval.files import file_digest
from mmeval.record import FileRecord

MISSING, CHANGED = "is missing", "was changed"
BAR = 2**30
"""Bytes from which reading takes more than about two seconds, so that a bar is shown."""


def describe(folder: Path, paths: Iterable[Path]) -> dict[str, FileRecord]:
    """Size, digest and number of rows of files in ``folder``, by their path in it."""
    paths = list(paths)
    digests = _digests(paths)
    return {
        path.relative_to(folder).as_posix(): FileRecord(
            sha256=digests[path], bytes=path.stat().st_size, rows=_rows(path)
        )
        for path in sorted(paths)
    }


def differences(folder: Path, files: Mapping[str, FileRecord]) -> dict[str, str]:
    """The files that are not as they are recorded: their name -> ``is missing`` or ``was changed``."""
    found, same_size = {}, {}
    for name, recorded in files.items():
        path = folder / name
        if not path.is_file():
            found[name] = MISSING
        elif path.stat().st_size != recorded.bytes:
            found[name] = CHANGED
        else:
            same_size[path] = name
    digests = _digests(same_size)
    found |= {name: CHANGED for path, name in same_size.items() if digests[path] != files[name].sha256}
    return {name: found[name] for name in files if name in found}


def listed(differing: Mapping[str, str]) -> str:
    """``scores.parquet (was changed), README.md (is missing)``."""
    return ", ".join(f"{name} ({what})" for name, what in differing.items())


def _digests(paths: Iterable[Path]) -> dict[Path, str]:
    paths = list(paths)
    total = sum(path.stat().st_size for path in paths)
    try:
        if total < BAR:
            return {path: file_digest(path) for path in paths}
        with progress("Checking files", total, "bytes") as advance:
            return {path: file_digest(path, advance=advance) for path in paths}
    except OSError as error:
        raise RunFolderError(f"{error.filename} can't be read: {error.strerror}.") from None


def _rows(path: Path) -> int | None:
    if path.suffix != ".parquet":
        return None
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):  # a model may call any file so
        return None
