"""Parsing of table rows into the parts of an example."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mmeval.api.source import Rejected
from mmeval.data.languages import UNDETERMINED, Language, complaint, language_of
from mmeval.data.reading.row import Row
from mmeval.data.table.images import ImageFinder, ImageReference
from mmeval.data.table.options import Columns
from mmeval.data.table.tables import Table, split_of_value
from mmeval.errors import DataError
from mmeval.files import digest

NO_LANGUAGE = "the language "
"""The beginning of every rejection reason about a row's language."""
MOST_UNKNOWN = 1000
"""Values that are no language and are counted one by one."""


class ParsedRow(NamedTuple):
    """The parts of an example, from one row."""

    id: str
    """From the id column; empty without one."""
    text: str
    language: str
    labels: Mapping[str, str | tuple[str, ...]]
    """By label column: the class, or the classes of a cell with a list or a separator; without empty cells."""
    image: ImageReference | None
    split: str
    """Empty if neither a column nor the file's name tells it."""
    group: str
    slices: Mapping[str, str]
    metadata: Mapping[str, str]
    where: str

    @property
    def name(self) -> str:
        """A name that does not depend on the row's position: its id, or else a digest of its text and image."""
        return self.id or digest(self.text, self.image.key if self.image else "")


@dataclass(frozen=True)
class Parser:
    """Parses rows by the roles of the columns."""

    columns: Columns
    language: str
    """The code for rows without a value in the language column; empty for an unknown language."""
    finder: ImageFinder
    create_splits: bool
    """Whether to ignore the splits that the files' names tell."""
    lenient: bool = False
    """Accept rows without a label, and take what is no language as undetermined: rows to predict, not to learn from."""
    languages: dict[str, Language] = field(default_factory=dict)
    """The language of each value of the language column, filled while rows are parsed."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Rows by value that is no language, if lenient; values beyond ``MOST_UNKNOWN`` are counted together as empty."""

    def parse(self, row: Row, table: Table, folder: str) -> ParsedRow | Rejected:
        """Parse a row of a table whose file is in ``folder``.

        Raises:
            DataError: the split column holds an unknown word, which concerns the whole table.
        """
        where = f"{table.where}, row {row.number}"
        try:
            return self._parse(row.cells, table, folder, where)
        except _RowError as error:
            return Rejected(where, str(error), self._id(row.cells))

    def _parse(self, cells: Mapping[str, Any], table: Table, folder: str, where: str) -> ParsedRow:
        columns = self.columns
        image = self._image(cells, folder)
        text = " ".join(filter(None, (text_of(cells.get(name), name) for name in columns.text or ())))
        separator = columns.label_separator or ""
        found = {name: label_of(cells.get(name), name, separator) for name in columns.label or ()}
        labels = {name: label for name, label in found.items() if label is not None}
        if not labels and not self.lenient:
            raise _RowError(f"no label in {' or '.join(columns.label or ())}")
        if not text and not image:
            raise _RowError("neither text nor image")
        return ParsedRow(
            value_of(cells.get(columns.id), columns.id) if columns.id else "",
            text,
            self._language(cells),
            labels,
            image,
            self._split(cells, table, where),
            value_of(cells.get(columns.group), columns.group) if columns.group else "",
            {name: value_of(cells.get(name), name) or "none" for name in columns.slice or ()},
            {name: text_of(cells.get(name), name) for name in columns.metadata or ()},
            where,
        )

    def _id(self, cells: Mapping[str, Any]) -> str:
        try:
            return value_of(cells.get(self.columns.id), self.columns.id) if self.columns.id else ""
        except _RowError:
            return ""

    def _image(self, cells: Mapping[str, Any], folder: str) -> ImageReference | None:
        try:
            return self.finder.find(cells.get(self.columns.image), folder) if self.columns.image else None
        except DataError as error:
            raise _RowError(str(error)) from None

    def _language(self, cells: Mapping[str, Any]) -> str:
        if not (column := self.columns.language):
            return self.language or UNDETERMINED
        if not (value := value_of(cells.get(column), column)):
            return self.language or UNDETERMINED
        if (language := self.languages.get(value)) is None:
            if reason := complaint(value):
                if not self.lenient:
                    raise _RowError(reason)
                self.unknown[value if len(self.unknown) < MOST_UNKNOWN or value in self.unknown else ""] += 1
                return UNDETERMINED
            named = language_of(value)
            assert named, "complaint() is empty only for languages"
            language = self.languages[value] = named._replace(code=sys.intern(named.code))
        return language.code

    def _split(self, cells: Mapping[str, Any], table: Table, where: str) -> str:
        if not (column := self.columns.split):
            return "" if self.create_splits else table.split
        if not (value := value_of(cells.get(column), column)):
            raise _RowError(f"no split in {column}")
        if not (split := split_of_value(value)):
            raise DataError(
                f'{where}: the {column} "{value}" is none of train, validation and test (or val, dev, eval); '
                "write one of them, or create new splits with --columns split=."
            )
        return split


class _RowError(Exception):
    """A row that must be rejected; the message is the reason."""


def text_of(cell: Any, column: str) -> str:  # noqa: ANN401 - what a table holds
    """Return a cell as stripped text: empty for None and NaN, the items of a list joined by blanks."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, list):
        return " ".join(filter(None, (text_of(item, column) for item in cell)))
    if isinstance(cell, (dict, bytes)):
        raise _RowError(f"{column} holds {'an object' if isinstance(cell, dict) else 'bytes'}, not a text")
    # pandas writes all integers of a column as floats if one is missing.
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def label_of(cell: Any, column: str, separator: str = "") -> str | tuple[str, ...] | None:  # noqa: ANN401
    """Return a label cell as a class, or as the tuple of its classes; None for an empty cell.

    A list, and a text that contains the separator, give a tuple of their distinct non-empty parts without surrounding
    blanks, in their order. It is empty for an empty list and for a cell of separators alone: none of the classes.
    """
    if isinstance(cell, list):
        parts = [text_of(item, column) for item in cell]
    else:
        text = text_of(cell, column)
        if not text:
            return None
        if not separator or separator not in text:
            return sys.intern(text)
        parts = [part.strip() for part in text.split(separator)]
    return tuple(map(sys.intern, dict.fromkeys(filter(None, parts))))


def value_of(cell: Any, column: str) -> str:  # noqa: ANN401 - what a table holds
    """Return a cell that holds a single value (a class, an id) as text; a list may have one non-empty item."""
    if isinstance(cell, list):
        values = [item for item in cell if text_of(item, column)]
        if len(values) > 1:
            raise _RowError(f"{column} holds {len(values)} values, not one")
        cell = values[0] if values else None
    return text_of(cell, column)
