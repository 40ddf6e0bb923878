"""One row of a table -> what an example needs, or why it is rejected."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mmeval.api.source import Rejected
from mmeval.data.languages import Language, complaint, language_of
from mmeval.data.reading.row import Row
from mmeval.data.table.images import Finder, Reference
from mmeval.data.table.options import Columns
from mmeval.data.table.tables import Table, split_of_value
from mmeval.errors import DataError
from mmeval.files import digest

UNDETERMINED = "und"
"""ISO 639-2 for a language that nobody says."""
NO_LANGUAGE = "the language "
"""How a reason begins that is about a row's language."""


class Parsed(NamedTuple):
    """What a row says."""

    id: str
    """Of the column of ids; empty where there is none."""
    text: str
    language: str
    labels: Mapping[str, str]
    image: Reference | None
    split: str
    """Empty where neither a column nor the file's name tells it."""
    group: str
    slices: Mapping[str, str]
    metadata: Mapping[str, str]
    where: str

    @property
    def name(self) -> str:
        """What the row is called wherever it stands in the table: its id, else what it holds."""
        return self.id or digest(self.text, self.image.key if self.image else "")


@dataclass(frozen=True)
class Parser:
    """Reads rows as the columns say."""

    columns: Columns
    language: str
    """Of every row, where no column says it; in the form that rows have."""
    finder: Finder
    carve: bool
    """Whether splits are carved, whatever the files are called."""
    languages: dict[str, Language] = field(default_factory=dict)
    """What the values of the language column were read as, filled while rows are parsed."""

    def parse(self, row: Row, table: Table, folder: str) -> Parsed | Rejected:
        """What a row says, or why it can't be used; ``folder``: that of the table's file.

        Raises:
            DataError: its split is a word that isn't known, which is no matter of one row.
        """
        where = f"{table.where}, row {row.number}"
        try:
            return self._parse(row.cells, table, folder, where)
        except _RowError as error:
            return Rejected(where, str(error), self._id(row.cells))

    def _parse(self, cells: Mapping[str, Any], table: Table, folder: str, where: str) -> Parsed:
        columns = self.columns
        image = self._image(cells, folder)
        text = " ".join(filter(None, (text_of(cells.get(name), name) for name in columns.text or ())))
        labels = {name: sys.intern(label) for name in columns.label or () if (label := value_of(cells.get(name), name))}
        if not labels:
            raise _RowError(f"no label in {' or '.join(columns.label or ())}")
        if not text and not image:
            raise _RowError("neither text nor image")
        return Parsed(
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

    def _image(self, cells: Mapping[str, Any], folder: str) -> Reference | None:
        try:
            return self.finder.find(cells.get(self.columns.image), folder) if self.columns.image else None
        except DataError as error:
            raise _RowError(str(error)) from None

    def _language(self, cells: Mapping[str, Any]) -> str:
        if not (column := self.columns.language):
            return self.language or UNDETERMINED
        if not (said := value_of(cells.get(column), column)):
            return self.language or UNDETERMINED
        if (found := self.languages.get(said)) is None:
            if reason := complaint(said):
                raise _RowError(reason)
            known = language_of(said)
            assert known, "else there is a complaint"
            found = self.languages[said] = known._replace(code=sys.intern(known.code))
        return found.code

    def _split(self, cells: Mapping[str, Any], table: Table, where: str) -> str:
        if not (column := self.columns.split):
            return "" if self.carve else table.split
        if not (said := value_of(cells.get(column), column)):
            raise _RowError(f"no split in {column}")
        if not (split := split_of_value(said)):
            raise DataError(
                f'{where}: the {column} "{said}" is none of train, validation and test (or val, dev, eval); '
                "write one of them, or --columns split= to have splits carved."
            )
        return split


class _RowError(Exception):
    """Why a row is rejected, in a few words."""


def text_of(cell: Any, column: str) -> str:  # noqa: ANN401 - what a table holds
    """A cell as text without blanks around it; empty for None and NaN, lists joined by blanks."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, list):
        return " ".join(filter(None, (text_of(one, column) for one in cell)))
    if isinstance(cell, (dict, bytes)):
        raise _RowError(f"{column} holds {'an object' if isinstance(cell, dict) else 'bytes'}, not a text")
    # Where one number of a column is missing, pandas writes all others with a fraction.
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def value_of(cell: Any, column: str) -> str:  # noqa: ANN401 - what a table holds
    """A cell that stands for one thing (a class, an id) as text; a list of one is that one."""
    if isinstance(cell, list):
        values = [one for one in cell if text_of(one, column)]
        if len(values) > 1:
            raise _RowError(f"{column} holds {len(values)} values, not one")
        cell = values[0] if values else None
    return text_of(cell, column)
