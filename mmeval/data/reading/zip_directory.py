"""The central directory of a zip file as NumPy arrays, ZIP64 included (APPNOTE.TXT 4.3.12 to 4.3.16, 4.5.3)."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

ENTRY = np.dtype(
    [
        ("signature", "<u4"),
        ("version_made_by", "<u2"),
        ("version_needed", "<u2"),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time", "<u4"),
        ("crc", "<u4"),
        ("compressed", "<u4"),
        ("size", "<u4"),
        ("name", "<u2"),  # lengths of the name, the extra fields and the comment, which follow the entry
        ("extra", "<u2"),
        ("comment", "<u2"),
        ("disk", "<u2"),
        ("internal", "<u2"),
        ("attributes", "<u4"),
        ("offset", "<u4"),
    ]
)
"""The fixed part of a directory entry."""
END, END64, LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
"""The end record of a zip file, of a ZIP64 file, and the locator of the latter."""
LENGTHS, LENGTHS_AT = struct.Struct("<3H"), 28
"""The three lengths in an entry, and their offset."""
LONGEST_COMMENT = 0xFFFF
IN_ZIP64, ZIP64 = 0xFFFFFFFF, 1
"""The value of a field that is in the ZIP64 extra field instead, and that field's tag."""
DAMAGED = "its directory is damaged"


class DamagedError(Exception):
    """A file that is not a complete zip file; the message is the reason in a few words."""


@dataclass(frozen=True)
class Directory:
    """A central directory; all arrays have one element per member."""

    data: bytes
    """The raw directory."""
    begins: int
    """Offset of the directory in the file."""
    names: NDArray[np.int64]
    """Offsets of the names in ``data``."""
    lengths: NDArray[np.int64]
    """Lengths of the names in bytes."""
    offset: NDArray[np.int64]
    """Offsets of the members' local headers in the file."""
    compressed: NDArray[np.int64]
    """Compressed sizes in bytes."""
    size: NDArray[np.int64]
    """Uncompressed sizes in bytes, as the directory declares them."""
    crc: NDArray[np.uint32]
    method: NDArray[np.uint16]
    """Compression methods."""
    flags: NDArray[np.uint16]
    attributes: NDArray[np.uint32]
    """External file attributes; the upper 16 bits are a Unix mode."""


def read_directory(file: IO[bytes]) -> Directory:
    """Read the directory of a zip file.

    Raises:
        DamagedError: the file is not a complete zip file.
    """
    data, begins, shift = _locate(file)
    starts = _starts(data)
    entries = _at(data, starts, ENTRY)
    if (entries["signature"] != int.from_bytes(b"PK\1\2", "little")).any():
        raise DamagedError(DAMAGED)
    size, compressed, offset = _sizes(data, starts, entries)
    lengths = entries["name"].astype(np.int64)
    # Copies, so that the memory of the other fields is freed.
    crc, method, flags, attributes = (entries[name].copy() for name in ("crc", "method", "flags", "attributes"))
    names = starts + ENTRY.itemsize
    return Directory(data, begins, names, lengths, offset + shift, compressed, size, crc, method, flags, attributes)


def _locate(file: IO[bytes]) -> tuple[bytes, int, int]:
    """Return the raw directory, its offset in the file, and the number of bytes before the zip file begins."""
    length = file.seek(0, 2)
    file.seek(max(0, length - LONGEST_COMMENT - END.size))
    tail = file.read()
    position = tail.rfind(b"PK\5\6")
    if position < 0 or position + END.size > len(tail):
        raise DamagedError("its end is missing")
    ends = length - len(tail) + position
    _, disk, _, _, count, size, offset, _ = END.unpack_from(tail, position)
    if ends >= LOCATOR.size + END64.size:
        file.seek(ends - LOCATOR.size - END64.size)
        end64, locator = END64.unpack(file.read(END64.size)), LOCATOR.unpack(file.read(LOCATOR.size))
        if locator[0] == b"PK\6\7":
            if end64[0] != b"PK\6\6":
                raise DamagedError("its end is damaged")
            disk, count, size, offset = end64[4], end64[7], end64[8], end64[9]
            ends -= LOCATOR.size + END64.size
    begins = ends - size
    if disk or begins < offset:
        raise DamagedError("a part of it is missing")
    if count * ENTRY.itemsize > size:
        raise DamagedError(DAMAGED)
    file.seek(begins)
    return file.read(size), begins, begins - offset


def _starts(data: bytes) -> NDArray[np.int64]:
    """Return the offset of each entry in the directory."""
    starts, at, end, fixed = array("q"), 0, len(data), ENTRY.itemsize
    lengths = LENGTHS.unpack_from
    try:
        while at < end:
            starts.append(at)
            name, extra, comment = lengths(data, at + LENGTHS_AT)
            at += fixed + name + extra + comment
    except struct.error:
        at = -1
    if at != end:
        raise DamagedError(DAMAGED)
    return np.array(starts, dtype=np.int64)


def _sizes(
    data: bytes, starts: NDArray[np.int64], entries: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return sizes, compressed sizes and offsets; values beyond 32 bits are in the ZIP64 extra field."""
    values = [entries[field].astype(np.int64) for field in ("size", "compressed", "offset")]
    large = sum(((value == IN_ZIP64).astype(np.int64) for value in values), np.zeros(len(starts), np.int64))
    rows = np.flatnonzero(large)
    at = starts[rows] + ENTRY.itemsize + entries["name"][rows]
    end = at + entries["extra"][rows]
    while len(rows):  # look at the next extra field of every member whose ZIP64 field was not reached yet
        if (at + 4 > end).any():
            raise DamagedError(DAMAGED)
        tag, length = (_at(data, at + place, np.dtype("<u2")).astype(np.int64) for place in (0, 2))
        here = tag == ZIP64
        members, place = rows[here], at[here] + 4
        if (place + 8 * large[members] > end[here]).any():
            raise DamagedError(DAMAGED)
        for value in values:
            extended = value[members] == IN_ZIP64
            value[members[extended]] = _at(data, place[extended], np.dtype("<i8"))
            place[extended] += 8
        rows, at, end = rows[~here], (at + 4 + length)[~here], end[~here]
    if any((value < 0).any() for value in values):
        raise DamagedError(DAMAGED)
    return values[0], values[1], values[2]


def _at(data: bytes, places: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values of type ``dtype`` at byte offsets ``places`` of the directory."""
    if not len(places):
        return np.empty(0, dtype)
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), dtype.itemsize)
    return np.ascontiguousarray(windows[places]).view(dtype).ravel()
