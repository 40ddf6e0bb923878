"""A published file: from the Hub, else from where else it stands; whole, and the right one."""

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
from mmeval.fetch.digests import md5_of, read_md5, remember
from mmeval.fetch.part import Part, unwritable
from mmeval.fetch.redirects import Unavailable
from mmeval.fetch.transfer import Address, near, transfer
from mmeval.files import LockedError, lock


def fetch(download: Download, folder: Path) -> Path:
    """Have a file in ``folder``, and return its path; one that is there and whole is not fetched again.

    What a call that failed or was killed leaves in ``NAME.part`` is continued by the next one.

    Raises:
        DataError: no address gives it, it is not the published file, or there is no room.
    """
    target = folder / download.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(target):
            if target.exists():
                if _is_whole(target, download):
                    return target
                _reuse(target, download)
            part = Part(target)
            _need_room(download, folder, part.size)
            _from_anywhere(download, part, target)
    except OSError as error:
        raise unwritable(folder, error) from error
    return target


@contextlib.contextmanager
def _turn(target: Path) -> Iterator[None]:
    path = target.with_name(f".{target.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(path, wait=False))
        except LockedError:
            note(f"{target.name}: another process is fetching it; waiting")
            stack.enter_context(lock(path))
        yield


def _is_whole(path: Path, download: Download) -> bool:
    if not download.md5:
        return near(path.stat().st_size, download.size)
    return md5_of(path, download.name) == download.md5.lower()


def _reuse(target: Path, download: Download) -> None:
    """Make a file that is not the published one the beginning of it, if it may be that, or set it aside."""
    part = Part(target)
    if not part.size and download.md5 and target.stat().st_size < download.size:
        note(f"{target.name}: it is cut short; going on after {decimal(target.stat().st_size)}")
        target.replace(part.path)
    else:
        wrong = target.with_name(f"{target.name}.wrong")
        target.replace(wrong)
        note(f"{target.name}: it is not the published file; kept as {wrong.name}")


def _need_room(download: Download, folder: Path, have: int) -> None:
    need = download.size + download.size // 20 - have
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DataError(
            f"There is no room for {download.name}: it needs {decimal(need)}, and {folder} has {decimal(free)} free; "
            "make room, or choose another folder."
        )


def _from_anywhere(download: Download, part: Part, target: Path) -> None:
    said = []
    for label, find in _addresses(download):
        try:
            transfer(find(), part, name=download.name, size=download.size, trusted=bool(download.md5))
            _accept(download, part, target)
        except Unavailable as error:
            said.append(f"{label}: {error}")
            continue
        return
    kept = f" ({decimal(part.size)} are kept, the next call goes on from there)" if part.size else ""
    raise DataError(f"{download.name} could not be fetched{kept}: {'; '.join(said) or 'no address is known'}.")


def _addresses(download: Download) -> Iterator[tuple[str, Callable[[], Address]]]:
    if download.hub:
        yield hub.label(download.hub), partial(hub.address, download.hub, download.name)
    for url in download.urls:
        yield url, partial(Address, url, url)


def _accept(download: Download, part: Part, target: Path) -> None:
    """Give a complete file its name, or set it aside if it isn't the published one."""
    if not download.md5:
        part.finish(target)
        return
    found = read_md5(part.path, download.name)
    if found != download.md5.lower():
        wrong = part.set_aside()
        raise Unavailable(
            f"not the published file, its MD5 is {found} and not {download.md5.lower()} (kept as {wrong.name})"
        )
    part.finish(target)
    remember(target, found)
