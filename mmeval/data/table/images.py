"""Lookup of the images that table cells refer to (path, address of a file on disk, or bytes), without decoding."""

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


class ImageReference(NamedTuple):
    """The image of a row, not read yet."""

    key: str
    """Equal for rows that name the same file or hold the same bytes."""
    path: str = ""
    """The image's file; empty if the table holds the bytes."""
    size: int = 0
    """Size of the file in bytes."""
    time: int = 0
    """Modification time of the file in ns."""
    data: bytes = b""
    """The bytes, if the table holds them."""

    def read(self) -> bytes:
        """Return the image's bytes.

        Raises:
            DataError: the file can't be read or is too large.
            FileNotFoundError: there is no such file.
        """
        return read_image(Path(self.path)) if self.path else self.data


class ImageFinder:
    """Finds the images that cells refer to, and caches them: the file system is asked once per name."""

    def __init__(self, folder: Path, *, beside: bool = True, inside: bool = False) -> None:
        """Set where images are searched.

        Args:
            folder: the folder that relative paths start from, which also holds the files of addresses.
            beside: whether to look in the folder of the table's file first.
            inside: whether to refuse paths that leave ``folder``, for tables that a stranger wrote.
        """
        self._folder, self._beside, self._inside = str(folder.absolute()), beside, inside
        self._cache: dict[tuple[str, str], ImageReference | str] = {}

    def find(self, cell: Any, beside: str) -> ImageReference | None:  # noqa: ANN401 - what a table holds
        """Return the image that a cell refers to; None if the cell is empty.

        Args:
            cell: a path, an address, bytes, a ``{"bytes", "path"}`` of ``datasets``, or a list of these, of which the
                first counts.
            beside: the absolute folder of the table's file.

        Raises:
            DataError: the cell is none of these, or the file is missing; the message is a short reason.
        """
        if isinstance(cell, list):
            cell = cell[0] if cell else None
        if isinstance(cell, dict):
            if not cell.keys() & {"bytes", "path"}:
                raise DataError(f"the image is an object with {' and '.join(cell) or 'nothing'}, not bytes and path")
            cell = cell["bytes"] if cell.get("bytes") else cell.get("path")
        if isinstance(cell, bytes):
            return ImageReference(f"sha256:{hashlib.sha256(cell).hexdigest()}", data=cell) if cell else None
        if cell is None or cell != cell:  # pandas writes NaN for a missing value
            return None
        if not isinstance(cell, str):
            raise DataError(f"the image is a {type(cell).__name__}, neither a path nor bytes")
        if not (name := cell.strip()):
            return None
        base = beside if self._beside else self._folder
        if (reference := self._cache.get((base, name))) is None:
            reference = self._cache[base, name] = self._locate(name, base)
        if isinstance(reference, str):
            raise DataError(reference)
        return reference

    def forget(self) -> None:
        """Empty the cache, so that it does not grow with the rows of a table that is read once."""
        self._cache.clear()

    def names(self) -> list[tuple[str, str]]:
        """Return all names that were searched, each with the folder of its table."""
        return list(self._cache)

    def search(self, names: Iterable[tuple[str, str]]) -> None:
        """Fill the cache by searching for names, given as :meth:`names` returns them."""
        self._cache = {(base, name): self._locate(name, base) for base, name in names}

    def stamps(self, *, times: bool) -> Iterator[str]:
        """Yield the key, size and, with ``times``, modification time of each file; for a missing file only its name."""
        for (_, name), image in self._cache.items():
            if isinstance(image, str):
                yield name
            else:
                yield f"{image.key}\0{image.size}" + (f"\0{image.time}" if times else "")

    def _locate(self, name: str, base: str) -> ImageReference | str:
        """Return the image, or the reason why it can't be found."""
        try:
            candidates = self._of_address(name) if "://" in name else self._of_path(name, base)
        except DataError as error:
            return str(error)
        for path in candidates:
            try:
                status = os.stat(path)  # noqa: PTH116 - twice as fast for a million names
            except (OSError, ValueError):
                continue
            if stat.S_ISREG(status.st_mode):
                return ImageReference(self._key(path), path, status.st_size, status.st_mtime_ns)
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
        """Return possible paths of an address's file, below the folder: ``HOST/PATH``, ``PATH`` and its last part.

        Nothing is downloaded.
        """
        try:
            parts = urlsplit(address)
        except ValueError:
            raise DataError(f"the image's address {address} can't be read") from None
        if parts.scheme not in SCHEMES:
            raise DataError(f"the image's address {address} has an unknown scheme")
        below = PurePosixPath(unquote(parts.path).replace("\\", "/").lstrip("/"))
        if ".." in (parts.netloc, *below.parts) or not below.name:
            raise DataError(f"the image's address {address} names no file")
        return [f"{self._folder}/{place}" for place in (f"{parts.netloc}/{below}", below, below.name)]
