"""Reader of Debian packages: selected files of a ``.deb``, read in memory without unpacking it to disk.

A ``.deb`` is an ``ar`` archive (deb(5)): ``debian-binary``, ``control.tar.*`` and ``data.tar.*``. The last one holds
the files, and is compressed with xz, gzip or zstd, or not at all.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from mmeval import DataError

MAGIC = b"!<arch>\n"
HEADER = 60
"""Bytes of the header of an ``ar`` member: name (16), time (12), owner (6), group (6), mode (8), size (10), end (2)."""
MOST_MEMBERS = 64
"""Members of the ``ar`` archive that are searched; a package has three."""
LARGEST_FILE, LARGEST_UNPACKED, MOST_FILES = 32 << 20, 1 << 30, 10_000
"""Limits of a package: bytes of a selected file, bytes of the unpacked tar archive, number of selected files."""
MOST_BYTES = 256 << 20
"""Limit of the bytes of all selected files together."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""


def read_deb(path: Path, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """Return the regular files of a package whose paths match ``wanted`` as a whole.

    Links and devices are ignored. Paths are relative, without a leading ``./``; since they must match, an absolute path
    or one with ``..`` is ignored too. If a path occurs twice, the last file counts, as when a package is unpacked.

    Raises:
        DataError: the file is missing, damaged, no package, or larger than the limits of this module.
    """
    try:
        with path.open("rb") as file:
            return _files(_unpacked(file, path), path, wanted)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (
        tarfile.TarError,
        lzma.LZMAError,
        zlib.error,
        pa.ArrowException,
        EOFError,
        OSError,
        ValueError,
        OverflowError,
    ) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} is damaged ({reason}); get it again.") from None


def _unpacked(file: IO[bytes], path: Path) -> _Readable:
    """Return the stream of the package's tar archive."""
    name, start, size = _data_member(file, path)
    section = io.BufferedReader(_Section(file, start, size))
    suffix = name.removeprefix("data.tar")
    if suffix == "":
        return section
    if suffix == ".xz":
        return lzma.LZMAFile(section)
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=section)
    if suffix == ".zst":
        if not pa.Codec.is_available("zstd"):
            raise DataError(
                f"{path} is compressed with zstd, which this build of pyarrow can't read; "
                "unpack it with `dpkg-deb -x FILE FOLDER` and give the folder."
            )
        stream: _Readable = pa.CompressedInputStream(pa.PythonFile(section, mode="r"), "zstd")
        return stream
    raise DataError(f"{path}: its files are in {name}, which is not compressed with xz, gzip or zstd.")


def _data_member(file: IO[bytes], path: Path) -> tuple[str, int, int]:
    """Return name, offset and size of the member ``data.tar.*``."""
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise DataError(f"{path} is not a Debian package: it does not begin as an ar archive does.")
    at = len(MAGIC)
    for _ in range(MOST_MEMBERS):
        header = file.read(HEADER)
        if len(header) < HEADER:
            break
        digits = header[48:58].rstrip(b" ")
        if header[58:] != b"`\n" or not digits.isdigit():
            raise DataError(f"{path} is damaged (byte {at} should begin a member of the ar archive); get it again.")
        name, size = header[:16].decode("ascii", "replace").rstrip().rstrip("/"), int(digits)
        at += HEADER
        if at + size > length:
            raise DataError(f"{path} is cut off: {name} should have {size:,} bytes; get it again.")
        if name.startswith("data.tar"):
            return name, at, size
        at += size + size % 2  # members begin at even offsets
        file.seek(at)
    raise DataError(f"{path} has no member data.tar.*; it is damaged or no Debian package: get it again.")


def _files(stream: _Readable, path: Path, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """Return the wanted files of a tar archive."""
    files: dict[str, bytes] = {}
    total = 0
    with tarfile.open(fileobj=_Limited(stream, path), mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []  # tarfile would keep every header in memory
            name = member.name.removeprefix("./")
            if not member.isreg() or wanted.fullmatch(name) is None:
                continue
            if member.size > LARGEST_FILE:
                raise DataError(f"{path}: {name} has {member.size:,} bytes, more than {LARGEST_FILE:,}.")
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            files[name] = content.read()
            total += len(files[name])
            if len(files) > MOST_FILES or total > MOST_BYTES:
                raise DataError(
                    f"{path} has more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes of words and images."
                )
    return files


class _Section(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        self._file.seek(self._at)
        data = self._file.read(min(len(buffer), self._end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Limited:
    """A stream that is refused once more than ``LARGEST_UNPACKED`` bytes have been read."""

    def __init__(self, stream: _Readable, path: Path) -> None:
        self._stream, self._path, self._left = stream, path, LARGEST_UNPACKED

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._path} unpacks to more than {LARGEST_UNPACKED:,} bytes.")
        return data
