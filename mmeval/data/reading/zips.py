"""Members of a zip file, read in place: nothing is unpacked, nothing is trusted."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmeval.data.reading.zip_index import ZipIndex
from mmeval.errors import DataError

LARGEST_IMAGE = 64 * 1024 * 1024
"""Bytes that a member may hold when it is read whole: no image is larger, a decompression bomb is."""
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip file for reading, from several threads if need be; for very many members see :class:`ZipIndex`.

    Raises:
        DataError: there is none, it is cut short or no zip file, or it has members that point out of it, are links,
            are encrypted or share their bytes with others.
    """
    ZipIndex(path)  # what it refuses, zipfile need not see
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise DataError(
            f"{path} is no whole zip file ({error}); a download that was cut short looks like this: fetch it again."
        ) from None


def read_member(
    archive: zipfile.ZipFile | ZipIndex, member: zipfile.ZipInfo | str | int, limit: int = LARGEST_IMAGE
) -> bytes:
    """The content of a member; from several threads if need be.

    Args:
        archive: the zip file.
        member: its name or entry, or of a :class:`ZipIndex` its number.
        limit: most bytes that it may hold.

    Raises:
        DataError: it is not there, damaged, or larger than ``limit``; the message is a few words.
    """
    name = _name(archive, member)
    try:
        with _opened(archive, member) as file:
            data = file.read(limit + 1)
    except KeyError:
        raise DataError(f"there is no {name} in the zip file") from None
    except (*DAMAGE, OSError, RuntimeError) as error:
        raise DataError(f"{name} in the zip file is damaged ({error})") from None
    if len(data) > limit:
        raise DataError(f"{name} in the zip file holds more than {limit:,} bytes")
    return data


@contextlib.contextmanager
def open_member(archive: zipfile.ZipFile | ZipIndex, member: zipfile.ZipInfo | str | int) -> Iterator[IO[bytes]]:
    """A member as a stream; damage that shows while the block reads is a sentence.

    Raises:
        DataError: it is not there, or damaged.
    """
    name = _name(archive, member)
    path = archive.path if isinstance(archive, ZipIndex) else archive.filename
    try:
        with _opened(archive, member) as file:
            yield file
    except KeyError:
        raise DataError(f"{path} holds no {name}.") from None
    except DAMAGE as error:
        raise DataError(f"{name} in {path} is damaged ({error}); fetch the file again.") from None


def _name(archive: zipfile.ZipFile | ZipIndex, member: zipfile.ZipInfo | str | int) -> str:
    if isinstance(archive, ZipIndex):
        assert isinstance(member, int), "members of a ZipIndex are asked for by their number"
        return archive.name(member)
    assert not isinstance(member, int), "members of a ZipFile are asked for by name or entry"
    return member if isinstance(member, str) else member.filename


def _opened(
    archive: zipfile.ZipFile | ZipIndex, member: zipfile.ZipInfo | str | int
) -> contextlib.AbstractContextManager[IO[bytes]]:
    if isinstance(archive, ZipIndex):
        assert isinstance(member, int)
        return archive.open(member)
    assert not isinstance(member, int)
    return archive.open(member)
