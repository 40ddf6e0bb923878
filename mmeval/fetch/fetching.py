"""Download of a published file from the Hub or other addresses, with its MD5 checked."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.filesize import decimal

from mmeval.api.spec import Download
from mmeval.console import note
from mmeval.errors import DataError
from mmeval.fetch import hub
from mmeval.fetch.digests import cache_md5, md5_of, read_md5
from mmeval.fetch.part import Part, unwritable
from mmeval.fetch.redirects import Unavailable
from mmeval.fetch.transfer import Address, near, transfer
from mmeval.files import LockedError, lock


def fetch(download: Download, folder: Path) -> Path:
    """Download a file into ``folder`` unless it is already there, and return its path.

    A failed or killed call leaves ``NAME.part``, which the next call continues.

    Raises:
        DataError: no address provides the file, the content is not the published file, or the disk lacks room.
    """
    target = folder / download.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(target):
            if target.exists():
                if _is_complete(target, download):
                    return target
                _reuse(target, download)
            part = Part(target)
            _need_room(download, folder, part.size)
            _download(download, part, target)
    except OSError as error:
        raise unwritable(folder, error) from error
    return target


@contextlib.contextmanager
def _exclusive(target: Path) -> Iterator[None]:
    """Hold the lock on a download, and tell the user if another process has it."""
    path = target.with_name(f".{target.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(path, wait=False))
        except LockedError:
            note(f"{target.name}: another process is fetching it; waiting")
            stack.enter_context(lock(path))
        yield


def _is_complete(path: Path, download: Download) -> bool:
    if not download.md5:
        return near(path.stat().st_size, download.size)
    return md5_of(path, download.name) == download.md5.lower()


def _reuse(target: Path, download: Download) -> None:
    """Turn an incomplete file into the part to continue, and move any other wrong file to ``NAME.wrong``."""
    part = Part(target)
    if not part.size and download.md5 and target.stat().st_size < download.size:
        note(f"{target.name}: it is incomplete; continuing after {decimal(target.stat().st_size)}")
        target.replace(part.path)
    else:
        wrong = target.with_name(f"{target.name}.wrong")
        target.replace(wrong)
        note(f"{target.name}: it is not the published file; renamed to {wrong.name}")


def _need_room(download: Download, folder: Path, have: int) -> None:
    need = download.size + download.size // 20 - have
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DataError(
            f"There is no room for {download.name}: it needs {decimal(need)}, and {folder} has {decimal(free)} free; "
            "make room, or choose another folder."
        )


def _download(download: Download, part: Part, target: Path) -> None:
    errors = []
    for label, find in _addresses(download):
        try:
            transfer(find(), part, name=download.name, size=download.size, trusted=bool(download.md5))
            _accept(download, part, target)
        except Unavailable as error:
            errors.append(f"{label}: {error}")
            continue
        return
    kept = f" ({decimal(part.size)} are kept, the next call continues from there)" if part.size else ""
    raise DataError(f"{download.name} could not be fetched{kept}: {'; '.join(errors) or 'no address is known'}.")


def _addresses(download: Download) -> Iterator[tuple[str, Callable[[], Address]]]:
    if download.hub:
        yield hub.label(download.hub), partial(hub.address, download.hub, download.name)
    for url in download.urls:
        yield url, partial(Address, url, url)


def _accept(download: Download, part: Part, target: Path) -> None:
    """Give a complete download its final name.

    Raises:
        Unavailable: it is not the published file; it is kept as ``NAME.wrong``.
    """
    if not download.md5:
        part.finish(target)
        return
    actual = read_md5(part.path, download.name)
    if actual != download.md5.lower():
        wrong = part.reject()
        raise Unavailable(
            f"not the published file, its MD5 is {actual} and not {download.md5.lower()} (kept as {wrong.name})"
        )
    part.finish(target)
    cache_md5(target, actual)
