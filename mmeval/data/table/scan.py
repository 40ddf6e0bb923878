"""What must be known of a whole table before its first example: classes, groups, splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmeval.console import note, progress
from mmeval.data.groups import Groups
from mmeval.data.loader import cores, in_order
from mmeval.data.reading.files import read_picture
from mmeval.data.split import TENTHS, Member, hash_split
from mmeval.data.table.parsing import Parsed
from mmeval.errors import DataError

SALT = "mmeval-table-split-1"
TASK = 64
"""Pictures that one task of a thread reads."""


class Scan:
    """A table, read once from end to end; rows are numbered as they come, those that are set aside left out."""

    def __init__(self, rows: Iterable[Parsed], tasks: Iterable[str]) -> None:
        """Read all rows; ``tasks`` are the columns of labels."""
        self.classes: dict[str, set[str]] = {task: set() for task in tasks}
        self.pictures: dict[str, Path | None] = {}
        """By key; the path of those that are files of their own."""
        self._ids: Counter[str] = Counter()
        self._with_language: Counter[tuple[str, str]] = Counter()
        self._groups = Groups()
        self._members: list[tuple[str, str]] = []
        self._told: list[str] = []
        self._row_of: dict[str, int] = {}
        names: Counter[str] = Counter()
        for number, row in enumerate(rows):
            keys = [("name", row.name), *([("group", row.group)] if row.group else [])]
            if row.picture:
                keys.append(("picture", row.picture.key))
                self.pictures.setdefault(row.picture.key, row.picture.path)
                self._row_of.setdefault(row.picture.key, number)
            self._groups.add(*keys)
            for task, label in row.labels.items():
                self.classes[task].add(label)
            self._ids[row.id] += 1
            self._with_language[row.id, row.language] += 1
            # Unique, and the same whatever the order of the rows: rows of one name are one group.
            self._members.append((f"{row.name}\0{names[row.name]}", next(iter(row.labels.values()))))
            names[row.name] += 1
            self._told.append(row.split)

    def example_id(self, row: Parsed, number: int) -> str:
        """A unique id: that of the table if it is, else with the language, else with the row's number."""
        if not row.id:
            return row.where
        if self._ids[row.id] == 1:
            return row.id
        unique = self._with_language[row.id, row.language] == 1
        return f"{row.id}/{row.language}" if unique else f"{row.id}/{row.language}/{number}"

    def cluster(self, number: int) -> str:
        """The group of a row, called after its first one."""
        return self._members[self._groups.root(number)][0].partition("\0")[0]

    def splits(self, where: str) -> list[str]:
        """The split of each row: as told, else carved; what is carved is said.

        Raises:
            DataError: what is told lacks the training or the test split.
        """
        self._join_same_pictures()
        told = Counter(self._told)
        if set(told) <= {"", "train"}:
            note(f"Splits of {where}: carved, {', '.join(f'{share:.0%} {name}' for name, share in TENTHS.items())}")
            return self._carved(range(len(self._told)), TENTHS)
        if not told["train"] or not told["test"]:
            lacks = "train" if not told["train"] else "test"
            has = " and ".join(sorted(filter(None, told)))
            how = "--columns split= has splits carved instead, as has one file without splits in its name"
            raise DataError(f"{where} has {has} but no {lacks} rows; {how}.")
        if told["validation"]:
            return self._told
        note(f"Splits of {where}: as told; it has no validation, so {TENTHS['validation']:.0%} of train is carved off")
        elsewhere = {self._groups.root(number) for number, split in enumerate(self._told) if split != "train"}
        free = [number for number, split in enumerate(self._told) if split == "train"]
        free = [number for number in free if self._groups.root(number) not in elsewhere]
        part = {"train": 1 - TENTHS["validation"], "validation": TENTHS["validation"]}
        return self._carved(free, part)

    def _carved(self, numbers: Iterable[int], shares: dict[str, float]) -> list[str]:
        numbers = list(numbers)
        members = [
            Member(self._members[number][0], str(self._groups.root(number)), self._members[number][1])
            for number in numbers
        ]
        found, splits = hash_split(members, shares, SALT), list(self._told)
        for number in numbers:
            splits[number] = found[self._members[number][0]]
        return splits

    def _join_same_pictures(self) -> None:
        """Put rows together whose pictures are the same bytes under several names."""
        files = [(key, path) for key, path in self.pictures.items() if path is not None]
        if not files:
            return
        parts = (files[start : start + TASK] for start in range(0, len(files), TASK))
        with progress("Comparing pictures", len(files), "pictures") as advance:
            for digests in in_order(parts, _digests, workers=cores()):
                for key, found in digests:
                    if found:
                        self._groups.join(self._row_of[key], ("content", found))
                advance(len(digests))


def _digests(part: list[tuple[str, Path]]) -> list[tuple[str, str]]:
    return [(key, _digest(path)) for key, path in part]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_picture(path)).hexdigest()
    except (DataError, FileNotFoundError):
        return ""  # said when the picture itself is prepared


def stats(files: Iterable[tuple[str, Path]]) -> Iterator[str]:
    """Name, size and time of each file, for an identity; a missing one has none."""
    for name, path in files:
        try:
            found = path.stat()
            yield f"{name}\0{found.st_size}\0{found.st_mtime_ns}"
        except OSError:
            yield f"{name}\0"
