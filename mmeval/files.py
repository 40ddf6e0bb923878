"""Atomic writes, locks between processes, digests.

What isn't whole yet has a name of its own, ``.NAME.XXXXXXXX.partial``, and a lock beside it: the same name and
``.lock``. The process that writes holds the lock from before the temporary is there until it is gone, and the system
frees it when that process ends, however it ends. A temporary whose lock is free is a leftover; :func:`sweep` removes
it.
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
"""The suffixes of what is being written, and of its lock."""
_PARTIAL_NAME = re.compile(rf"\.(.+)\.[0-9a-z_]+{re.escape(PARTIAL)}(?:{re.escape(LOCK)})?", re.DOTALL)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place only if the block ends well.

    What killed processes left of earlier attempts at the same path is removed first.
    """
    with _reserved(path) as temporary:
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            yield temporary
            _flush(temporary)
            # Private until now; a result is as readable as any other file of its owner.
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
    """Yield an empty folder that becomes ``path`` if the block ends well.

    What killed processes left of earlier attempts at the same path is removed first.
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
    """Name of the file or folder that a temporary, or its lock, stands in for; None if ``name`` is neither."""
    found = _PARTIAL_NAME.fullmatch(name)
    return found.group(1) if found else None


def sweep(folder: Path, name: str | None = None, *, deep: bool = False) -> None:
    """Remove from ``folder`` what killed processes left unfinished; what a live process is writing stays.

    Args:
        folder: need not exist.
        name: only what stands in for a file or folder of this name; by default all.
        deep: in the folders below it, too.
    """
    for root, folders, files in os.walk(folder):
        found = {one.removesuffix(LOCK) for one in (*folders, *files) if _stands_for(one, name)}
        for one in sorted(found):
            # One that belongs to another user, or is on a read-only disk, stays.
            with contextlib.suppress(OSError):
                _remove_unless_held(Path(root, one))
        folders[:] = [one for one in folders if partial_of(one) is None] if deep else []


def scratch_folder(prefix: str) -> tuple[Path, Callable[[], None]]:
    """A folder for temporary files, and what removes it.

    Folders of the same prefix whose process was killed are removed first: a lock in each is held by its process.
    """
    place = Path(tempfile.gettempdir())
    for leftover in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            _remove_scratch_unless_held(leftover)
    held = None
    while held is None:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        # None: a process that started at the same time took the new folder for a leftover.
        with contextlib.suppress(FileNotFoundError):
            held = _hold(folder / LOCK)

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()

    return folder, remove


def disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room; pyarrow and safetensors say it only in the text of their own."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "os error 28" in str(error) or "errno 28" in str(error)


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


@contextlib.contextmanager
def _reserved(path: Path) -> Iterator[Path]:
    """Yield a free name for a temporary beside ``path``; its lock is held within the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    held = None
    while held is None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        held = _hold(_lock_of(temporary))
    try:
        yield temporary
    finally:
        _let_go(held)


def _lock_of(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + LOCK)


def _stands_for(partial: str, name: str | None) -> bool:
    target = partial_of(partial)
    return target is not None and name in (None, target)


def _hold(path: Path) -> BaseFileLock | None:
    """Hold the lock file ``path``; None if another process does, or has just removed it."""
    from filelock import FileLock, Timeout

    held = FileLock(str(path), thread_local=False)
    try:
        held.acquire(timeout=0)
    except Timeout:
        return None
    if path.exists():
        return held
    # Another process swept between opening and locking; the name is free, and so is the lock.
    held.release()
    return None


def _let_go(held: BaseFileLock) -> None:
    # Before it is free, so that nobody locks a file that is about to go; Windows removes it when it is freed.
    with contextlib.suppress(OSError):
        Path(held.lock_file).unlink()
    held.release()


def _remove_unless_held(temporary: Path) -> None:
    if (held := _hold(_lock_of(temporary))) is None:
        return
    try:
        _remove(temporary)
    finally:
        _let_go(held)


def _remove_scratch_unless_held(folder: Path) -> None:
    # The temporary folder is everybody's; a link there may lead anywhere.
    if folder.is_symlink() or not folder.is_dir() or not _mine(folder):
        return
    if (held := _hold(folder / LOCK)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()


def _mine(path: Path) -> bool:
    # Windows has no such numbers; its temporary folder is the user's own.
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
