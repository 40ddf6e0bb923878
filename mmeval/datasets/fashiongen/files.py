"""Reader of the HDF5 files of Fashion-Gen: texts by column, images in blocks."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmeval import DataError

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

IMAGE, PRODUCT, PRICE = "input_image", "input_productID", "input_msrpUSD"
_NAMES = "description category subcategory name brand composition department gender season pose"
TEXTS = tuple(f"input_{name}" for name in _NAMES.split())
SIDE = 256
"""Height and width of the images."""
ROWS = 8192
"""Most rows of texts that are in memory at once."""
BYTES = 64 * 1024 * 1024
"""Most bytes of a column's texts that are in memory at once, by their declared width."""
WIDEST, LARGEST_CHUNK, MOST_ROWS = 64 * 1024, 512 * 1024 * 1024, 4_000_000
"""Limits for a file: bytes of a text, bytes of a chunk, rows. The published files have texts of 400 bytes, and 260,490
rows."""
MIN_BLOCK, MAX_BLOCK = 64, 512
"""Images that are read at once (12 to 100 MB): whole chunks of the file, since a chunk can only be unpacked whole."""


class FashionGenFile:
    """One of the two files, checked when it is opened. Each thread reads through its own handle."""

    def __init__(self, path: Path) -> None:
        """Open the file and check its data sets; no row is read.

        Raises:
            DataError: the file is missing or damaged, lacks a data set, or has a data set of another shape or type.
        """
        self.path = path
        self._local = threading.local()
        with _open(path) as file:
            try:
                self.rows = _checked(file, path.name)
            except (
                OSError,
                RuntimeError,
                KeyError,
                ValueError,
                TypeError,
            ) as error:  # h5py, of damage
                raise DataError(f"{path} is damaged ({error}); get it again.") from None
            chunk = (file[IMAGE].chunks or (1,))[0]
        self._block = max(MIN_BLOCK // chunk * chunk, min(chunk, MAX_BLOCK))

    @cached_property
    def state(self) -> str:
        """Size and modification time."""
        state = self.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    def columns(self, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield the values of each row in the columns ``names``, as texts; numbers as their digits.

        Raises:
            DataError: the file is damaged.
        """
        with _open(self.path) as file:
            widest = max(file[name].dtype.itemsize for name in names)
            rows = max(1, min(ROWS, BYTES // widest))
            for start in range(0, self.rows, rows):
                yield from zip(*(self._texts(file, name, start, rows) for name in names), strict=True)

    def _texts(self, file: h5py.File, name: str, start: int, rows: int) -> list[str]:
        """Return the values of rows ``[start, start + rows)`` of a column as texts."""
        try:
            data = file[name]
            values = data[start : start + rows].reshape(-1).tolist()
        except OSError as error:
            where = f"{self.path.name} can't be read after row {start} ({name}: {error})"
            raise DataError(f"{where}; it is damaged: get it again.") from None
        if data.dtype.kind in "iuf":
            return [str(value) if data.dtype.kind != "f" else _digits(data.dtype.type(value)) for value in values]
        encoding = "utf-8" if _declared_utf8(data) else "latin-1"
        try:
            return [_text(value, encoding) for value in values]
        except UnicodeDecodeError:
            raise DataError(f"{self.path.name} declares {name} as UTF-8, but it is not; get the file again.") from None

    def images(self) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
        """Yield the number of each row and a thread-safe function that reads its image, uint8 ``[256, 256, 3]``."""
        for start in range(0, self.rows, self._block):
            stop = min(start + self._block, self.rows)
            block = _ImageBlock(self, start, stop)
            for row in range(start, stop):
                yield row, partial(block.take, row)

    def pixels(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the images of rows ``[start, stop)``, uint8 ``[stop - start, 256, 256, 3]``.

        Raises:
            DataError: the file is damaged there; the message is a phrase, not a sentence.
        """
        if not hasattr(self._local, "file"):
            self._local.file = _open(self.path)
        try:
            pixels: NDArray[np.uint8] = np.asarray(self._local.file[IMAGE][start:stop])
        except OSError as error:
            raise DataError(f"{self.path.name} is damaged there ({error})") from None
        return pixels

    def single(self, row: int) -> NDArray[np.uint8]:
        """Return the image of one row, uint8 ``[256, 256, 3]``."""
        single: NDArray[np.uint8] = self.pixels(row, row + 1).reshape(SIDE, SIDE, 3)
        return single


class _ImageBlock:
    """Consecutive images of a file: read together when the first is taken, freed when the last is taken."""

    def __init__(self, file: FashionGenFile, start: int, stop: int) -> None:
        self._file, self._start, self._stop = file, start, stop
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None
        self._left: set[int] = set()

    def take(self, row: int) -> NDArray[np.uint8]:
        """Return the image of ``row``, which can be taken once."""
        with self._lock:
            if self._pixels is None:
                try:
                    self._pixels = self._file.pixels(self._start, self._stop)
                except DataError:
                    return self._file.single(row)  # only the images of a damaged chunk are lost
                self._left = set(range(self._start, self._stop))
            # A copy, so that an image in use does not keep the whole block in memory.
            pixels: NDArray[np.uint8] = self._pixels[row - self._start].copy()
            self._left.discard(row)
            if not self._left:
                self._pixels = None
            return pixels


def _open(path: Path) -> h5py.File:
    import h5py

    try:
        return h5py.File(path, "r", locking=False)  # read-only shares may not offer locks
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions.") from None
    except OSError as error:
        if "truncated" in str(error):
            raise DataError(f"{path} is cut short, as after an interrupted download; get it again.") from None
        raise DataError(f"{path} is not an HDF5 file; get it again.") from None


def _checked(file: h5py.File, name: str) -> int:
    """Check the data sets of a file and return the number of rows.

    Raises:
        DataError: a data set is missing, or has another shape or type.
    """
    import h5py

    needed = (IMAGE, *TEXTS, PRODUCT, PRICE)
    # Before anything is opened through them.
    for key in needed:
        if not isinstance(file.get(key, getlink=True), (h5py.HardLink, type(None))):
            raise DataError(f"{name}: {key} is a link to data elsewhere, which is not read; get the file again.")
    if missing := [key for key in needed if not isinstance(file.get(key), h5py.Dataset)]:
        has = ", ".join(sorted(file)) or "nothing"
        raise DataError(f"{name} lacks {' and '.join(missing)}; it has {has}.")
    for key in needed:
        _require_own(file[key], f"{name}: {key}")
    image = file[IMAGE]
    if (image.shape or ())[1:] != (SIDE, SIDE, 3) or image.dtype != np.uint8:
        raise DataError(f"{name}: {IMAGE} must be uint8 [rows, {SIDE}, {SIDE}, 3], it is {_shown(image)}.")
    rows = int(image.shape[0])
    for key in needed[1:]:
        data = file[key]
        expected = "integers" if key == PRODUCT else "numbers" if key == PRICE else "texts"
        kinds = {"integers": "iu", "numbers": "iuf", "texts": "S"}[expected]
        text = expected == "texts" and h5py.check_string_dtype(data.dtype) is not None
        if data.shape not in ((data.size, 1), (data.size,)) or not (text or data.dtype.kind in kinds):
            raise DataError(f"{name}: {key} must be {expected} [rows, 1], it is {_shown(data)}.")
        if data.size != rows:
            raise DataError(f"{name}: {key} has {data.size:,} rows, {IMAGE} has {rows:,}; get the file again.")
    if not rows:
        raise DataError(f"{name} has no rows; get it again.")
    if rows > MOST_ROWS:
        raise DataError(f"{name} declares {rows:,} rows, more than {MOST_ROWS:,}; get it again.")
    return rows


def _require_own(data: h5py.Dataset, where: str) -> None:
    """Refuse a data set that is stored in other files, or declares sizes that no published file has.

    Raises:
        DataError: the data set is refused; nothing was read.
    """
    if data.external or data.is_virtual:
        raise DataError(f"{where} is stored in other files, which are not read; get the file again.")
    width = int(data.dtype.itemsize)
    if width > WIDEST:
        raise DataError(f"{where} declares texts of {width:,} bytes, more than {WIDEST:,}; get the file again.")
    chunk = math.prod(data.chunks or (1,)) * width
    if chunk > LARGEST_CHUNK:
        raise DataError(f"{where} declares chunks of {chunk:,} bytes, more than {LARGEST_CHUNK:,}; get the file again.")


def _shown(data: h5py.Dataset) -> str:
    return f"{data.dtype} {list(data.shape or ())}"


def _digits(value: np.floating) -> str:
    """Return the shortest digits that identify the number in its own precision: 19.99, also for a float32."""
    return np.format_float_positional(value, trim="-")


def _declared_utf8(data: h5py.Dataset) -> bool:
    """Return whether the data set declares its texts as UTF-8."""
    import h5py

    known = h5py.check_string_dtype(data.dtype)
    return known is not None and known.encoding == "utf-8"


def _text(value: bytes | str, encoding: str) -> str:
    text = value if isinstance(value, str) else value.decode(encoding)
    return text.rstrip("\0").replace("\t", " ").strip()
