"""Atomic writes, locks between processes, and digests.

An unfinished file or folder is a temporary named ``.NAME.XXXXXXXX.partial``, with a lock file of the same name and
``.lock`` beside it. The writing process holds the lock as long as the temporary exists, and the system frees the lock
when that process ends for any reason. A temporary with a free lock is a leftover; :func:`sweep` removes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

PARTIAL, LOCK = ".partial", ".lock"
"""Suffixes of a temporary and of its lock file."""
_PARTIAL_NAME = re.compile(rf"\.(.+)\.[0-9a-z_]+{re.escape(PARTIAL)}(?:{re.escape(LOCK)})?", re.DOTALL)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path`` that replaces ``path`` if the block succeeds.

    Leftovers of killed processes for the same path are removed first.
    """
    with _reserved(path) as temporary:
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            yield temporary
            _flush(temporary)
            # The temporary was private; the result gets the usual permissions of the user.
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
    """Yield an empty temporary folder that becomes ``path`` if the block succeeds.

    Leftovers of killed processes for the same path are removed first.
    """
    with _reserved(path) as temporary:
        try:
            temporary.mkdir(0o700)
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def partial_of(name: str) -> str | None:
    """Return the name of the file or folder that a temporary or its lock belongs to; None if ``name`` is neither."""
    match = _PARTIAL_NAME.fullmatch(name)
    return match.group(1) if match else None


def sweep(folder: Path, name: str | None = None, *, deep: bool = False) -> None:
    """Remove the temporaries of killed processes from ``folder``; those of running processes are kept.

    Args:
        folder: the folder; it need not exist.
        name: remove only temporaries of the file or folder of this name; by default all.
        deep: also remove those in the folders below.
    """
    for root, folders, files in os.walk(folder):
        temporaries = {entry.removesuffix(LOCK) for entry in (*folders, *files) if _belongs_to(entry, name)}
        for temporary in sorted(temporaries):
            # It may belong to another user, or the disk may be read-only.
            with contextlib.suppress(OSError):
                _remove_unless_held(Path(root, temporary))
        folders[:] = [folder for folder in folders if partial_of(folder) is None] if deep else []


def scratch_folder(prefix: str) -> tuple[Path, Callable[[], None]]:
    """Return a new folder for temporary files, and a function that removes it.

    Folders of the same prefix whose process was killed are removed first; a running process holds a lock in its folder.
    """
    for leftover in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            _remove_scratch_unless_held(leftover)
    held = None
    while held is None:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        # None: another process took the new folder for a leftover and removed it.
        with contextlib.suppress(FileNotFoundError):
            held = _hold(folder / LOCK)

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()

    return folder, remove


def disk_full(error: BaseException) -> bool:
    """Return whether an error means a full disk; pyarrow and safetensors say so only in their message."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "os error 28" in str(error) or "errno 28" in str(error)


class LockedError(Exception):
    """Another process holds a lock."""


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path`` during the block; by default wait until no other process holds it.

    Raises:
        LockedError: another process holds the lock, and ``wait`` is false.
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


def digest(*parts: bytes | memoryview | str) -> str:
    """Return the SHA-256 over ``parts``, each preceded by its length, as 64 hex digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update((data.nbytes if isinstance(data, memoryview) else len(data)).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()


def file_digest(path: Path, algorithm: str = "sha256", advance: Callable[[int], None] = lambda _: None) -> str:
    """Return the digest of a file's content as hex digits; ``advance`` is called with the number of bytes read."""
    sha = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(4 * 1024 * 1024):
            sha.update(block)
            advance(len(block))
    return sha.hexdigest()


@contextlib.contextmanager
def _reserved(path: Path) -> Iterator[Path]:
    """Yield an unused name for a temporary beside ``path``, and hold its lock during the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    held = None
    while held is None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        held = _hold(_lock_of(temporary))
    try:
        yield temporary
    finally:
        _release(held)


def _lock_of(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + LOCK)


def _belongs_to(temporary: str, name: str | None) -> bool:
    target = partial_of(temporary)
    return target is not None and name in (None, target)


def _hold(path: Path) -> BaseFileLock | None:
    """Take the lock file ``path``; return None if another process holds it or has just removed it."""
    from filelock import FileLock, Timeout

    held = FileLock(str(path), thread_local=False)
    try:
        held.acquire(timeout=0)
    except Timeout:
        return None
    if path.exists():
        return held
    # Another process removed the file between opening and locking, so this lock protects nothing.
    held.release()
    return None


def _release(held: BaseFileLock) -> None:
    # Removed before it is freed, so that nobody locks a file that disappears; Windows removes it when it is freed.
    with contextlib.suppress(OSError):
        Path(held.lock_file).unlink()
    held.release()


def _remove_unless_held(temporary: Path) -> None:
    if (held := _hold(_lock_of(temporary))) is None:
        return
    try:
        _remove(temporary)
    finally:
        _release(held)


def _remove_scratch_unless_held(folder: Path) -> None:
    # All users share the temporary folder, and a link in it may lead anywhere.
    if folder.is_symlink() or not folder.is_dir() or not _is_own(folder):
        return
    if (held := _hold(folder / LOCK)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()


def _is_own(path: Path) -> bool:
    # Windows has no user numbers; its temporary folder belongs to the user.
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
