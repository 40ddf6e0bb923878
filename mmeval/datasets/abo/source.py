"""Amazon Berkeley Objects: 147,702 listings in many languages; product type, colour, material, pattern, style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmeval.api.source import Example, Rejected
from mmeval.api.task import Task
from mmeval.data.groups import Groups
from mmeval.data.reading.files import open_file
from mmeval.data.reading.json_lines import read_json_lines
from mmeval.data.split import DEFAULT_SHARES, assign_split
from mmeval.datasets.abo.files import Files
from mmeval.datasets.abo.listings import FIELDS, TYPE, Listing, Value, language, parse
from mmeval.errors import DataError

NAME = "abo"
RULES = "abo-1"
"""Names what this module does; part of the identity, and the salt of the split."""
LEAST = 50
"""Training listings that a freely written value needs to be a class."""
WITH_BULLETS = "with-bullets"


@dataclass(frozen=True)
class Survey:
    """What is known once every listing was read: an entry per listing, none of its texts."""

    where: Mapping[str, str]
    """File and row of each listing, by its key: the first, where a key comes twice."""
    group: Mapping[str, str]
    """The least item_id of the listings that must stay together, by key."""
    images: tuple[str, ...]
    """Main images, in the order in which they come."""
    classes: Mapping[str, frozenset[str]]
    """By task."""


class AboSource:
    """The source of ``abo``: an example per listing and language of its name.

    The listings are read twice, so that memory holds no text: once for groups, splits and classes, once for examples.
    """

    def __init__(self, folder: Path, *, bullets: bool = False, least: int = LEAST) -> None:
        """``folder``: where the archives were unpacked; ``bullets``: they follow the name; ``least``: see LEAST.

        Raises:
            DataError: files are missing.
        """
        self.files, self.bullets, self.least = Files(folder), bullets, least

    @property
    def identity(self) -> dict[str, str]:
        """What the files show of themselves, and the version of the rules."""
        return {"rules": RULES, "least": str(self.least), **self.files.identity}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Up to five tasks, classes sorted; one that has less than two classes is left out.

        Raises:
            DataError: no task is left.
        """
        found = [Task(task, tuple(sorted(names))) for task, names in self.survey.classes.items() if len(names) > 1]
        if not found:
            raise DataError("The listings have no attribute with two classes; fetch abo-listings.tar again.")
        return tuple(found)

    @property
    def size(self) -> int:
        """Number of main images."""
        return len(self.survey.images)

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield each main image once: its image_id, and what reads its file."""
        yield from self.files.readers(dict.fromkeys(self.survey.images))

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield an example per listing and language tag, in the order of the files."""
        survey, tasks = self.survey, {task.name: frozenset(task.classes) for task in self.tasks}
        for where, listing in self._listings():
            if isinstance(listing, Rejected):
                yield listing
                continue
            if (first := survey.where[listing.key]) != where:
                yield Rejected(where, f"is the listing {listing.key} of {first} again", listing.key)
                continue
            group = survey.group[listing.key]
            values = {task: value.name for task, value in listing.values.items()}
            labels = {task: name for task, name in values.items() if name in tasks.get(task, ())}
            for tag, name in listing.names.items():
                key = f"{listing.key}/{tag}"
                if not (code := language(tag)):
                    yield Rejected(where, f'"{tag}" is no language tag such as en_US', key)
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
    def survey(self) -> Survey:
        """The first reading of all listings."""
        where: dict[str, str] = {}
        items: list[str] = []
        groups = Groups()
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
        return Survey(where, group, tuple(images), classes)

    def _classes(self, values: list[Mapping[str, Value]], training: list[bool]) -> dict[str, frozenset[str]]:
        """All product types; of what sellers wrote freely, what is English and frequent enough in training."""
        counts: dict[str, Counter[str]] = {task: Counter() for task in (TYPE, *FIELDS)}
        for found, train in zip(values, training, strict=True):
            for task, value in found.items():
                if task == TYPE or (train and value.english):
                    counts[task][value.name] += 1
        least = {TYPE: 1}
        return {
            task: frozenset(name for name, count in names.items() if count >= least.get(task, self.least))
            for task, names in counts.items()
        }

    def _listings(self) -> Iterator[tuple[str, Listing | Rejected]]:
        """File and row of each record, and what it holds."""
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
