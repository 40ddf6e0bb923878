"""What a cell says of a row's image: a path, an address whose file is on disk, bytes, or nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mmeval.data.reading.files import read_image
from mmeval.errors import DataError

SCHEMES = ("http", "https", "s3", "gs")


class Reference(NamedTuple):
    """A row's image before it is read."""

    key: str
    """The same for rows that name the same file or hold the same bytes."""
    path: str = ""
    """Its file; empty where the table holds the bytes."""
    size: int = 0
    """Bytes of its file."""
    time: int = 0
    """When the file was changed, in ns."""
    data: bytes = b""

    def read(self) -> bytes:
        """The image's bytes.

        Raises:
            DataError: it can't be read, or is too large.
            FileNotFoundError: there is no such file.
        """
        return read_image(Path(self.path)) if self.path else self.data


class Finder:
    """Finds the images that cells name, and remembers what it found: each file is asked after once."""

    def __init__(self, folder: Path, *, beside: bool = True, inside: bool = False) -> None:
        """``folder``: where paths start, and where the files of addresses are.

        ``beside``: look in the folder of the table's file first. ``inside``: refuse paths that leave ``folder``, of a
        table that somebody else wrote.
        """
        self._folder, self._beside, self._inside = str(folder.absolute()), beside, inside
        self._known: dict[tuple[str, str], Reference | str] = {}

    def find(self, cell: Any, beside: str) -> Reference | None:  # noqa: ANN401 - what a table holds
        """The image that a cell of a table in the folder ``beside`` (absolute) names; None if it names none.

        A cell is a path or address, bytes, a ``{"bytes", "path"}`` of ``datasets``, or a list of such: its first.

        Raises:
            DataError: none of these, or the file is not there; the message is a few words.
        """
        if isinstance(cell, list):
            cell = cell[0] if cell else None
        if isinstance(cell, dict):
            if not cell.keys() & {"bytes", "path"}:
                raise DataError(f"the image is an object with {' and '.join(cell) or 'nothing'}, not bytes and path")
            cell = cell["bytes"] if cell.get("bytes") else cell.get("path")
        if isinstance(cell, bytes):
            return Reference(f"sha256:{hashlib.sha256(cell).hexdigest()}", data=cell) if cell else None
        if cell is None or cell != cell:  # NaN is how pandas writes nothing
            return None
        if not isinstance(cell, str):
            raise DataError(f"the image is a {type(cell).__name__}, neither a path nor bytes")
        if not (name := cell.strip()):
            return None
        base = beside if self._beside else self._folder
        if (found := self._known.get((base, name))) is None:
            found = self._known[base, name] = self._locate(name, base)
        if isinstance(found, str):
            raise DataError(found)
        return found

    def names(self) -> list[tuple[str, str]]:
        """What was asked after: folder of the table, and name."""
        return list(self._known)

    def again(self, names: Iterable[tuple[str, str]]) -> None:
        """Look again for what was asked after at an earlier time."""
        self._known = {(base, name): self._locate(name, base) for base, name in names}

    def stamps(self, *, times: bool) -> Iterator[str]:
        """Key and size of each file that was asked after (and when it was changed); a missing one has neither."""
        for (_, name), found in self._known.items():
            if isinstance(found, str):
                yield name
            else:
                yield f"{found.key}\0{found.size}" + (f"\0{found.time}" if times else "")

    def _locate(self, name: str, base: str) -> Reference | str:
        """The file, or why there is none."""
        try:
            candidates = self._of_address(name) if "://" in name else self._of_path(name, base)
        except DataError as error:
            return str(error)
        for path in candidates:
            try:
                found = os.stat(path)  # noqa: PTH116 - twice as fast for a million names
            except (OSError, ValueError):
                continue
            if stat.S_ISREG(found.st_mode):
                return Reference(self._key(path), path, found.st_size, found.st_mtime_ns)
        if "://" in name:
            return f"the image {name} is not on disk (as {Path(candidates[-1]).name} in the folder of images)"
        return f"the image's file {name} is missing"

    def _key(self, path: str) -> str:
        below = f"{self._folder}/"
        return path.removeprefix(below) if path.startswith(below) else path

    def _of_path(self, name: str, base: str) -> list[str]:
        path = PurePosixPath(name.replace("\\", "/"))
        if self._inside and (path.is_absolute() or ".." in path.parts):
            raise DataError(f"the image's path {name} leaves the folder of the table")
        if not self._inside and path.parts[:1] == ("~",):
            path = PurePosixPath(Path(path).expanduser())
        return list(dict.fromkeys(os.path.normpath(Path(start, path)) for start in (base, self._folder)))

    def _of_address(self, address: str) -> list[str]:
        """Places of the file: ``HOST/PATH`` below the folder, ``PATH``, or its last part; nothing is downloaded."""
        try:
            parts = urlsplit(address)
        except ValueError:
            raise DataError(f"the image's address {address} can't be read") from None
        if parts.scheme not in SCHEMES:
            raise DataError(f"the image's address {address} is of a kind that is not known")
        below = PurePosixPath(unquote(parts.path).replace("\\", "/").lstrip("/"))
        if ".." in (parts.netloc, *below.parts) or not below.name:
            raise DataError(f"the image's address {address} names no file")
        return [f"{self._folder}/{place}" for place in (f"{parts.netloc}/{below}", below, below.name)]
