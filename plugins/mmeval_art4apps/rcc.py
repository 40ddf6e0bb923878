"""Reader of Qt's binary resource files (``.rcc``), for files from strangers.

Format, all numbers big-endian (Qt's ``rcc.cpp`` and ``qresource.cpp``): the magic ``qres``; version, offset of the
tree, of the data and of the names (4 x u32); from version 3 on, flags of the whole file (u32). A node of the tree has
14 bytes, from version 2 on 22: offset of its name (u32), flags (u16), then for a folder the number of its children and
the number of the first one (2 x u32), for a file its country and language (2 x u16) and the offset of its data (u32),
and at last the time of change. Node 0 is the root. Data is its size (u32) and its bytes; a zlib entry begins with its
unpacked size (u32), a zstd entry is a frame. A name is its length in UTF-16 units (u16), a hash (u32) and its text.
"""

from __future__ import annotations

import re
import struct
import zlib

import pyarrow as pa

from mmeval import DataError

MAGIC = b"qres"
VERSIONS = (1, 2, 3)
NODE = {1: 14, 2: 22, 3: 22}
"""Bytes of a node, by version."""
ZLIB, FOLDER, ZSTD = 1, 2, 4
"""Flags of a node."""
LARGEST_ENTRY = 4 << 20
"""Most bytes of an unpacked entry; a word list has about 40,000."""
MOST_BYTES = 32 << 20
"""Most bytes of all selected entries together."""
MOST_NODES, LONGEST_PATH = 10_000, 1000
"""Limits of the tree: files and folders, characters of a path."""


class _DamagedError(Exception):
    """A resource file that contradicts its format; the message is the reason in a few words."""


def read_rcc(data: bytes, where: str, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """Return the entries of a resource file whose paths match ``wanted`` as a whole.

    Args:
        data: content of the file.
        where: the file's name in messages.
        wanted: pattern of paths such as ``gcompris/src/activities/lang/resource/content-de.json``.

    Raises:
        DataError: the file is damaged, of an unknown version, or has an entry that is too large.
    """
    if data[:4] != MAGIC:
        raise DataError(f"{where} is not a Qt resource file: it does not begin with qres.")
    try:
        reader = _Reader(data)
        entries: dict[str, bytes] = {}
        left = MOST_BYTES
        for path, node in reader.files():
            if wanted.fullmatch(path):
                entries[path] = reader.content(node)
                left -= len(entries[path])
                if left < 0:
                    raise _DamagedError(f"its entries have more than {MOST_BYTES:,} bytes")
        return entries
    except _DamagedError as error:
        raise DataError(f"{where} is damaged ({error}); get it again.") from None


class _Reader:
    """A resource file in memory. Every offset is checked before it is used, and every node is visited once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._version, self._tree, self._contents, self._names = self._numbers(">4I", len(MAGIC))
        if self._version not in VERSIONS:
            raise _DamagedError(f"its version is {self._version}, not 1, 2 or 3")

    def files(self) -> list[tuple[str, int]]:
        """Return path and number of each node that is a file."""
        files: list[tuple[str, int]] = []
        todo, seen = [(0, "")], {0}
        while todo:
            node, path = todo.pop()
            _, flags = self._head(node)
            if not flags & FOLDER:
                files.append((path, node))
                continue
            count, first = self._numbers(">2I", self._at(node) + 6)
            if len(seen) + count > MOST_NODES:
                raise _DamagedError(f"it has more than {MOST_NODES:,} entries")
            for child in range(first, first + count):
                if child in seen:
                    raise _DamagedError("a folder contains itself, or two folders contain the same entry")
                seen.add(child)
                name = self._name(self._head(child)[0])
                if len(path) + len(name) > LONGEST_PATH:
                    raise _DamagedError(f"a path has more than {LONGEST_PATH:,} characters")
                todo.append((child, f"{path}/{name}" if path else name))
        return files

    def content(self, node: int) -> bytes:
        """Return the unpacked content of a file."""
        flags = self._head(node)[1]
        (offset,) = self._numbers(">I", self._at(node) + 10)
        start = self._contents + offset
        (size,) = self._numbers(">I", start)
        packed = self._bytes(start + 4, size)
        if flags & ZLIB:
            return _inflated(packed)
        if flags & ZSTD:
            return _decompressed(packed)
        return _limited(packed)

    def _at(self, node: int) -> int:
        return self._tree + node * NODE[self._version]

    def _head(self, node: int) -> tuple[int, int]:
        """Return the offset of a node's name, and its flags."""
        name, flags = self._numbers(">IH", self._at(node))
        return name, flags

    def _name(self, offset: int) -> str:
        at = self._names + offset
        (units,) = self._numbers(">H", at)
        try:
            return self._bytes(at + 6, 2 * units).decode("utf-16-be")
        except UnicodeDecodeError:
            raise _DamagedError("a name is not UTF-16") from None

    def _numbers(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack(form, self._bytes(at, struct.calcsize(form)))

    def _bytes(self, at: int, size: int) -> bytes:
        if at + size > len(self._data):
            raise _DamagedError(f"byte {at + size} is beyond its end")
        return self._data[at : at + size]


def _inflated(packed: bytes) -> bytes:
    """Unpack a zlib entry, of which the first four bytes are its unpacked size."""
    unpacker = zlib.decompressobj()
    try:
        content = _limited(unpacker.decompress(packed[4:], LARGEST_ENTRY + 1))
    except zlib.error as error:
        raise _DamagedError(f"an entry can't be unpacked: {error}") from None
    if not unpacker.eof or len(content) != int.from_bytes(packed[:4], "big"):
        raise _DamagedError("an entry has another size than it declares")
    return content


def _decompressed(packed: bytes) -> bytes:
    """Unpack a zstd entry."""
    if not pa.Codec.is_available("zstd"):
        raise _DamagedError("an entry is compressed with zstd, which this build of pyarrow can't read")
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            return _limited(stream.read(LARGEST_ENTRY + 1))
    except (OSError, pa.ArrowException) as error:
        raise _DamagedError(f"an entry can't be unpacked: {error}") from None


def _limited(content: bytes) -> bytes:
    if len(content) > LARGEST_ENTRY:
        raise _DamagedError(f"an entry has more than {LARGEST_ENTRY:,} bytes")
    return content
