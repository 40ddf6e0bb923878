"""Reading the HDF5 files of Fashion-Gen: texts by the column, images by the block."""

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
ROWS = 8192
"""Of the texts that are in memory at once."""
BYTES = 64 * 1024 * 1024
"""Of a column's texts that are in memory at once, by their declared width."""
WIDEST, LARGEST_CHUNK, MOST_ROWS = 64 * 1024, 512 * 1024 * 1024, 4_000_000
"""What a file may declare: bytes of a text, bytes that are unpacked as one, rows. The published files have 400 and
260,490."""
FEWEST, MOST = 64, 512
"""Images that are read at once, 12 to 100 MB: as many as a chunk of the file holds, which is unpacked as a whole."""


class FashionGenFile:
    """One of the files, checked when it is opened. Each thread reads through a handle of its own."""

    def __init__(self, path: Path) -> None:
        """Open the file and check what is in it; no row is read.

        Raises:
            DataError: it is not there, is no whole HDF5 file, lacks a data set, or has one of another shape or kind.
        """
        self.path = path
        self._local = threading.local()
        with _open(path) as file:
            try:
                self.rows = _checked(file, path.name)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py says of damage
                raise DataError(f"{path} is damaged ({error}); get it again.") from None
            chunk = (file[IMAGE].chunks or (1,))[0]
        self._block = max(FEWEST // chunk * chunk, min(chunk, MOST))

    @cached_property
    def state(self) -> str:
        """Size and time of change."""
        state = self.path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    def columns(self, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield the texts of each row, in the order of ``names``; a number comes as its digits.

        Raises:
            DataError: the file is damaged.
        """
        with _open(self.path) as file:
            widest = max(file[name].dtype.itemsize for name in names)
            rows = max(1, min(ROWS, BYTES // widest))
            for start in range(0, self.rows, rows):
                yield from zip(*(self._texts(file, name, start, rows) for name in names), strict=True)

    def _texts(self, file: h5py.File, name: str, start: int, rows: int) -> list[str]:
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
            raise DataError(f"{self.path.name} says that its {name} is UTF-8, which it is not; get it again.") from None

    def images(self) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
        """Yield the number of each row and what reads its image, uint8 ``[256, 256, 3]``, from any thread."""
        for start in range(0, self.rows, self._block):
            stop = min(start + self._block, self.rows)
            block = _Block(self, start, stop)
            for row in range(start, stop):
                yield row, partial(block.take, row)

    def pixels(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Images ``[start, stop)``.

        Raises:
            DataError: the file is damaged there; the message is a few words.
        """
        if not hasattr(self._local, "file"):
            self._local.file = _open(self.path)
        try:
            pixels: NDArray[np.uint8] = np.asarray(self._local.file[IMAGE][start:stop])
        except OSError as error:
            raise DataError(f"{self.path.name} is damaged there ({error})") from None
        return pixels

    def one(self, row: int) -> NDArray[np.uint8]:
        """An image by itself."""
        single: NDArray[np.uint8] = self.pixels(row, row + 1).reshape(SIDE, SIDE, 3)
        return single


class _Block:
    """Images that stand together in a file: read once, when the first is asked for, let go with the last."""

    def __init__(self, file: FashionGenFile, start: int, stop: int) -> None:
        self._file, self._start, self._stop = file, start, stop
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None
        self._left: set[int] = set()

    def take(self, row: int) -> NDArray[np.uint8]:
        """The image of ``row``."""
        with self._lock:
            if self._pixels is None:
                try:
                    self._pixels = self._file.pixels(self._start, self._stop)
                except DataError:
                    return self._file.one(row)  # only those of a damaged chunk are lost
                self._left = set(range(self._start, self._stop))
            # A copy, so that the last one of a block doesn't keep all of it in memory.
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
            raise DataError(f"{path} is cut short, as a download that broke off is; get it again.") from None
        raise DataError(f"{path} is no HDF5 file; get it again.") from None


def _checked(file: h5py.File, name: str) -> int:
    """The number of rows, if all is as it must be."""
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


def _require_own(data: h5py.Dataset, what: str) -> None:
    """Refuse data that stands in other files, and declared sizes that no published file has.

    Raises:
        DataError: it does; nothing of it was read.
    """
    if data.external or data.is_virtual:
        raise DataError(f"{what} keeps its data in other files, which are not read; get the file again.")
    width = int(data.dtype.itemsize)
    if width > WIDEST:
        raise DataError(f"{what} declares texts of {width:,} bytes, more than {WIDEST:,}; get the file again.")
    chunk = math.prod(data.chunks or (1,)) * width
    if chunk > LARGEST_CHUNK:
        raise DataError(f"{what} declares chunks of {chunk:,} bytes, more than {LARGEST_CHUNK:,}; get the file again.")


def _shown(data: h5py.Dataset) -> str:
    return f"{data.dtype} {list(data.shape or ())}"


def _digits(value: np.floating) -> str:
    """The fewest digits that are this number in its own precision: 1234567.5, and 19.99 of a float32 too."""
    return np.format_float_positional(value, trim="-")


def _declared_utf8(data: h5py.Dataset) -> bool:
    import h5py

    known = h5py.check_string_dtype(data.dtype)
    return known is not None and known.encoding == "utf-8"


def _text(value: bytes | str, encoding: str) -> str:
    text = value if isinstance(value, str) else value.decode(encoding)
    return text.rstrip("\0").replace("\t", " ").strip()
