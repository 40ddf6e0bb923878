"""Rows of UPMC Food-101, from the two forms in which it is distributed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmeval import DataError, Rejected
from mmeval.data.reading import open_file, read_delimited, read_json_lines
from mmeval.datasets.food101.names import class_of

KAGGLE = {"train": "texts/train_titles.csv", "test": "texts/test_titles.csv"}
"""Tables of titles in the Kaggle copy, by split. They have no header line, though pandas takes the first row as one."""
MMBT = {"train": "train.jsonl", "validation": "dev.jsonl", "test": "test.jsonl"}
"""Tables of MMBT, by split."""
HARD = "test_hard_gt.jsonl"
"""Table of MMBT's hard test rows; optional."""
IMAGES = ("images/test", "images/train")


@dataclass(frozen=True)
class FoodRow:
    """A row of a table of titles, or an image without one."""

    split: str
    file: str
    """File name of the image, unique in the data set."""
    label: str
    title: str
    """As in the file; empty if there is none."""
    image: str | None
    """Path of the image in the folder, with ``/``; None if the image is missing."""
    where: str
    """File and row, for messages."""


@dataclass(frozen=True)
class ImageFile:
    """An image in the folder ``images``."""

    path: str
    """Path in the folder, with ``/``: ``images/train/apple_pie/apple_pie_1.jpg``."""
    state: str
    """Size and modification time."""

    @property
    def complaint(self) -> str:
        """Why the file does not belong to the data set; empty if it does."""
        _, split, folder, file = self.path.split("/")
        if (label := class_of(file)) is None:
            return "is not named CLASS_NUMBER.jpg"
        return "" if label == folder else f"is in the folder {folder} of images/{split}"


def image_files(folder: Path) -> list[ImageFile]:
    """Return all ``.jpg`` files of ``images/{train,test}/CLASS``, sorted by path, without hidden files."""
    files = []
    for part in IMAGES:
        for class_folder in _entries(folder / part):
            if not class_folder.is_dir():
                continue
            for file in _entries(Path(class_folder.path)):
                if file.name.lower().endswith(".jpg") and file.is_file():
                    state = file.stat()
                    path = f"{part}/{class_folder.name}/{file.name}"
                    files.append(ImageFile(path, f"{state.st_size} {state.st_mtime_ns}"))
    return sorted(files, key=lambda file: file.path)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder that are not hidden."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def kaggle_rows(folder: Path, images: Mapping[str, ImageFile]) -> Iterator[FoodRow | Rejected]:
    """Yield the rows of the Kaggle copy, sorted by split and file name; images without a row are included.

    Raises:
        DataError: a table can't be read, or none of its images exists.
    """
    for split, table in KAGGLE.items():
        rows: list[FoodRow] = []
        contradicted: set[str] = set()
        with open_file(folder / table) as stream:
            for row in read_delimited(stream, table, columns=("file", "title", "class")):
                if isinstance(row, Rejected):
                    yield row
                    continue
                file, where = row.cells["file"], f"{table}, row {row.number}"
                if complaint := _complaint(file, row.cells["class"]):
                    contradicted.add(file)
                    yield Rejected(where, complaint, file)
                    continue
                path = f"images/{split}/{row.cells['class']}/{file}"
                image = path if path in images else None
                rows.append(FoodRow(split, file, row.cells["class"], row.cells["title"], image, where))
        _require_images(rows, table, f"in images/{split}")
        named = {row.image for row in rows}
        for path in images:
            if path.startswith(f"images/{split}/") and path not in named:
                _, _, label, file = path.split("/")
                if file in contradicted:
                    continue  # rejected with its row: it is unknown which of its classes is right
                rows.append(FoodRow(split, file, label, "", path, path))
        yield from sorted(rows, key=lambda row: row.file)


def mmbt_rows(folder: Path, images: Mapping[str, ImageFile]) -> Iterator[FoodRow | Rejected]:
    """Yield the rows of MMBT's files, sorted by split and file name; images without a row are not included.

    Raises:
        DataError: a file can't be read, or none of its images exists.
    """
    for split, table in MMBT.items():
        rows: list[FoodRow] = []
        for where, cells in _records(folder, table):
            if isinstance(cells, Rejected):
                yield cells
                continue
            path = str(PurePosixPath(cells["img"]))
            file = PurePosixPath(path).name
            if complaint := _complaint(file, cells["label"]):
                yield Rejected(where, complaint, file)
                continue
            image = path if path in images else None
            rows.append(FoodRow(split, file, cells["label"], cells["text"], image, where))
        _require_images(rows, table, "there")
        yield from sorted(rows, key=lambda row: row.file)


def hard_files(folder: Path) -> dict[str, str] | None:
    """Return file name -> file and row of MMBT's hard test rows; None if their table is missing."""
    if not (folder / HARD).is_file():
        return None
    rows = _records(folder, HARD)
    return {PurePosixPath(cells["img"]).name: where for where, cells in rows if not isinstance(cells, Rejected)}


def _records(folder: Path, table: str) -> Iterator[tuple[str, dict[str, str] | Rejected]]:
    """Yield the file and row of each record of a table of MMBT, and its cells."""
    keys = ("label", "text", "img")
    with open_file(folder / table) as stream:
        for row in read_json_lines(stream, table, required=keys):
            if isinstance(row, Rejected):
                yield row.where, row
                continue
            where = f"{table}, row {row.number}"
            if invalid := [key for key in keys if not isinstance(row.cells[key], str)]:
                yield where, Rejected(where, f"{invalid[0]} is not a text")
            else:
                yield where, {key: row.cells[key] for key in keys}


def _complaint(file: str, label: str) -> str:
    """Return why a row can't be used; empty if it can."""
    expected = class_of(file)
    if expected is None:
        return f'"{file}" is not named CLASS_NUMBER.jpg'
    return "" if expected == label else f'its class is "{label}", but its file {file} is named after "{expected}"'


def _require_images(rows: list[FoodRow], table: str, where: str) -> None:
    """Raise a DataError if a table has rows but none of their images exists."""
    if rows and all(row.image is None for row in rows):
        raise DataError(
            f"None of the {len(rows):,} images that {table} names is {where}, such as {rows[0].file}; "
            "give the folder that has the images beside the titles."
        )
