"""Members of a zip file, read in place: nothing is unpacked, nothing is trusted."""

from __future__ import annotations

import contextlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmeval.errors import DataError

LARGEST_PICTURE = 64 * 1024 * 1024
"""Bytes that a member may hold when it is read whole: no picture is larger, a decompression bomb is."""


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip file for reading, from several threads if need be.

    Raises:
        DataError: there is none, it is cut short or no zip file, or it has members that point out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path} is no whole zip file ({error}); a download that was cut short looks like this: fetch it again."
        ) from None
    for member in archive.infolist():
        if complaint := _unsafe(member):
            archive.close()
            shown = f'the member "{member.filename}", which {complaint}'
            raise DataError(f"{path} holds {shown}; get the file from its publisher.")
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | str, limit: int = LARGEST_PICTURE) -> bytes:
    """The content of a member.

    Raises:
        DataError: it is not there, damaged, or larger than ``limit``.
    """
    name = member if isinstance(member, str) else member.filename
    try:
        with archive.open(member) as file:
            data = file.read(limit + 1)
            if len(data) > limit:
                raise DataError(f"{name} in the zip file holds more than {limit:,} bytes")
            return data
    except KeyError:
        raise DataError(f"there is no {name} in the zip file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{name} in the zip file is damaged ({error})") from None


@contextlib.contextmanager
def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | str) -> Iterator[IO[bytes]]:
    """A member as a stream; damage that shows while the block reads is a sentence.

    Raises:
        DataError: it is not there, or damaged.
    """
    name = member if isinstance(member, str) else member.filename
    try:
        with archive.open(member) as file:
            yield file
    except KeyError:
        raise DataError(f"{archive.filename} holds no {name}.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{name} in {archive.filename} is damaged ({error}); fetch the file again.") from None


def _unsafe(member: zipfile.ZipInfo) -> str:
    parts = member.filename.replace("\\", "/").split("/")
    if member.filename.startswith(("/", "\\")) or parts[0].endswith(":") or ".." in parts:
        return "points out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & 0x1:
        return "is encrypted"
    return ""
