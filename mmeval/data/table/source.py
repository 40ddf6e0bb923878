"""A table as the source of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from mmeval.console import note
from mmeval.data.reading.row import Row
from mmeval.data.table.columns import guessed, resolve
from mmeval.data.table.options import TableOptions
from mmeval.data.table.parsing import Parsed, Parser
from mmeval.data.table.scan import Scan, stats
from mmeval.data.table.tables import tables
from mmeval.errors import DataError
from mmeval.files import digest
from mmeval.plugin.model import Task
from mmeval.plugin.source import Example, Rejected

RULES = "table-1"
"""Names what these modules do; part of the identity."""


class TableSource:
    """The source of ``table:PATH``.

    A row is an example. Without a column of splits they are carved by a salted hash, stratified by the first task,
    over groups of rows that share an id, a picture (the same file, or the same bytes) or a value of ``group``.
    """

    def __init__(self, options: TableOptions, path: Path, revision: str = "") -> None:
        """``path``: where the table is on disk; ``revision``: the commit, of a Hub data set.

        Raises:
            UserError: nothing is there, or the columns can't be told.
        """
        self.options, self.path, self.revision = options, path, revision
        self.tables = tables(path)
        names = self.tables[0].columns()
        self.columns = resolve(options.columns, names, self.tables[0].where, fixed_language=bool(options.language))
        folder = Path(options.images) if options.images else path if path.is_dir() else path.parent
        if not folder.is_dir():
            raise DataError(f"The folder of pictures {folder} is not there; --images names another.")
        self._parser = Parser(self.columns, options.language, folder, inside=options.is_hub)

    def announce(self) -> None:
        """Say which columns were told by their names."""
        if text := str(guessed(self.options.columns, self.columns)):
            note(f"Columns of {self.path.name}, told by their names: {text} (--columns says otherwise)")

    @property
    def identity(self) -> dict[str, str]:
        """Rules, columns, and name, size and time of each file, also of pictures that are files of their own."""
        files = [(table.where, table.path) for table in self.tables]
        files += [(key, path) for key, path in self._scan.pictures.items() if path is not None]
        said = {"columns": str(self.columns), "language": self.options.language}
        return {
            "rules": RULES,
            "options": json.dumps(said, ensure_ascii=False),
            "files": digest(*stats(files)),
            "revision": self.revision,
        }

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """A task for each column of labels, its classes sorted."""
        return tuple(Task(task, tuple(sorted(names))) for task, names in self._scan.classes.items())

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self._scan.pictures)

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield each picture that a row names, once."""
        seen: set[str] = set()
        for row in self._rows():
            if isinstance(row, Parsed) and row.picture and row.picture.key not in seen:
                seen.add(row.picture.key)
                yield row.picture.key, row.picture.read

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield each row as an example, or why it is set aside."""
        splits, number = self._splits, 0
        for row in self._rows():
            if isinstance(row, Rejected):
                yield row
                continue
            yield Example(
                id=self._scan.example_id(row, number),
                text=row.text,
                language=row.language,
                split=splits[number],
                labels=row.labels,
                image=row.picture.key if row.picture else None,
                cluster=self._scan.cluster(number),
                slices=row.slices,
                metadata=row.metadata,
                where=row.where,
            )
            number += 1

    @cached_property
    def _scan(self) -> Scan:
        return Scan((row for row in self._rows() if isinstance(row, Parsed)), self.columns.label or ())

    @cached_property
    def _splits(self) -> list[str]:
        return self._scan.splits(self.path.name)

    def _rows(self) -> Iterator[Parsed | Rejected]:
        for table in self.tables:
            for row in table.rows():
                yield self._parser.parse(row, table) if isinstance(row, Row) else row
