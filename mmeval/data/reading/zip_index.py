"""Zip files of very many members, opened strictly and read in place.

The reason for not using ``zipfile``: it creates an object per member, and GLAMI-1M has a million of them. Opening an
archive of a million members took 8.5 to 10 s and 210 MB with :class:`ZipIndex`, 29 to 31 s and 637 MB with ``zipfile``
(wall time on a shared machine; 1.3 and 6.0 s of CPU time). ``zipfile`` also accepts the unsafe archives that
:class:`ZipIndex` refuses. It still decompresses the members and checks their CRC.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from mmeval.data.reading.zip_directory import DamagedError, read_directory
from mmeval.errors import DataError

LARGEST_IMAGE = 64 * 1024 * 1024
"""Bytes that :func:`read_member` returns at most: no image is larger, but a decompression bomb is."""
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
LOCAL = 30
"""Bytes of a member's local header, without its name and extra fields."""
ENCRYPTED = 0x1 | 0x40 | 0x2000
UTF8 = 0x800
# The first pattern is the faster one, and matches whatever the second matches.
SUSPECT = re.compile(rb"^[/\\]|^[^/\\]*:|\.\.|\0")
OUTSIDE = re.compile(rb"^[/\\]|^[^/\\]*:|(?:^|[/\\])\.\.(?:[/\\]|$)|\0")


class ZipIndex:
    """The directory of a zip file: its members by number, from 0.

    Members have numbers because names need not be unique. :func:`open_member` and :func:`read_member` read them, from
    several threads if need be. The archive is not kept open.
    """

    def __init__(self, path: Path) -> None:
        """Read and check the directory of the zip file at ``path``.

        Raises:
            DataError: the file is missing, cut short or not a zip file; or a member has a name that leads out of the
                archive, is a link, is encrypted, or shares bytes with another member.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                self._directory = read_directory(file)
        except FileNotFoundError:
            raise DataError(f"There is no file {path}.") from None
        except (DamagedError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(
                f"{path} is not a complete zip file ({reason}); a download that was cut short looks like this: "
                "fetch it again."
            ) from None
        if problem := self._unsafe() or self._overlap():
            raise DataError(f"{path} holds the member {problem}; get the file from its publisher.")

    def __len__(self) -> int:
        """Number of members."""
        return len(self._directory.names)

    @property
    def digest(self) -> str:
        """SHA-256 of the directory, 64 hex digits. The directory holds the CRC of every member."""
        return hashlib.sha256(self._directory.data).hexdigest()

    def name(self, member: int) -> str:
        """Return the name of a member."""
        encoding = "utf-8" if self._directory.flags[member] & UTF8 else "cp437"
        return self._raw_name(member).decode(encoding, "replace")

    def raw_names(self) -> Iterator[bytes]:
        """Yield the encoded names of all members, in order; a million are searched faster as bytes than as texts."""
        data, starts = self._directory.data, self._directory.names
        for start, end in zip(starts.tolist(), (starts + self._directory.lengths).tolist(), strict=True):
            yield data[start:end]

    @contextmanager
    def open(self, member: int) -> Iterator[IO[bytes]]:
        """Open a member as a stream. Errors are those of ``zipfile``; :func:`open_member` converts them.

        Raises:
            zipfile.BadZipFile: the member is damaged; also while the stream is read.
            NotImplementedError: Python does not know its compression.
        """
        directory = self._directory
        info = zipfile.ZipInfo(self.name(member))
        info.compress_type, info.CRC = int(directory.method[member]), int(directory.crc[member])
        info.compress_size, info.file_size = int(directory.compressed[member]), int(directory.size[member])
        with self.path.open("rb") as file:
            file.seek(int(directory.offset[member]))
            header = file.read(LOCAL)
            if header[:4] != b"PK\3\4" or len(header) < LOCAL:
                raise zipfile.BadZipFile("it does not begin where the directory says")
            length, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
            if file.read(length) != self._raw_name(member):
                raise zipfile.BadZipFile("it has another name than in the directory")
            file.seek(extra, 1)
            with zipfile.ZipExtFile(file, "r", info) as stream:
                yield cast(IO[bytes], stream)

    def _raw_name(self, member: int) -> bytes:
        start = int(self._directory.names[member])
        return self._directory.data[start : start + int(self._directory.lengths[member])]

    def _unsafe(self) -> str:
        """Return the first member that can't be trusted, with the reason; empty if there is none."""
        for member, name in enumerate(self.raw_names()):
            if SUSPECT.search(name) and OUTSIDE.search(name):
                return f'"{self.name(member)}", which points out of the archive'
        links = stat.S_IFMT(0xFFFF) & (self._directory.attributes >> 16) == stat.S_IFLNK
        encrypted = (self._directory.flags & ENCRYPTED) != 0
        for refused, reason in ((links, "is a link"), (encrypted, "is encrypted")):
            if refused.any():
                return f'"{self.name(int(np.argmax(refused)))}", which {reason}'
        return ""

    def _overlap(self) -> str:
        """Return the first member that overlaps with another, as in decompression bombs; empty if there is none."""
        directory = self._directory
        order = np.argsort(directory.offset, kind="stable")
        ends = (directory.offset + LOCAL + directory.lengths + directory.compressed)[order]
        beyond = ends > np.append(directory.offset[order][1:], directory.begins)
        return f'"{self.name(int(order[np.argmax(beyond)]))}", which overlaps with another' if beyond.any() else ""


def read_member(archive: ZipIndex, member: int, limit: int = LARGEST_IMAGE) -> bytes:
    """Return the content of a member; safe to call from several threads.

    Args:
        archive: the zip file.
        member: the member's number.
        limit: the most bytes that the member may expand to.

    Raises:
        DataError: the member is damaged or larger than ``limit``; the message is the reason for rejecting it, without
            the path of the zip file.
    """
    name = archive.name(member)
    try:
        with archive.open(member) as file:
            data = file.read(limit + 1)
    except (*DAMAGE, OSError) as error:
        raise DataError(f"{name} in the zip file is damaged ({error})") from None
    if len(data) > limit:
        raise DataError(f"{name} in the zip file holds more than {limit:,} bytes")
    return data


@contextmanager
def open_member(archive: ZipIndex, member: int) -> Iterator[IO[bytes]]:
    """Open a member, by its number, as a stream of bytes.

    Raises:
        DataError: the member is damaged; also while the stream is read within the block.
    """
    try:
        with archive.open(member) as file:
            yield file
    except DAMAGE as error:
        raise DataError(
            f"{archive.name(member)} in {archive.path} is damaged ({error}); fetch the file again."
        ) from None
