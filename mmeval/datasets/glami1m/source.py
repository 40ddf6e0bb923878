"""The source of GLAMI-1M."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval import DataError, Example, Rejected, Task, assign_split
from mmeval.datasets.glami1m.categories import Categories
from mmeval.datasets.glami1m.files import open_files
from mmeval.datasets.glami1m.items import LABELLED_BY, LANGUAGES, Item, read_items

TASK = "category"
TEST_ONLY, PAPER = "test-only", "paper"
RULES = "glami1m-1"
"""Version of the rules in this package; part of the identity, so that other rules make another Store."""
SALT, SHARES = "glami1m-validation-1", {"validation": 0.05, "train": 0.95}
"""How the images of the published training split are divided; an image's rows stay together."""


def training_split(image: int) -> str:
    """Return ``train`` or ``validation`` for an image_id of the published training split."""
    return assign_split(str(image), SHARES, SALT)


@dataclass(frozen=True)
class GlamiSurvey:
    """Facts about all rows that are needed before the first example."""

    categories: Categories
    shared: frozenset[int]
    """image_id of the images that occur in both published splits."""
    test: NDArray[np.int64]
    """image_id of the images of the test split, ascending."""


class GlamiSource:
    """The source of ``glami1m``.

    Images are sorted by image_id, so that the zip file and the folder give the same Store. Only the directory of the
    zip file and arrays of ids are kept in memory.
    """

    def __init__(self, path: Path, variant: str = "") -> None:
        """Open the zip file or folder ``path``.

        Raises:
            DataError: a table or the images are missing.
        """
        self._files, self._variant = open_files(path), variant
        self._splits = ("test",) if variant == TEST_ONLY else ("train", "test")
        if missing := [split for split in self._splits if split not in self._files.tables]:
            table = self._files.tables["test"].replace("-test", f"-{missing[0]}")
            raise DataError(
                f"{path} holds no {table}: it is the archive of the test split, or an incomplete download; "
                "use the data set glami1m:test-only for models that need no training, or get the full "
                "GLAMI-1M-dataset.zip."
            )

    @property
    def identity(self) -> dict[str, str]:
        """Identity of the files, version of the rules, and the splits whose images are used."""
        return {**self._files.identity, "rules": RULES, "of": "+".join(self._splits)}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The task ``category``: the names in the tables, in the order of their ids."""
        return (Task(TASK, self._survey.categories.names),)

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self._image_ids)

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield the image_id of each image, and a function that reads it."""
        for image in self._image_ids.tolist():
            yield str(image), partial(self._files.read_image, image)

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield the rows of the tables in their order: train (with validation), then test."""
        image_ids, survey = array("q", self._files.image_ids.tobytes()), self._survey
        for split in self._splits:
            for item in self._items(split):
                if isinstance(item, Rejected):
                    yield item
                    continue
                complaint = survey.categories.complaint(item.category, item.name)
                at = bisect_left(image_ids, item.image)
                if not complaint and (at == len(image_ids) or image_ids[at] != item.image):
                    complaint = f"the image {item.image}.jpg is missing"
                yield Rejected(item.where, complaint, str(item.id)) if complaint else self._example(item, split)

    def _example(self, item: Item, split: str) -> Example:
        image = str(item.image)
        slices = {"label_source": LABELLED_BY[item.label_source], "market": item.geo}
        if "train" in self._splits:
            seen = split == "test" and item.image in self._survey.shared
            slices["image_seen_in_train"] = "yes" if seen else "no"
        return Example(
            id=str(item.id),
            text=item.text,
            language=LANGUAGES[item.geo],
            split=training_split(item.image) if split == "train" else split,
            labels={TASK: item.name},
            image=image,
            cluster=image,
            slices=slices,
            metadata={"image_id": image, "category_id": str(item.category), "label_source": item.raw_label_source},
            attributes={"label_source": item.label_source} if self._variant == PAPER else {},
            where=item.where,
        )

    def _items(self, split: str) -> Iterator[Item | Rejected]:
        with self._files.table(split) as stream:
            yield from read_items(stream, self._files.tables[split])

    @cached_property
    def _image_ids(self) -> NDArray[np.int64]:
        """image_id of the images to prepare, ascending; for ``test-only`` those of the test split."""
        image_ids = self._files.image_ids
        return image_ids if "train" in self._splits else np.intersect1d(image_ids, self._survey.test)

    @cached_property
    def _survey(self) -> GlamiSurvey:
        """Result of a first pass over all rows."""
        pairs: Counter[tuple[int, str]] = Counter()
        images = {split: array("q") for split in ("train", "test")}
        for split in self._splits:
            for item in self._items(split):
                if isinstance(item, Item):
                    pairs[item.category, item.name] += 1
                    images[split].append(item.image)
        train, test = (np.unique(np.array(images[split], dtype=np.int64)) for split in ("train", "test"))
        return GlamiSurvey(Categories(pairs), frozenset(np.intersect1d(train, test).tolist()), test)
