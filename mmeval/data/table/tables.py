"""The files of a table, in their order, and which split a file's name tells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmeval.data.reading.files import DELIMITERS, PARQUET, kind, read_table
from mmeval.data.reading.parquet import parquet_columns
from mmeval.data.reading.row import Row
from mmeval.errors import DataError
from mmeval.plugin.source import Rejected

SPLITS = {
    "train": "train training",
    "validation": "validation valid val dev development",
    "test": "test testing eval evaluation holdout",
}
_SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names.split()}
LOOKED_AT = 100
"""Rows of a JSON Lines file in which keys are looked for."""


@dataclass(frozen=True)
class Table:
    """One file of a table."""

    path: Path
    where: str
    """What messages call it."""
    split: str
    """Told by its name; empty if it tells none."""

    def rows(self) -> Iterator[Row | Rejected]:
        """Its records."""
        return read_table(self.path, self.where)

    def columns(self) -> list[str]:
        """Names of its columns.

        Raises:
            DataError: it is not there, or damaged.
        """
        ending = kind(self.path)
        if ending == PARQUET:
            return parquet_columns(self.path, self.where)
        rows = (row for row in self.rows() if isinstance(row, Row))
        # Every row of a CSV has the same columns; one of JSON Lines may leave out what it has nothing for.
        looked_at = itertools.islice(rows, 1 if ending in DELIMITERS else LOOKED_AT)
        keys = list(dict.fromkeys(key for row in looked_at for key in row.cells))
        if not keys:
            raise DataError(f"{self.where} holds no rows.")
        return keys


def tables(path: Path) -> list[Table]:
    """The tables at ``path``: itself, or the files of a folder in the order of their names.

    Raises:
        DataError: nothing is there, or no table.
    """
    if path.is_file():
        if not kind(path):
            raise DataError(f"{path} is no table; those end in .csv, .tsv, .jsonl (also .gz) or .parquet.")
        return [Table(path, path.name, "")]
    if not path.is_dir():
        raise DataError(f"There is no file or folder {path}.")
    found = sorted(file for file in path.rglob("*") if _is_table(file, path))
    if not found:
        raise DataError(f"{path} holds no table; those end in .csv, .tsv, .jsonl (also .gz) or .parquet.")
    if len({kind(file) for file in found}) > 1:
        several = ", ".join(sorted({kind(file) for file in found}))
        raise DataError(f"{path} holds tables of several kinds ({several}); name one file, or a folder of one kind.")
    splits = [split_of_name(file.relative_to(path)) for file in found]
    told = all(splits)
    return [
        Table(file, str(file.relative_to(path)), split if told else "")
        for file, split in zip(found, splits, strict=True)
    ]


def split_of_name(path: Path) -> str:
    """The split that a relative path tells: ``data/train-00000-of-00002.parquet`` -> train; else empty."""
    words = [word for part in reversed(path.parts) for word in re.split(r"[^a-z]+", part.lower())]
    return next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "")


def split_of_value(value: str) -> str:
    """The split that a cell names; empty if it names none."""
    return _SPLIT_OF.get(value.strip().lower(), "")


def _is_table(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    # Files of settings are JSON too, one object over many lines.
    return not hidden and file.is_file() and kind(file) not in ("", ".json")
