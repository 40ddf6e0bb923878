"""Digests of the files of a run folder: computed when a file is written, compared before it is used."""

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
"""Bytes above which reading takes more than about two seconds, so a progress bar is shown."""


def describe(folder: Path, paths: Iterable[Path]) -> dict[str, FileRecord]:
    """Return size, digest and number of rows of files in ``folder``, by their path within it.

    Raises:
        RunFolderError: a file can't be read.
    """
    paths = list(paths)
    digests = _digests(paths)
    return {
        path.relative_to(folder).as_posix(): FileRecord(
            sha256=digests[path], bytes=path.stat().st_size, rows=_rows(path)
        )
        for path in sorted(paths)
    }


def differences(folder: Path, files: Mapping[str, FileRecord]) -> dict[str, str]:
    """Return the files that differ from their records: name to ``is missing`` or ``was changed``.

    Raises:
        RunFolderError: a file can't be read.
    """
    problems, same_size = {}, {}
    for name, recorded in files.items():
        path = folder / name
        if not path.is_file():
            problems[name] = MISSING
        elif path.stat().st_size != recorded.bytes:
            problems[name] = CHANGED
        else:
            same_size[path] = name
    digests = _digests(same_size)
    problems |= {name: CHANGED for path, name in same_size.items() if digests[path] != files[name].sha256}
    return {name: problems[name] for name in files if name in problems}


def format_differences(problems: Mapping[str, str]) -> str:
    """Return the result of :func:`differences` as ``scores.parquet (was changed), README.md (is missing)``."""
    return ", ".join(f"{name} ({problem})" for name, problem in problems.items())


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
    except (pa.ArrowException, OSError):  # a model may give any file this suffix
        return None
