"""UPMC Food-101: images of dishes and the titles of the web pages that show them. Not ETHZ Food-101."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path

from mmeval import DataError, Example, ImageData, Rejected, Task, assign_split, cards_folder, digest, read_card
from mmeval.data.reading import read_image
from mmeval.datasets.food101.names import ClassNameMask, normalized
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

CARD = cards_folder() / "food101.md"
TASK = "dish"
RULES = "food101-2"
"""Version of the rules in this package; part of the identity, so that other rules make another Store."""
SALT, VALIDATION = "food101-validation-1", 5000 / 67988
SHARES = {"validation": VALIDATION, "train": 1 - VALIDATION}
"""How the titles of the training split are divided: about 5,000 rows for validation."""
VARIANTS = {
    "title-masked": "the names of all classes are removed from the titles",
    "mmbt": "rows and splits of MMBT's jsonl files, for parity with its results",
    "mmbt-title-masked": "the same, with the names of all classes removed from the titles",
}
GET = (
    "mmeval can't download UPMC Food-101 (90,704 images and titles; not the Food-101 of ETHZ, which has no text), "
    "because its licence is unknown. Its own site is gone; get the data set gianmarco96/upmcfood101 from Kaggle, "
    "unpack it (it holds images/train, images/test, texts/train_titles.csv and texts/test_titles.csv), then type "
    "`mmeval data prepare food101 --source FOLDER`."
)


class Food101Source:
    """The source of ``food101``: one example per image with its title; either may be missing."""

    def __init__(self, folder: Path, variant: str, card: Path = CARD) -> None:
        """Check the folder; no table is read.

        Raises:
            DataError: the folder does not exist, is another data set, or lacks a file.
        """
        self.folder = folder
        self._mmbt, self._masked = variant.startswith("mmbt"), variant.endswith("title-masked")
        _require_layout(folder, MMBT if self._mmbt else KAGGLE, variant)
        known = read_card(card).tasks[TASK]
        assert isinstance(known, tuple), "the card must list the names of the classes"
        self.tasks = (Task(TASK, known),)

    @cached_property
    def _files(self) -> list[ImageFile]:
        return image_files(self.folder)

    @cached_property
    def _image_files(self) -> dict[str, ImageFile]:
        return {file.path: file for file in self._files if not file.complaint}

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """Names, sizes and modification times of all files; the same for all variants, which share the images."""
        tables = {}
        for table in (*KAGGLE.values(), *MMBT.values(), HARD):
            if (path := self.folder / table).is_file():
                state = path.stat()
                tables[table] = f"{state.st_size} {state.st_mtime_ns}"
        images = digest("\n".join(f"{file.path} {file.state}" for file in self._files))
        return {"rules": RULES, **tables, "pictures": images}

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self._image_files)

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        """Yield the path of each image in the folder, and a function that reads its file."""
        for path in self._image_files:
            yield path, partial(read_image, self.folder / path)

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield rejected images, then the examples sorted by split and file name; rejected rows precede their split."""
        yield from (Rejected(file.path, file.complaint) for file in self._files if file.complaint)
        known = frozenset(self.tasks[0].classes)
        for row in self._rows:
            if isinstance(row, Rejected):
                yield row
            elif row.label not in known:
                yield Rejected(row.where, f'"{row.label}" is not a class of Food-101', row.file)
            elif not row.title.strip() and row.image is None:
                yield Rejected(row.where, "has neither a title nor an image", row.file)
            else:
                yield self._example(row)
        if self._hard:
            test = {row.file for row in self._rows if isinstance(row, FoodRow) and row.split == "test"}
            for file, where in sorted(self._hard.items()):
                if file not in test:
                    yield Rejected(where, f"is not a row of {MMBT['test']}", file)

    @cached_property
    def _rows(self) -> list[FoodRow | Rejected]:
        return list((mmbt_rows if self._mmbt else kaggle_rows)(self.folder, self._image_files))

    @cached_property
    def _hard(self) -> Mapping[str, str] | None:
        return hard_files(self.folder) if self._mmbt else None

    @cached_property
    def _in_train(self) -> Counter[str]:
        """Number of rows in the training split by normalized title."""
        rows = (row for row in self._rows if isinstance(row, FoodRow) and row.title.strip())
        return Counter(normalized(row.title) for row in rows if self._split(row) == "train")

    @cached_property
    def _names(self) -> ClassNameMask:
        return ClassNameMask(self.tasks[0].classes)

    def _split(self, row: FoodRow) -> str:
        """Return the split of a row; validation is cut out of train by title, so that no title is in both."""
        if self._mmbt or row.split != "train":
            return row.split
        # By the title alone, so that a missing row does not change the split of another.
        return assign_split(normalized(row.title) or row.file, SHARES, SALT)

    def _example(self, row: FoodRow) -> Example:
        title = row.title if row.title.strip() else ""
        split, key = self._split(row), normalized(title)
        seen = self._in_train[key] > (split == "train") if title else False
        slices = {
            # All from the published title, so that a row has the same slices in each variant.
            "class_name_in_title": _yes(self._names.is_in(title, row.label)),
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
    """Check that the folder has the images and tables of a variant.

    Raises:
        DataError: it does not; the message says which variant or data set it has instead, if that is known.
    """
    if folder.is_file():
        advice = "a zip file; unpack it and" if folder.suffix.lower() == ".zip" else "a file;"
        raise DataError(f"{folder} is {advice} give the folder that has the images and the titles.")
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    if (folder / "meta" / "classes.txt").is_file():
        raise DataError(f"{folder} holds ETHZ Food-101, which has other images and no titles. {GET}")
    missing = [f"the folder {part}" for part in IMAGES if not (folder / part).is_dir()]
    missing += [f"the file {table}" for table in tables.values() if not (folder / table).is_file()]
    if not missing:
        return
    lacks = f"{folder} lacks {' and '.join(missing)}"
    other, name = (KAGGLE, variant.removeprefix("mmbt").strip("-")) if tables is MMBT else (MMBT, f"mmbt-{variant}")
    if all((folder / path).exists() for path in (*IMAGES, *other.values())):
        full_name = ":".join(part for part in ("food101", name.strip("-")) if part)
        files = "MMBT's jsonl files" if other is MMBT else "the titles of the Kaggle copy"
        raise DataError(f"{lacks}; it has {files}, which {full_name} reads.")
    if (folder / "texts_txt").is_dir():
        raise DataError(f"{lacks}; it has the texts of whole pages (texts_txt), which are another task. {GET}")
    raise DataError(f"{lacks}; give the folder that was unpacked.")
