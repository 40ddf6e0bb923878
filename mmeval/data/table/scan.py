"""What must be known of a whole table before its first example: classes, groups, splits."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from mmeval.api.source import Rejected
from mmeval.console import note
from mmeval.data.groups import Groups
from mmeval.data.split import DEFAULT_SHARES, Member, hash_split
from mmeval.data.table.duplicates import same_files
from mmeval.data.table.images import Reference
from mmeval.data.table.parsing import NO_LANGUAGE, Parsed
from mmeval.errors import DataError

SALT = "mmeval-table-split-1"
RARE = 10
"""Classes of fewer groups than this have too few for shares of their own: their shares hold over all of them."""
NO_LANGUAGES = 0.5
"""Share of the rows without a known language from which the column is taken for one of something else."""
LARGE = 0.1
"""Share of the rows from which a group is said to be large."""


class Scan:
    """A table, read once from end to end; rows are numbered as they come, those that are rejected left out."""

    def __init__(self, rows: Iterable[Parsed | Rejected], tasks: Iterable[str], where: str, language: str = "") -> None:
        """Read all rows.

        Args:
            rows: of the table.
            tasks: the columns of labels.
            where: what messages call the table.
            language: the column of languages; empty if there is none.

        Raises:
            DataError: no row can be used, the column of languages holds something else, or a task has no two classes.
        """
        self.where = where
        self.classes: dict[str, set[str]] = {task: set() for task in tasks}
        self.images: dict[str, Reference] = {}
        """By key, without bytes."""
        self._rows_of: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._with_language: Counter[str] = Counter()
        self._groups = Groups()
        self._names: list[str] = []
        self._labels: list[str] = []
        self._told: list[str] = []
        self._row_of: dict[str, int] = {}
        aside: list[Rejected] = []
        for row in rows:
            if isinstance(row, Rejected):
                aside.append(row)
                continue
            self._add(row)
        self._aside = aside
        self._require_languages(language)
        if not self._told:
            if not aside:
                raise DataError(f"{where} holds no rows.")
            images = "; --images names the folder that images' paths start from" if "image" in aside[0].reason else ""
            raise DataError(
                f"None of the {len(aside):,} rows of {where} can be used, as {aside[0].where}: "
                f"{aside[0].reason}{images}."
            )
        self._require_classes()

    def _add(self, row: Parsed) -> None:
        number, name = len(self._told), sys.intern(row.name)
        # One string a key: with a tuple each, a table of millions of rows needs twice the memory.
        keys = [f"n{name}", *([f"g{row.group}"] if row.group else [])]
        if image := row.image:
            keys.append(f"p{image.key}")
            if image.key not in self.images:
                self.images[image.key] = image._replace(data=b"")
                self._row_of[image.key] = number
            self._rows_of[image.key] += 1
        self._groups.add(*keys)
        for task, label in row.labels.items():
            self.classes[task].add(label)
        if row.id:
            self._ids[row.id] += 1
            self._with_language[f"{row.language}/{row.id}"] += 1
        self._names.append(name)
        self._labels.append(next(iter(row.labels.values())))
        self._told.append(row.split)

    def example_id(self, row: Parsed, number: int) -> str:
        """A unique id: that of the table if it is, else with the language, else with the row's number."""
        if not row.id:
            return row.where
        if self._ids[row.id] == 1:
            return row.id
        unique = self._with_language[f"{row.language}/{row.id}"] == 1
        return f"{row.id}/{row.language}" if unique else f"{row.id}/{row.language}/{number}"

    def cluster(self, number: int) -> str:
        """The group of a row, called after its first one."""
        return self._names[self._groups.root(number)]

    def splits(self) -> list[str]:
        """The split of each row: as told, else carved; what is carved is said.

        Raises:
            DataError: what is told lacks the training or the test split, or there is too little to carve.
        """
        self._join_same_images()
        told = Counter(self._told)
        if set(told) <= {"", "train"}:
            found = self._carved(range(len(self._told)), DEFAULT_SHARES)
            note(f"Splits of {self.where}: carved, {_counts(found)}")
            return found
        if told[""]:
            raise DataError(
                f"{self.where}: the names of some files tell a split, those of others don't; rename them, or say "
                "--columns split= to have all splits carved."
            )
        if not told["train"] or not told["test"]:
            lacks = "train" if not told["train"] else "test"
            has = " and ".join(sorted(filter(None, told)))
            raise DataError(
                f"{self.where} has {has} but no {lacks} rows; --columns split= has all splits carved instead."
            )
        if told["validation"]:
            note(f"Splits of {self.where}: as told, {_counts(self._told)}")
            return self._told
        elsewhere = {self._groups.root(number) for number, split in enumerate(self._told) if split != "train"}
        free = [number for number, split in enumerate(self._told) if split == "train"]
        free = [number for number in free if self._groups.root(number) not in elsewhere]
        part = {"train": 1 - DEFAULT_SHARES["validation"], "validation": DEFAULT_SHARES["validation"]}
        found = self._carved(free, part)
        note(f"Splits of {self.where}: as told, with a validation split carved off train: {_counts(found)}")
        return found

    def _carved(self, numbers: Iterable[int], shares: dict[str, float]) -> list[str]:
        numbers = list(numbers)
        roots = {number: self._groups.root(number) for number in numbers}
        groups = Counter(label for label, _ in {(self._labels[number], roots[number]) for number in numbers})
        # A class of a single group can only be learnt from; hash_split puts what is alone into train.
        rare = {label for label, count in groups.items() if 1 < count < RARE}
        members, seen = [], Counter[str]()
        for number in numbers:
            name, label = self._names[number], self._labels[number]
            # Unique, and the same whatever the order of the rows: rows of one name are one group.
            members.append(Member(f"{name}\0{seen[name]}", str(roots[number]), "" if label in rare else label))
            seen[name] += 1
        found, splits = hash_split(members, shares, SALT), list(self._told)
        for number, member in zip(numbers, members, strict=True):
            splits[number] = found[member.id]
        sizes = Counter(roots.values())
        if lacks := [split for split in shares if split not in {splits[number] for number in numbers}]:
            raise DataError(
                f"{self.where} is too small to be carved into {', '.join(shares)}: its {len(numbers):,} rows are "
                f"{len(sizes):,} groups that share an id, an image or a text, and {lacks[0]} gets none; "
                "add rows, or a column that says the split."
            )
        self._say_large(sizes)
        return splits

    def _say_large(self, sizes: Counter[int]) -> None:
        total = sum(sizes.values())
        ((_, size),) = sizes.most_common(1)
        if size < LARGE * total or len(sizes) < RARE:
            return
        why = ""
        if self._rows_of and (commonest := self._rows_of.most_common(1)[0])[1] > size / 2:
            why = f"; the image {commonest[0]} alone stands in {commonest[1]:,}"
        note(f"{size:,} of {total:,} rows share an id, an image, a group or a text, so all are in one split{why}")

    def _require_languages(self, column: str) -> None:
        without = [one for one in self._aside if one.reason.startswith(NO_LANGUAGE)]
        total = len(self._told) + len(self._aside)
        if column and len(without) > NO_LANGUAGES * total:
            raise DataError(
                f"{self.where}: the column {column} holds no languages in {len(without):,} of {total:,} rows, for "
                f"example {without[0].where}: {without[0].reason}. --columns language= names another column, "
                "--language says it of all rows."
            )

    def _require_classes(self) -> None:
        for task, names in self.classes.items():
            if len(names) < 2:
                has = f'only the class "{next(iter(names))}"' if names else "no class at all"
                left = ""
                if self._aside:
                    left = (
                        f" in the {len(self._told):,} rows that can be used ({len(self._aside):,} can't, as "
                        f"{self._aside[0].where}: {self._aside[0].reason})"
                    )
                raise DataError(
                    f"{self.where}: {task} has {has}{left}; a task needs two, so name another column as label."
                )
            if len(names) > max(len(self._told) / 2, RARE):
                rows = f"{len(self._told):,} rows"
                note(f"{task} has {len(names):,} classes in {rows}; --columns label= names another column")

    def _join_same_images(self) -> None:
        """Put rows together whose images are the same bytes under several names."""
        for key, content in same_files(self.images.values()):
            self._groups.join(self._row_of[key], f"psha256:{content}")


def _counts(splits: list[str]) -> str:
    counted = Counter(splits)
    return ", ".join(f"{counted[split]:,} {split}" for split in DEFAULT_SHARES)
