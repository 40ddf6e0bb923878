"""The tables and images of GLAMI-1M, in a zip file or in the folder that it was unpacked into."""

from __future__ import annotations

import contextlib
import hashlib
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from mmeval import DataError
from mmeval.data.reading import ZipIndex, open_file, open_member, read_image, read_member
from mmeval.datasets.glami1m.items import LONGEST_NUMBER

TEST, TRAIN = "-test.csv", "-train.csv"
IMAGES = "images"


class GlamiFiles(Protocol):
    """The files of GLAMI-1M."""

    @property
    def tables(self) -> Mapping[str, str]:
        """File name of the table by split: ``test``, and ``train`` if there is one."""

    @property
    def identity(self) -> Mapping[str, str]:
        """Facts that change when the content changes."""

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """The image_id of each image, ascending."""

    def table(self, split: str) -> AbstractContextManager[IO[bytes]]:
        """Open the table of a split as a stream of bytes."""

    def read_image(self, image: int) -> bytes:
        """Return the encoded image with an image_id; thread-safe."""


def open_files(path: Path) -> GlamiFiles:
    """Open a zip file, or a folder that has the files itself or in a subfolder.

    Raises:
        DataError: ``path`` does not exist, or does not hold GLAMI-1M.
    """
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.")
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


class ZipFiles:
    """Files in a zip file, which is read in place: of the whole data set, or of the test split.

    The zip file of the test split has a member per row, so that names occur several times; the last one counts, as
    after unpacking.
    """

    def __init__(self, path: Path) -> None:
        """Read the directory of the zip file.

        Raises:
            DataError: the zip file is damaged, or lacks the test table or the images.
        """
        self._index = ZipIndex(path)
        tables = {self._index.name(n): n for n, name in enumerate(self._index.raw_names()) if name.endswith(b".csv")}
        top, self.tables = _tables(path, list(tables))
        self._members = {split: tables[top + name] for split, name in self.tables.items()}
        self._folder = f"{top}{IMAGES}/".encode()
        _require_some(self._numbered(), path)

    @property
    def identity(self) -> dict[str, str]:
        """Size of the file and digest of its directory."""
        return {"size": str(self._index.path.stat().st_size), "directory": self._index.digest}

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """The image_id of each image, ascending."""
        return self._image_members[0]

    def table(self, split: str) -> AbstractContextManager[IO[bytes]]:
        """Open the table of a split as a stream of bytes."""
        return open_member(self._index, self._members[split])

    def read_image(self, image: int) -> bytes:
        """Return the encoded image with an image_id."""
        images, members = self._image_members
        return read_member(self._index, int(members[np.searchsorted(images, image)]))

    @cached_property
    def _image_members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The image_id of each image, ascending, and its member in the zip file."""
        ids, members = array("q"), array("q")
        for image, member in self._numbered():
            ids.append(image)
            members.append(member)
        # unique keeps the first of equal ids; the order is reversed, so that the last member of an image counts.
        images, where = np.unique(np.array(ids)[::-1], return_index=True)
        return images, np.array(members)[::-1][where]

    def _numbered(self) -> Iterator[tuple[int, int]]:
        """Yield the image_id and the member of each image, in the order of the zip file."""
        folder, begin = self._folder, len(self._folder)
        for member, name in enumerate(self._index.raw_names()):
            if name.startswith(folder) and (image := _number(name[begin:])) is not None:
                yield image, member


class FolderFiles:
    """Files in a folder that the zip file was unpacked into."""

    def __init__(self, path: Path) -> None:
        """Find the tables in the folder or in one of its subfolders.

        Raises:
            DataError: the folder lacks the test table or the images.
        """
        subfolders = sorted(entry for entry in path.iterdir() if entry.is_dir() and entry.name != IMAGES)
        tables = {
            table.relative_to(path).as_posix() for folder in (path, *subfolders) for table in folder.glob("*.csv")
        }
        top, self.tables = _tables(path, sorted(tables))
        self._folder = path / top
        _require_some(self._numbers(), path)

    @property
    def identity(self) -> dict[str, str]:
        """Sizes and times of the tables, names of the images, and the modification time of their folder."""
        stats = {name: self._folder.joinpath(name).stat() for name in self.tables.values()}
        changed = (self._folder / IMAGES).stat().st_mtime_ns
        digest = hashlib.sha256(self.image_ids.astype("<i8").tobytes()).hexdigest()
        tables = {name: f"{stat.st_size} bytes, {stat.st_mtime_ns}" for name, stat in stats.items()}
        return tables | {IMAGES: f"{digest}, {changed}"}

    @cached_property
    def image_ids(self) -> NDArray[np.int64]:
        """The image_id of each image, ascending."""
        return np.sort(np.array(array("q", self._numbers())))

    @contextlib.contextmanager
    def table(self, split: str) -> Iterator[IO[bytes]]:
        """Open the table of a split as a stream of bytes."""
        with open_file(self._folder / self.tables[split]) as stream:
            yield stream

    def read_image(self, image: int) -> bytes:
        """Return the encoded image with an image_id."""
        return read_image(self._folder / IMAGES / f"{image}.jpg")

    def _numbers(self) -> Iterator[int]:
        """Yield the image_id of each image, in no order."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder / IMAGES) as entries:
            for entry in entries:
                if (image := _number(os.fsencode(entry.name))) is not None:
                    yield image


def _tables(path: Path, names: list[str]) -> tuple[str, dict[str, str]]:
    """Return the folder inside ``path`` that has the tables (empty, or ending in a slash), and the tables by split."""
    own = [name for name in names if "__MACOSX" not in name and not name.rpartition("/")[2].startswith(".")]
    tests = [name for name in own if name.endswith(TEST)]
    if not tests:
        raise DataError(
            f"{path} holds no GLAMI-1M{TEST}; give GLAMI-1M-dataset.zip, or the folder that it was unpacked into."
        )
    if len(tests) > 1:
        raise DataError(f"{path} holds {tests[0]} and {tests[1]}; give the folder that has only one of them.")
    top, slash, name = tests[0].rpartition("/")
    tables = {"test": name}
    train = name.removesuffix(TEST) + TRAIN
    if f"{top}{slash}{train}" in own:
        tables["train"] = train
    return top + slash, tables


def _number(name: bytes) -> int | None:
    """Return the image_id in the file name of an image, such as ``488425.jpg``; None for other files."""
    digits = name[:-4]
    valid = name.endswith(b".jpg") and digits.isdigit() and len(digits) <= LONGEST_NUMBER
    return int(digits) if valid and (digits[0] != 48 or digits == b"0") else None


def _require_some(images: Iterator[object], path: Path) -> None:
    """Raise a DataError if there are no images."""
    if next(images, None) is None:
        raise DataError(f"{path} holds no images {IMAGES}/NUMBER.jpg beside its tables; fetch or unpack it again.")
