"""Where the tables and images of GLAMI-1M are: in a zip file, or in the folder that it was unpacked into."""

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

TEST, TRAIN = "-test.csv", "-train.csv"
IMAGES = "images"
LONGEST_NUMBER = 18


class Files(Protocol):
    """The files of GLAMI-1M."""

    @property
    def tables(self) -> Mapping[str, str]:
        """File name of the table by split: ``test``, and ``train`` where there is one."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What the content depends on."""

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """The image_id of each image, ascending."""

    def table(self, split: str) -> AbstractContextManager[IO[bytes]]:
        """The table of a split as a stream."""

    def read_image(self, image: int) -> bytes:
        """An image as it stands in its file; from several threads if need be."""


def open_files(path: Path) -> Files:
    """Find the files in a zip file, a folder or a folder's folder.

    Raises:
        DataError: there is nothing at ``path``, or no GLAMI-1M.
    """
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.")
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


class ZipFiles:
    """Files that are read in place: the zip file of all, or that of the test split.

    The latter has a member per row, so that names come several times: as after unpacking, the last one counts.
    """

    def __init__(self, path: Path) -> None:
        self._index = ZipIndex(path)
        found = {self._index.name(n): n for n, name in enumerate(self._index.raw_names()) if name.endswith(b".csv")}
        top, self.tables = _tables(path, list(found))
        self._members = {split: found[top + name] for split, name in self.tables.items()}
        self._folder = f"{top}{IMAGES}/".encode()
        _require_some(self._numbered(), path)

    @property
    def identity(self) -> dict[str, str]:
        """Size of the file, and digest of its directory."""
        return {"size": str(self._index.path.stat().st_size), "directory": self._index.digest}

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """The image_id of each image, ascending."""
        return self._image_members[0]

    def table(self, split: str) -> AbstractContextManager[IO[bytes]]:
        """The table of a split as a stream."""
        return open_member(self._index, self._members[split])

    def read_image(self, image: int) -> bytes:
        """An image as it stands in its file."""
        images, members = self._image_members
        return read_member(self._index, int(members[np.searchsorted(images, image)]))

    @cached_property
    def _image_members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ids, members = array("q"), array("q")
        for image, member in self._numbered():
            ids.append(image)
            members.append(member)
        # Of the reversed members, unique takes the first of each: the last one counts.
        images, where = np.unique(np.array(ids)[::-1], return_index=True)
        return images, np.array(members)[::-1][where]

    def _numbered(self) -> Iterator[tuple[int, int]]:
        """The image_id and the member of each image."""
        folder, begin = self._folder, len(self._folder)
        for member, name in enumerate(self._index.raw_names()):
            if name.startswith(folder) and (image := _number(name[begin:])) is not None:
                yield image, member


class FolderFiles:
    """Files that somebody unpacked."""

    def __init__(self, path: Path) -> None:
        inside = [path, *sorted(one for one in path.iterdir() if one.is_dir() and one.name != IMAGES)]
        found = {one.relative_to(path).as_posix() for folder in inside for one in folder.glob("*.csv")}
        top, self.tables = _tables(path, sorted(found))
        self._folder = path / top
        _require_some(self._numbers(), path)

    @property
    def identity(self) -> dict[str, str]:
        """Sizes and times of the tables, names of the images, and when one last came or went."""
        facts = {name: self._folder.joinpath(name).stat() for name in self.tables.values()}
        changed = (self._folder / IMAGES).stat().st_mtime_ns
        digest = hashlib.sha256(self.image_ids.astype("<i8").tobytes()).hexdigest()
        tables = {name: f"{one.st_size} bytes, {one.st_mtime_ns}" for name, one in facts.items()}
        return tables | {IMAGES: f"{digest}, {changed}"}

    @cached_property
    def image_ids(self) -> NDArray[np.int64]:
        """The image_id of each image, ascending."""
        return np.sort(np.array(array("q", self._numbers())))

    @contextlib.contextmanager
    def table(self, split: str) -> Iterator[IO[bytes]]:
        """The table of a split as a stream."""
        with open_file(self._folder / self.tables[split]) as stream:
            yield stream

    def read_image(self, image: int) -> bytes:
        """An image as it stands in its file."""
        return read_image(self._folder / IMAGES / f"{image}.jpg")

    def _numbers(self) -> Iterator[int]:
        """The image_id of each image."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder / IMAGES) as entries:
            for entry in entries:
                if (image := _number(os.fsencode(entry.name))) is not None:
                    yield image


def _tables(path: Path, names: list[str]) -> tuple[str, dict[str, str]]:
    """The folder inside ``path`` that has the test table (empty or with its slash), and the tables in it."""
    own = [name for name in names if "__MACOSX" not in name and not name.rpartition("/")[2].startswith(".")]
    tests = [name for name in own if name.endswith(TEST)]
    if not tests:
        raise DataError(
            f"{path} holds no GLAMI-1M{TEST}; give GLAMI-1M-dataset.zip, or the folder that it was unpacked into."
        )
    if len(tests) > 1:
        raise DataError(f"{path} holds {tests[0]} and {tests[1]}; give the folder of the one that is meant.")
    top, slash, name = tests[0].rpartition("/")
    tables = {"test": name}
    train = name.removesuffix(TEST) + TRAIN
    if f"{top}{slash}{train}" in own:
        tables["train"] = train
    return top + slash, tables


def _number(name: bytes) -> int | None:
    """The image_id in the name of an image: ``488425.jpg``."""
    digits = name[:-4]
    good = name.endswith(b".jpg") and digits.isdigit() and len(digits) <= LONGEST_NUMBER
    return int(digits) if good and (digits[0] != 48 or digits == b"0") else None


def _require_some(images: Iterator[object], path: Path) -> None:
    if next(images, None) is None:
        raise DataError(f"{path} holds no images {IMAGES}/NUMBER.jpg beside its tables; fetch or unpack it again.")
