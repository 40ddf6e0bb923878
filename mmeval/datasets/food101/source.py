"""UPMC Food-101: images of dishes and the titles of the web pages that show them. Not the set of ETHZ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.api.source import Example, Rejected
from mmeval.api.task import Task
from mmeval.data.card import cards_folder, read_card
from mmeval.data.reading.files import read_image
from mmeval.data.split import assign_split
from mmeval.datasets.food101.names import ClassNames, normalised
from mmeval.datasets.food101.rows import (
    HARD,
    IMAGES,
    KAGGLE,
    MMBT,
    FoodRow,
    ImageFile,
    hard_files,
    image_files,
    kaggle_rows,
    mmbt_rows,
)
from mmeval.errors import DataError
from mmeval.files import digest

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

CARD = cards_folder() / "food101.md"
TASK = "dish"
RULES = "food101-2"
"""Names the rules of this module and of those beside it; other rules are another Store."""
SALT, VALIDATION = "food101-validation-1", 5000 / 67988
SHARES = {"validation": VALIDATION, "train": 1 - VALIDATION}
VARIANTS = {
    "title-masked": "the names of all classes are taken out of the titles",
    "mmbt": "rows and splits of MMBT's jsonl files, for parity with its results",
    "mmbt-title-masked": "the same, with the names of all classes taken out of the titles",
}
GET = (
    "UPMC Food-101 (90,704 images and titles; not the Food-101 of ETHZ, which has no text) can't be downloaded for "
    "you: no licence is known. Its own site is gone; get the data set gianmarco96/upmcfood101 from Kaggle, unpack it "
    "(it holds images/train, images/test, texts/train_titles.csv and texts/test_titles.csv), then type "
    "`mmeval data prepare food101 --source FOLDER`."
)


class Food101Source:
    """The source of ``food101``: one example per image and title, and per one of them that lacks the other."""

    def __init__(self, folder: Path, variant: str, card: Path = CARD) -> None:
        """Look at the folder; nothing is read yet.

        Raises:
            DataError: it is not there, is another data set, or lacks a file.
        """
        self.folder = folder
        self._mmbt, self._masked = variant.startswith("mmbt"), variant.endswith("title-masked")
        _require_layout(folder, MMBT if self._mmbt else KAGGLE, variant)
        known = read_card(card).tasks[TASK]
        assert isinstance(known, tuple), "the card has the names of the classes"
        self.tasks = (Task(TASK, known),)

    @cached_property
    def _files(self) -> list[ImageFile]:
        return image_files(self.folder)

    @cached_property
    def _image_files(self) -> dict[str, ImageFile]:
        return {one.path: one for one in self._files if not one.complaint}

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """Names, sizes and times of change of all files, the same for each variant: they share the images."""
        tables = {}
        for table in (*KAGGLE.values(), *MMBT.values(), HARD):
            if (path := self.folder / table).is_file():
                state = path.stat()
                tables[table] = f"{state.st_size} {state.st_mtime_ns}"
        images = digest("\n".join(f"{one.path} {one.state}" for one in self._files))
        return {"rules": RULES, **tables, "pictures": images}

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self._image_files)

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        """Yield the path of each image in the folder, and what reads its file."""
        for path in self._image_files:
            yield path, partial(read_image, self.folder / path)

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield the examples by split, then by file name, each after what of its table is rejected."""
        yield from (Rejected(one.path, one.complaint) for one in self._files if one.complaint)
        known = frozenset(self.tasks[0].classes)
        for row in self._rows:
            if isinstance(row, Rejected):
                yield row
            elif row.label not in known:
                yield Rejected(row.where, f'"{row.label}" is no class of Food-101', row.file)
            elif not row.title.strip() and row.image is None:
                yield Rejected(row.where, "has neither title nor image", row.file)
            else:
                yield self._example(row)
        if self._hard:
            test = {row.file for row in self._rows if isinstance(row, FoodRow) and row.split == "test"}
            for file, where in sorted(self._hard.items()):
                if file not in test:
                    yield Rejected(where, f"is no row of {MMBT['test']}", file)

    @cached_property
    def _rows(self) -> list[FoodRow | Rejected]:
        return list((mmbt_rows if self._mmbt else kaggle_rows)(self.folder, self._image_files))

    @cached_property
    def _hard(self) -> Mapping[str, str] | None:
        return hard_files(self.folder) if self._mmbt else None

    @cached_property
    def _in_train(self) -> Counter[str]:
        """How many rows of the training split have a title."""
        rows = (row for row in self._rows if isinstance(row, FoodRow) and row.title.strip())
        return Counter(normalised(row.title) for row in rows if self._split(row) == "train")

    @cached_property
    def _names(self) -> ClassNames:
        return ClassNames(self.tasks[0].classes)

    def _split(self, row: FoodRow) -> str:
        """Validation is cut out of train by title, so that none of its titles was trained on."""
        if self._mmbt or row.split != "train":
            return row.split
        # It hangs on the title alone, so that a lost row moves no other.
        return assign_split(normalised(row.title) or row.file, SHARES, SALT)

    def _example(self, row: FoodRow) -> Example:
        title = row.title if row.title.strip() else ""
        split, key = self._split(row), normalised(title)
        seen = self._in_train[key] > (split == "train") if title else False
        slices = {
            # All of the title as it was published, so that a row has the same ones in each variant.
            "class_name_in_title": _yes(self._names.stands_in(title, row.label)),
            "modalities": "text only" if row.image is None else "both" if title else "image only",
            "title_seen_in_train": _yes(seen),
        }
        if self._hard is not None:
            slices["hard"] = _yes(split == "test" and row.file in self._hard)
        return Example(
            id=row.file,
            text=self._names.masked(title) if self._masked else title,
            language="en",
            split=split,
            labels={TASK: row.label},
            image=row.image,
            cluster=digest(key)[:16] if title else row.file,
            slices=slices,
            where=row.where,
        )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _require_layout(folder: Path, tables: Mapping[str, str], variant: str) -> None:
    if folder.is_file():
        kind = "a zip file; unpack it and" if folder.suffix.lower() == ".zip" else "a file;"
        raise DataError(f"{folder} is {kind} give the folder that has the images and the titles.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    if (folder / "meta" / "classes.txt").is_file():
        raise DataError(f"{folder} holds the Food-101 of ETHZ, other images without titles. {GET}")
    missing = [f"the folder {part}" for part in IMAGES if not (folder / part).is_dir()]
    missing += [f"the file {table}" for table in tables.values() if not (folder / table).is_file()]
    if not missing:
        return
    lacks = f"{folder} lacks {' and '.join(missing)}"
    other, name = (KAGGLE, variant.removeprefix("mmbt").strip("-")) if tables is MMBT else (MMBT, f"mmbt-{variant}")
    if all((folder / path).exists() for path in (*IMAGES, *other.values())):
        asked = ":".join(part for part in ("food101", name.strip("-")) if part)
        what = "MMBT's jsonl files" if other is MMBT else "the titles of the Kaggle copy"
        raise DataError(f"{lacks}; it has {what}, which {asked} reads.")
    if (folder / "texts_txt").is_dir():
        raise DataError(f"{lacks}; it has the texts of whole pages (texts_txt), which are another task. {GET}")
    raise DataError(f"{lacks}; give the folder that was unpacked.")
