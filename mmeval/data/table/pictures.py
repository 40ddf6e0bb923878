"""What a cell says of a row's picture: a path, an address whose file is on disk, bytes, or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mmeval.data.reading.files import read_picture
from mmeval.errors import DataError

SCHEMES = ("http", "https", "s3", "gs")


class Reference(NamedTuple):
    """A row's picture before it is read."""

    key: str
    """The same for rows that name the same file or hold the same bytes."""
    path: Path | None
    data: bytes | None = None

    def read(self) -> bytes:
        """The picture's bytes.

        Raises:
            DataError: it can't be read, or is too large.
            FileNotFoundError: there is no such file.
        """
        return read_picture(self.path) if self.data is None and self.path else self.data or b""


def reference(cell: Any, folder: Path, *, inside: bool) -> Reference | None:  # noqa: ANN401 - what a table holds
    """The picture that a cell names; None if it names none.

    Args:
        cell: a path or address, bytes, a ``{"bytes", "path"}`` of ``datasets``, or a list of such: its first.
        folder: where relative paths start, and where the files of addresses are.
        inside: refuse paths that leave ``folder``, of a table that somebody else wrote.

    Raises:
        DataError: none of these; the message is a few words.
    """
    if isinstance(cell, list):
        cell = cell[0] if cell else None
    if isinstance(cell, dict):
        cell = cell["bytes"] if cell.get("bytes") else cell.get("path")
    if cell is None or cell in ("", b""):
        return None
    if isinstance(cell, bytes):
        return Reference(f"sha256:{hashlib.sha256(cell).hexdigest()}", None, cell)
    if not isinstance(cell, str):
        raise DataError(f"the picture is a {type(cell).__name__}, neither a path nor bytes")
    if "://" in cell:
        return _of_address(cell, folder)
    path = Path(cell.replace("\\", "/")).expanduser() if not inside else Path(cell.replace("\\", "/"))
    if inside and (path.is_absolute() or ".." in path.parts):
        raise DataError(f"the picture's path {cell} leaves the folder of the table")
    return Reference(cell, folder / path)


def _of_address(address: str, folder: Path) -> Reference:
    """The file of an address: ``HOST/PATH`` below the folder, ``PATH``, or its last part; nothing is downloaded."""
    parts = urlsplit(address)
    if parts.scheme not in SCHEMES:
        raise DataError(f"the picture's address {address} is of a kind that is not known")
    below = PurePosixPath(unquote(parts.path).lstrip("/"))
    if ".." in below.parts or not below.name:
        raise DataError(f"the picture's address {address} names no file")
    candidates = (folder / parts.netloc / below, folder / below, folder / below.name)
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise DataError(f"the picture {address} is not on disk (as {below.name} in the folder of pictures)")
    return Reference(address, found)
