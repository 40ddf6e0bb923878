"""MD5 digests of large files, cached so that 11 GB are not read at every call."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from mmeval.console import progress
from mmeval.errors import DataError
from mmeval.files import file_digest, lock, write_text
from mmeval.home import home

MEGABYTE = 1_000_000


def check_digest(path: Path, md5: str, label: str) -> None:
    """Compare a file that the user already has with its published MD5; ``label`` is shown on the progress bar.

    Raises:
        DataError: the MD5 differs, or the file can't be read.
    """
    try:
        actual = md5_of(path, label)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    if actual != md5.lower():
        raise DataError(
            f"{path} is not the published file: its MD5 is {actual}, the card says {md5.lower()}; a download that was "
            "cut short looks like this: fetch it again, or accept it as it is with --allow-mismatch."
        )


def md5_of(path: Path, label: str) -> str:
    """Return the MD5 of a file, 32 hex digits; the file is read only if its size or time has changed."""
    entry = _read().get(_key(path), {})
    state = _state(path)
    if isinstance(md5 := entry.get("md5"), str) and entry == {**state, "md5": md5}:
        return md5
    computed = read_md5(path, label)
    # The file may have been written to in the meantime.
    if state == _state(path):
        cache_md5(path, computed)
    return computed


def read_md5(path: Path, label: str) -> str:
    """Compute the MD5 of a file, 32 hex digits, with a progress bar."""
    with progress(f"{label}: checking", -(-path.stat().st_size // MEGABYTE), "MB") as advance:
        return file_digest(path, "md5", lambda count: advance(count / MEGABYTE))


def cache_md5(path: Path, md5: str) -> None:
    """Cache the MD5 of a file in its current state. A cache that can't be written is ignored: it only saves time."""
    with contextlib.suppress(OSError), lock(_file().with_suffix(".lock")):
        entries = {key: entry for key, entry in _read().items() if Path(key).exists()}
        entries[_key(path)] = {**_state(path), "md5": md5}
        write_text(_file(), json.dumps(entries, indent=1) + "\n")


def _file() -> Path:
    return home() / "digests.json"


def _key(path: Path) -> str:
    return str(path.resolve())


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _read() -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {key: entry for key, entry in entries.items() if isinstance(entry, dict)}
