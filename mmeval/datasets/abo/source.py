"""Amazon Berkeley Objects: 147,702 listings in many languages; product type, colour, material, pattern, style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmeval import DEFAULT_SHARES, DataError, Example, Rejected, Task, UnionFind, assign_split
from mmeval.data.reading import open_file, read_json_lines
from mmeval.datasets.abo.files import AboFiles
from mmeval.datasets.abo.listings import FIELDS, TYPE, Listing, Value, language, parse

NAME = "abo"
RULES = "abo-1"
"""Version of the rules in this package: part of the identity, and the salt of the split."""
MIN_LISTINGS = 50
"""Training listings that a free-text value needs to become a class."""
WITH_BULLETS = "with-bullets"


@dataclass(frozen=True)
class AboSurvey:
    """Result of the first pass over the listings. It has an entry per listing, but no texts."""

    where: Mapping[str, str]
    """File and row of each listing by its key; of the first one, if a key occurs twice."""
    group: Mapping[str, str]
    """Group of each listing by its key: the smallest item_id of the listings that must be in the same split."""
    images: tuple[str, ...]
    """Keys of the main images, in the order of the listings."""
    classes: Mapping[str, frozenset[str]]
    """Classes by task."""


class AboSource:
    """The source of ``abo``: one example per listing and language of its name.

    The listings are read twice, to keep their texts out of memory: first for groups, splits and classes, then for
    examples.
    """

    def __init__(self, folder: Path, *, bullets: bool = False, min_listings: int = MIN_LISTINGS) -> None:
        """Check the files.

        Args:
            folder: where the archives were unpacked.
            bullets: whether the bullet points are part of the text.
            min_listings: training listings that a free-text value needs to become a class.

        Raises:
            DataError: files are missing.
        """
        self.files, self.bullets, self.min_listings = AboFiles(folder), bullets, min_listings

    @property
    def identity(self) -> dict[str, str]:
        """Sizes and times of the files, and the version of the rules."""
        return {"rules": RULES, "least": str(self.min_listings), **self.files.identity}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Up to five tasks with sorted classes; a task with fewer than two classes is left out.

        Raises:
            DataError: no task has two classes.
        """
        tasks = [Task(task, tuple(sorted(names))) for task, names in self.survey.classes.items() if len(names) > 1]
        if not tasks:
            raise DataError("The listings have no attribute with two classes; fetch abo-listings.tar again.")
        return tuple(tasks)

    @property
    def size(self) -> int:
        """Number of main images."""
        return len(self.survey.images)

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield the image_id of each main image, and a function that reads its file."""
        yield from self.files.readers(dict.fromkeys(self.survey.images))

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield one example per listing and language tag, in the order of the files."""
        survey, tasks = self.survey, {task.name: frozenset(task.classes) for task in self.tasks}
        for where, listing in self._listings():
            if isinstance(listing, Rejected):
                yield listing
                continue
            if (first := survey.where[listing.key]) != where:
                yield Rejected(where, f"repeats the listing {listing.key} of {first}", listing.key)
                continue
            group = survey.group[listing.key]
            values = {task: value.name for task, value in listing.values.items()}
            labels = {task: name for task, name in values.items() if name in tasks.get(task, ())}
            for tag, name in listing.names.items():
                key = f"{listing.key}/{tag}"
                if not (code := language(tag)):
                    yield Rejected(where, f'"{tag}" is not a language tag such as en_US', key)
                elif not name:
                    yield Rejected(where, f"its item_name in {tag} is empty", key)
                else:
                    yield Example(
                        id=key,
                        text="\n".join((name, *listing.bullets.get(tag, ()))) if self.bullets else name,
                        language=code,
                        split=assign_split(group, DEFAULT_SHARES, RULES),
                        labels=labels,
                        image=listing.image or None,
                        cluster=group,
                        slices={"locale": tag},
                        metadata=listing.metadata,
                        where=where,
                    )

    @cached_property
    def survey(self) -> AboSurvey:
        """Groups, images and classes, from a first pass over all listings."""
        where: dict[str, str] = {}
        items: list[str] = []
        groups = UnionFind()
        images: dict[str, None] = {}
        values: list[Mapping[str, Value]] = []
        for place, listing in self._listings():
            if isinstance(listing, Rejected) or listing.key in where:
                continue
            where[listing.key] = place
            items.append(listing.item)
            keys = [("item", listing.item)]
            if listing.image:
                images[listing.image] = None
                keys.append(("image", listing.image))
            groups.add(*keys)
            values.append(listing.values)
        names: dict[int, str] = {}
        for row, item in enumerate(items):
            root = groups.root(row)
            names[root] = min(names.get(root, item), item)
        group = {key: names[groups.root(row)] for row, key in enumerate(where)}
        classes = self._classes(
            values, [assign_split(name, DEFAULT_SHARES, RULES) == "train" for name in group.values()]
        )
        return AboSurvey(where, group, tuple(images), classes)

    def _classes(self, values: list[Mapping[str, Value]], training: list[bool]) -> dict[str, frozenset[str]]:
        """Return the classes by task: all product types, and English free-text values that are frequent in training.

        Args:
            values: values by task of each listing.
            training: whether each listing is in the training split.
        """
        counts: dict[str, Counter[str]] = {task: Counter() for task in (TYPE, *FIELDS)}
        for by_task, train in zip(values, training, strict=True):
            for task, value in by_task.items():
                if task == TYPE or (train and value.english):
                    counts[task][value.name] += 1
        least = dict.fromkeys(FIELDS, self.min_listings) | {TYPE: 1}
        return {
            task: frozenset(name for name, count in names.items() if count >= least[task])
            for task, names in counts.items()
        }

    def _listings(self) -> Iterator[tuple[str, Listing | Rejected]]:
        """Yield the file and row of each record, and the parsed listing."""
        for path in self.files.listings:
            with open_file(path) as stream:
                for row in read_json_lines(stream, path.name, required=("item_id", "item_name")):
                    if isinstance(row, Rejected):
                        yield row.where, row
                        continue
                    where = f"{path.name}, row {row.number}"
                    try:
                        yield where, parse(row.cells)
                    except ValueError as error:
                        yield where, Rejected(where, str(error))
