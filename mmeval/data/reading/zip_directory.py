"""The central directory of a zip file as arrays, with the 64-bit extension (APPNOTE.TXT 4.3.12 to 4.3.16, 4.5.3)."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

ENTRY = np.dtype(
    [
        *[
            ("signature", "<u4"),
            ("made", "<u2"),
            ("needs", "<u2"),
            ("flags", "<u2"),
            ("method", "<u2"),
            ("time", "<u4"),
        ],
        *[("crc", "<u4"), ("packed", "<u4"), ("size", "<u4"), ("name", "<u2"), ("extra", "<u2"), ("comment", "<u2")],
        *[("disk", "<u2"), ("internal", "<u2"), ("attributes", "<u4"), ("offset", "<u4")],
    ]
)
END, END64, LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
LENGTHS, LENGTHS_AT = struct.Struct("<3H"), 28
LONGEST_COMMENT = 0xFFFF
IN_ZIP64, ZIP64 = 0xFFFFFFFF, 1
DAMAGED = "its directory is damaged"


class DamagedError(Exception):
    """Why something is no zip file, in a few words."""


@dataclass(frozen=True)
class Directory:
    """The members; all arrays have an element for each."""

    data: bytes
    """The directory as it stands in the file."""
    begins: int
    """Where in the file it does."""
    names: NDArray[np.int64]
    """Where in ``data`` the names begin."""
    lengths: NDArray[np.int64]
    """Bytes of the names."""
    offset: NDArray[np.int64]
    """Where in the file the members begin."""
    packed: NDArray[np.int64]
    """Their bytes there."""
    size: NDArray[np.int64]
    """Their bytes when unpacked, as the directory says."""
    crc: NDArray[np.uint32]
    method: NDArray[np.uint16]
    """Of compression."""
    flags: NDArray[np.uint16]
    attributes: NDArray[np.uint32]
    """Of the file system that the members come from."""


def read_directory(file: IO[bytes]) -> Directory:
    """Read the directory of a zip file.

    Raises:
        DamagedError: it is no whole zip file.
    """
    data, begins, shift = _find(file)
    starts = _starts(data)
    entries = _at(data, starts, ENTRY)
    if (entries["signature"] != int.from_bytes(b"PK\1\2", "little")).any():
        raise DamagedError(DAMAGED)
    size, packed, offset = _sizes(data, starts, entries)
    lengths = entries["name"].astype(np.int64)
    # Copies, so that what nobody needs of the entries is let go.
    crc, method, flags, attributes = (entries[name].copy() for name in ("crc", "method", "flags", "attributes"))
    names = starts + ENTRY.itemsize
    return Directory(data, begins, names, lengths, offset + shift, packed, size, crc, method, flags, attributes)


def _find(file: IO[bytes]) -> tuple[bytes, int, int]:
    """The directory, where it begins, and how many bytes stand in the file before the zip file begins."""
    length = file.seek(0, 2)
    file.seek(max(0, length - LONGEST_COMMENT - END.size))
    tail = file.read()
    found = tail.rfind(b"PK\5\6")
    if found < 0 or found + END.size > len(tail):
        raise DamagedError("its end is missing")
    ends = length - len(tail) + found
    _, disk, _, _, count, size, offset, _ = END.unpack_from(tail, found)
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
    """Where the entries begin."""
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
    """Sizes, packed sizes and offsets; what has no room in 32 bits stands in an extra field."""
    values = [entries[field].astype(np.int64) for field in ("size", "packed", "offset")]
    large = sum(((value == IN_ZIP64).astype(np.int64) for value in values), np.zeros(len(starts), np.int64))
    rows = np.flatnonzero(large)
    at = starts[rows] + ENTRY.itemsize + entries["name"][rows]
    end = at + entries["extra"][rows]
    while len(rows):  # the next extra field of all that have not found theirs
        if (at + 4 > end).any():
            raise DamagedError(DAMAGED)
        tag, length = (_at(data, at + place, np.dtype("<u2")).astype(np.int64) for place in (0, 2))
        here = tag == ZIP64
        members, place = rows[here], at[here] + 4
        if (place + 8 * large[members] > end[here]).any():
            raise DamagedError(DAMAGED)
        for value in values:
            wanted = value[members] == IN_ZIP64
            value[members[wanted]] = _at(data, place[wanted], np.dtype("<i8"))
            place[wanted] += 8
        rows, at, end = rows[~here], (at + 4 + length)[~here], end[~here]
    if any((value < 0).any() for value in values):
        raise DamagedError(DAMAGED)
    return values[0], values[1], values[2]


def _at(data: bytes, places: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """What stands at some places of the directory."""
    if not len(places):
        return np.empty(0, dtype)
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), dtype.itemsize)
    return np.ascontiguousarray(windows[places]).view(dtype).ravel()
