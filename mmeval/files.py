"""Atomic writes, locks between processes, digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PARTIAL = ".partial"
"""The suffix of what is being written."""
DIGEST = "digest"
"""The field of a sealed JSON object that holds the digest of all its other fields."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        # mkstemp makes files private; a result is as readable as any other file of its owner.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path`` if the block ends well; hold :func:`lock` around it.

    What a killed process left of an earlier attempt at the same path is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*{PARTIAL}"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room; pyarrow and safetensors say it only in the text of their own."""
    return getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error) or "errno 28" in str(error)


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path``; a second process waits here until the first is done or dead.

    Raises:
        LockedError: another process holds it, and ``wait`` is false.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(str(path))
    try:
        held.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise LockedError(str(path)) from None
    try:
        yield
    finally:
        held.release()


def digest(*parts: bytes | str) -> str:
    """SHA-256 over ``parts``, each preceded by its length, as 64 hex digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()


def file_digest(path: Path, algorithm: str = "sha256", advance: Callable[[int], None] = lambda _: None) -> str:
    """Digest of a file's content as hex digits; ``advance`` is told the bytes read."""
    sha = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(4 * 1024 * 1024):
            sha.update(block)
            advance(len(block))
    return sha.hexdigest()


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` with the SHA-256 of its fields in the field ``digest``, so that a damaged or edited file is noticed.

    The digest is of values, not of bytes: another indentation or order of fields keeps it. It guards against damage and
    careless edits, not against somebody who computes it anew.
    """
    fields = {name: value for name, value in data.items() if name != DIGEST}
    return fields | {DIGEST: _digest_of(fields)}


def seal_holds(data: Mapping[str, Any]) -> bool:
    """Whether a JSON object that was made by :func:`sealed` is as it was made."""
    return data.get(DIGEST) == _digest_of({name: value for name, value in data.items() if name != DIGEST})


def _digest_of(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    # Lone surrogates (a file name that is no UTF-8) must not make a digest fail.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
