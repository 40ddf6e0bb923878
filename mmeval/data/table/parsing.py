"""One row of a table -> what an example needs, or why it is set aside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmeval.data.reading.row import Row
from mmeval.data.table.options import Columns
from mmeval.data.table.pictures import Reference, reference
from mmeval.data.table.tables import Table, split_of_value
from mmeval.errors import DataError
from mmeval.files import digest
from mmeval.plugin.source import Rejected

UNDETERMINED = "und"
"""ISO 639-2 for a language that nobody says."""
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Parsed:
    """What a row says."""

    id: str
    """Of the column of ids; empty where there is none."""
    text: str
    language: str
    labels: Mapping[str, str]
    picture: Reference | None
    split: str
    """Empty where neither a column nor the file's name tells it."""
    group: str
    slices: Mapping[str, str]
    metadata: Mapping[str, str]
    where: str

    @property
    def name(self) -> str:
        """What the row is called wherever it stands in the table: its id, else what it holds."""
        return self.id or digest(self.text, self.picture.key if self.picture else "")


@dataclass(frozen=True)
class Parser:
    """Reads rows as the columns say."""

    columns: Columns
    language: str
    """Of every row, where no column says it."""
    folder: Path
    """Where pictures' paths start."""
    inside: bool
    """Whether pictures must be in ``folder``."""

    def parse(self, row: Row, table: Table) -> Parsed | Rejected:
        """What a row says, or why it can't be used."""
        columns, cells, where = self.columns, row.cells, f"{table.where}, row {row.number}"
        id_ = text_of(cells.get(columns.id)) if columns.id else ""
        try:
            picture = reference(cells.get(columns.image), self.folder, inside=self.inside) if columns.image else None
            language = self._language(cells)
            split = self._split(cells) or table.split
        except DataError as error:
            return Rejected(where, str(error), id_)
        text = " ".join(filter(None, (text_of(cells.get(name)) for name in columns.text or ())))
        labels = {name: label for name in columns.label or () if (label := text_of(cells.get(name)))}
        if not labels:
            return Rejected(where, f"no label in {' or '.join(columns.label or ())}", id_)
        if not text and not picture:
            return Rejected(where, "neither text nor picture", id_)
        slices = {name: text_of(cells.get(name)) or "none" for name in columns.slice or ()}
        metadata = {name: text_of(cells.get(name)) for name in columns.metadata or ()}
        group = text_of(cells.get(columns.group)) if columns.group else ""
        return Parsed(id_, text, language, labels, picture, split, group, slices, metadata, where)

    def _language(self, cells: Mapping[str, Any]) -> str:
        said = text_of(cells.get(self.columns.language)) if self.columns.language else self.language
        if not said:
            return UNDETERMINED
        if not (found := _LANGUAGE.fullmatch(said)):
            raise DataError(f'the language "{said}" is no ISO 639 code such as de or pt-BR')
        return found[1].lower()

    def _split(self, cells: Mapping[str, Any]) -> str:
        if not self.columns.split:
            return ""
        said = text_of(cells.get(self.columns.split))
        if not (split := split_of_value(said)):
            raise DataError(f'"{said}" is no split, those are train, validation, test')
        return split


def text_of(cell: Any) -> str:  # noqa: ANN401 - what a table holds
    """A cell as text without blanks around it; empty for None and NaN, lists joined by blanks."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    if isinstance(cell, list):
        return " ".join(filter(None, map(text_of, cell)))
    return str(cell).strip()
