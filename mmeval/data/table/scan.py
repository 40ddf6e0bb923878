"""First pass over a table: collects classes, groups and splits."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from mmeval.api.source import Rejected
from mmeval.console import note
from mmeval.data.groups import UnionFind
from mmeval.data.split import DEFAULT_SHARES, Member, hash_split
from mmeval.data.table.duplicates import same_files
from mmeval.data.table.images import ImageReference
from mmeval.data.table.parsing import NO_LANGUAGE, ParsedRow
from mmeval.errors import DataError

SALT = "mmeval-table-split-1"
RARE = 10
"""Classes with fewer groups than this are stratified together, because each has too few for shares of its own."""
NO_LANGUAGES = 0.5
"""If more than this share of the rows have no known language, the language column is an error."""
LARGE = 0.1
"""A group with at least this share of the rows is reported."""


def unique_id(name: str, language: str, number: int, rows: int, rows_in_language: int) -> str:
    """Return an id that no other row has, with the language and then the row's number added if needed.

    Args:
        name: the id in the table.
        language: the language of the row.
        number: the number of the row.
        rows: how many rows have this id.
        rows_in_language: how many of them have this language.
    """
    if rows == 1:
        return name
    return f"{name}/{language}" if rows_in_language == 1 else f"{name}/{language}/{number}"


class Scan:
    """Classes, groups and splits of a table. Its rows have the numbers of the usable rows, from 0."""

    def __init__(
        self,
        rows: Iterable[ParsedRow | Rejected],
        tasks: Iterable[str],
        where: str,
        language: str = "",
        separator: str = "",
    ) -> None:
        """Read all rows.

        Args:
            rows: the table's rows.
            tasks: the label columns.
            where: the name of the table in messages.
            language: the language column; empty if there is none.
            separator: the separator of class names in label cells; empty if there is none.

        Raises:
            DataError: no row can be used, the language column does not hold languages, a task has fewer than two
                classes, or no label cell holds the separator.
        """
        self.where = where
        self.classes: dict[str, set[str]] = {task: set() for task in tasks}
        self.multilabel: set[str] = set()
        """Tasks with a cell that holds a list or the separator."""
        self.images: dict[str, ImageReference] = {}
        """Images by key, without their bytes."""
        self._rows_of: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._with_language: Counter[str] = Counter()
        self._groups = UnionFind()
        self._names: list[str] = []
        self._labels: list[str] = []
        self._given_splits: list[str] = []
        self._row_of: dict[str, int] = {}
        self._rejected: list[Rejected] = []
        for row in rows:
            if isinstance(row, Rejected):
                self._rejected.append(row)
            else:
                self._add(row)
        self._require_languages(language)
        if not self._given_splits:
            if not self._rejected:
                raise DataError(f"{where} holds no rows.")
            first = self._rejected[0]
            advice = "; set the folder that image paths start from with --images" if "image" in first.reason else ""
            raise DataError(
                f"None of the {len(self._rejected):,} rows of {where} can be used, for example {first.where}: "
                f"{first.reason}{advice}."
            )
        self._require_separator(separator)
        self._require_classes()

    def _add(self, row: ParsedRow) -> None:
        number, name = len(self._given_splits), sys.intern(row.name)
        # Keys are strings: tuples would double the memory of a table with millions of rows.
        keys = [f"n{name}", *([f"g{row.group}"] if row.group else [])]
        if image := row.image:
            keys.append(f"p{image.key}")
            if image.key not in self.images:
                self.images[image.key] = image._replace(data=b"")
                self._row_of[image.key] = number
            self._rows_of[image.key] += 1
        self._groups.add(*keys)
        for task, label in row.labels.items():
            if isinstance(label, tuple):
                self.multilabel.add(task)
                self.classes[task].update(label)
            else:
                self.classes[task].add(label)
        if row.id:
            self._ids[row.id] += 1
            self._with_language[f"{row.language}/{row.id}"] += 1
        self._names.append(name)
        first = next(iter(row.labels.values()))
        self._labels.append(sys.intern("\0".join(sorted(first))) if isinstance(first, tuple) else first)
        self._given_splits.append(row.split)

    def example_id(self, row: ParsedRow, number: int) -> str:
        """Return a unique id: the table's id, with the language and then the row's number added if needed."""
        if not row.id:
            return row.where
        pairs = self._with_language[f"{row.language}/{row.id}"]
        return unique_id(row.id, row.language, number, self._ids[row.id], pairs)

    def cluster(self, number: int) -> str:
        """Return the name of a row's group: the name of its first row."""
        return self._names[self._groups.root(number)]

    def splits(self) -> list[str]:
        """Return the split of each row: the table's own splits if it has any, otherwise created ones.

        Raises:
            DataError: the table's splits lack train or test, or it is too small to be split.
        """
        self._join_same_images()
        given = Counter(self._given_splits)
        if set(given) <= {"", "train"}:
            splits = self._create_splits(range(len(self._given_splits)), DEFAULT_SHARES)
            note(f"Splits of {self.where}: created, {_counts(splits)}")
            return splits
        if given[""]:
            raise DataError(
                f"{self.where}: the names of some files tell a split, those of others don't; rename them, or create "
                "new splits with --columns split=."
            )
        if not given["train"] or not given["test"]:
            lacks = "train" if not given["train"] else "test"
            has = " and ".join(sorted(filter(None, given)))
            raise DataError(f"{self.where} has {has} but no {lacks} rows; create new splits with --columns split=.")
        if given["validation"]:
            note(f"Splits of {self.where}: as in the table, {_counts(self._given_splits)}")
            return self._given_splits
        elsewhere = {self._groups.root(number) for number, split in enumerate(self._given_splits) if split != "train"}
        free = [number for number, split in enumerate(self._given_splits) if split == "train"]
        free = [number for number in free if self._groups.root(number) not in elsewhere]
        shares = {"train": 1 - DEFAULT_SHARES["validation"], "validation": DEFAULT_SHARES["validation"]}
        splits = self._create_splits(free, shares)
        note(f"Splits of {self.where}: as in the table, with a validation split taken from train: {_counts(splits)}")
        return splits

    def _create_splits(self, numbers: Iterable[int], shares: dict[str, float]) -> list[str]:
        """Split the rows with these numbers by :func:`hash_split`, stratified by the first task; others keep theirs."""
        numbers = list(numbers)
        roots = {number: self._groups.root(number) for number in numbers}
        groups = Counter(label for label, _ in {(self._labels[number], roots[number]) for number in numbers})
        # A class with a single group can only be in train, where hash_split puts the only cluster of a stratum. But a
        # set of classes with a single group may be anywhere: in many tables hardly two rows have the same set.
        fewest = 1 if next(iter(self.classes)) in self.multilabel else 2
        rare = {label for label, count in groups.items() if fewest <= count < RARE}
        members, seen = [], Counter[str]()
        for number in numbers:
            name, label = self._names[number], self._labels[number]
            # Unique, and independent of the order of the rows: rows with the same name are in one group.
            members.append(Member(f"{name}\0{seen[name]}", str(roots[number]), "" if label in rare else label))
            seen[name] += 1
        assigned, splits = hash_split(members, shares, SALT), list(self._given_splits)
        for number, member in zip(numbers, members, strict=True):
            splits[number] = assigned[member.id]
        sizes = Counter(roots.values())
        if lacks := [split for split in shares if split not in {splits[number] for number in numbers}]:
            raise DataError(
                f"{self.where} is too small to be split into {', '.join(shares)}: its {len(numbers):,} rows are "
                f"{len(sizes):,} groups that share an id, an image or a text, and {lacks[0]} gets none; "
                "add rows, or a column of splits."
            )
        self._report_large_group(sizes)
        return splits

    def _report_large_group(self, sizes: Counter[int]) -> None:
        total = sum(sizes.values())
        ((_, size),) = sizes.most_common(1)
        if size < LARGE * total or len(sizes) < RARE:
            return
        reason = ""
        if self._rows_of and (commonest := self._rows_of.most_common(1)[0])[1] > size / 2:
            reason = f"; {commonest[1]:,} of them have the image {commonest[0]}"
        note(f"{size:,} of {total:,} rows share an id, an image, a group or a text, so all are in one split{reason}")

    def _require_languages(self, column: str) -> None:
        without = [row for row in self._rejected if row.reason.startswith(NO_LANGUAGE)]
        total = len(self._given_splits) + len(self._rejected)
        if column and len(without) > NO_LANGUAGES * total:
            raise DataError(
                f"{self.where}: the column {column} does not hold languages in {len(without):,} of {total:,} rows, for "
                f"example {without[0].where}: {without[0].reason}. Choose another column with --columns "
                "language=, or set the language of all rows with --language."
            )

    def _require_separator(self, separator: str) -> None:
        if separator and not self.multilabel:
            columns = " and ".join(self.classes)
            raise DataError(
                f'{self.where}: no cell of {columns} holds the label_separator "{separator}"; correct it in --columns, '
                "or leave it out if each row has one class."
            )

    def _require_classes(self) -> None:
        for task, names in self.classes.items():
            if len(names) < 2:
                has = f'only the class "{next(iter(names))}"' if names else "no class at all"
                usable = ""
                if self._rejected:
                    first = self._rejected[0]
                    usable = (
                        f" in the {len(self._given_splits):,} rows that can be used ({len(self._rejected):,} can't, "
                        f"for example {first.where}: {first.reason})"
                    )
                raise DataError(
                    f"{self.where}: {task} has {has}{usable}; a task needs two, so choose another label column."
                )
            if len(names) > max(len(self._given_splits) / 2, RARE):
                rows = f"{len(self._given_splits):,} rows"
                note(f"{task} has {len(names):,} classes in {rows}; choose another column with --columns label=")

    def _join_same_images(self) -> None:
        """Join the groups of rows whose images have the same content under several names."""
        for key, content in same_files(self.images.values()):
            self._groups.join(self._row_of[key], f"psha256:{content}")


def _counts(splits: list[str]) -> str:
    counted = Counter(splits)
    return ", ".join(f"{counted[split]:,} {split}" for split in DEFAULT_SHARES)
