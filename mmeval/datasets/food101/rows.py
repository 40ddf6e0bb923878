"""The rows of UPMC Food-101 in the two forms that it goes round in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmeval import DataError, Rejected
from mmeval.data.reading import open_file, read_delimited, read_json_lines
from mmeval.datasets.food101.names import class_of

KAGGLE = {"train": "texts/train_titles.csv", "test": "texts/test_titles.csv"}
"""By split, the titles of the Kaggle copy. They have no header: pandas' default takes the first row for one."""
MMBT = {"train": "train.jsonl", "validation": "dev.jsonl", "test": "test.jsonl"}
HARD = "test_hard_gt.jsonl"
"""Of MMBT: which rows of the test split are hard. It need not be there."""
IMAGES = ("images/test", "images/train")


@dataclass(frozen=True)
class FoodRow:
    """A row of a table of titles, or an image that no table names."""

    split: str
    file: str
    """Name of the image's file, unique in the data set."""
    label: str
    title: str
    """As it stands in the file; empty where there is none."""
    image: str | None
    """Path of the image in the folder, with ``/``; None where it is not there."""
    where: str


@dataclass(frozen=True)
class ImageFile:
    """An image in the folder ``images``."""

    path: str
    """In the folder, with ``/``: ``images/train/apple_pie/apple_pie_1.jpg``."""
    state: str
    """Its size and time of change."""

    @property
    def complaint(self) -> str:
        """Why it is no image of the data set; empty if it is one."""
        _, split, folder, file = self.path.split("/")
        if (label := class_of(file)) is None:
            return "not named CLASS_NUMBER.jpg"
        return "" if label == folder else f"stands in the folder {folder} of images/{split}"


def image_files(folder: Path) -> list[ImageFile]:
    """All ``.jpg`` files of ``images/{train,test}/CLASS``, by path; hidden ones, which some systems leave, are not."""
    found = []
    for part in IMAGES:
        for one in _entries(folder / part):
            if not one.is_dir():
                continue
            for file in _entries(Path(one.path)):
                if file.name.lower().endswith(".jpg") and file.is_file():
                    state = file.stat()
                    path = f"{part}/{one.name}/{file.name}"
                    found.append(ImageFile(path, f"{state.st_size} {state.st_mtime_ns}"))
    return sorted(found, key=lambda one: one.path)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def kaggle_rows(folder: Path, images: Mapping[str, ImageFile]) -> Iterator[FoodRow | Rejected]:
    """Rows of the Kaggle copy by split, then file name; images without a row of their own are among them.

    Raises:
        DataError: a table can't be read, or names no image that is there.
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
                    continue  # rejected with its row: nobody knows which of its classes is right
                rows.append(FoodRow(split, file, label, "", path, path))
        yield from sorted(rows, key=lambda row: row.file)


def mmbt_rows(folder: Path, images: Mapping[str, ImageFile]) -> Iterator[FoodRow | Rejected]:
    """Rows of MMBT's files by split, then file name; images that they don't name are not among them.

    Raises:
        DataError: a file can't be read, or names no image that is there.
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
    """Of MMBT's hard test rows, the name of the image's file and where it stands; None without their table."""
    if not (folder / HARD).is_file():
        return None
    rows = _records(folder, HARD)
    return {PurePosixPath(cells["img"]).name: where for where, cells in rows if not isinstance(cells, Rejected)}


def _records(folder: Path, table: str) -> Iterator[tuple[str, dict[str, str] | Rejected]]:
    keys = ("label", "text", "img")
    with open_file(folder / table) as stream:
        for row in read_json_lines(stream, table, required=keys):
            if isinstance(row, Rejected):
                yield row.where, row
                continue
            where = f"{table}, row {row.number}"
            if odd := [key for key in keys if not isinstance(row.cells[key], str)]:
                yield where, Rejected(where, f"{odd[0]} is no text")
            else:
                yield where, {key: row.cells[key] for key in keys}


def _complaint(file: str, label: str) -> str:
    expected = class_of(file)
    if expected is None:
        return f'"{file}" is not named CLASS_NUMBER.jpg'
    return "" if expected == label else f'its class is "{label}", but its file {file} is of "{expected}"'


def _require_images(rows: list[FoodRow], table: str, where: str) -> None:
    if rows and all(row.image is None for row in rows):
        raise DataError(
            f"None of the {len(rows):,} images that {table} names is {where}, such as {rows[0].file}; "
            "give the folder that has the images beside the titles."
        )
