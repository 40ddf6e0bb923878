"""A table as the source of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from mmeval.api.source import Example, Rejected
from mmeval.api.task import Task
from mmeval.console import note
from mmeval.data.languages import Language, complaint, corrections, language_of
from mmeval.data.reading.row import Row
from mmeval.data.table.columns import guessed, require_everywhere, resolve
from mmeval.data.table.delimiter import said_of_delimiter
from mmeval.data.table.images import Finder
from mmeval.data.table.options import TableOptions
from mmeval.data.table.parsing import Parsed, Parser
from mmeval.data.table.scan import Scan
from mmeval.data.table.tables import tables
from mmeval.errors import DataError, UserError
from mmeval.files import digest, sweep, write_text
from mmeval.home import home

RULES = "table-3"
"""Names what these modules do; part of the identity."""


class TableSource:
    """The source of ``table:PATH``.

    A row is an example. Without a column of splits they are carved by a salted hash, stratified by the first task
    (small classes together), over groups of rows that share an id, an image (the same file, or the same bytes) or a
    value of ``group``; without ids, also rows that hold the same.
    """

    def __init__(self, options: TableOptions, path: Path, revision: str = "", root: Path | None = None) -> None:
        """``path``: where the table is on disk; ``revision``, ``root``: commit and folder of a Hub data set.

        Raises:
            UserError: nothing is there, or the columns can't be told.
        """
        self.options, self.revision = options, revision
        self.where = options.source if options.is_hub else path.resolve().name
        self.tables = tables(path, options.source if options.is_hub else str(path), options.encoding)
        first = self.tables[0]
        said = {column for columns in options.columns.said().values() for column in columns}
        names = first.columns(said)
        self.columns = resolve(options.columns, names, first.where, fixed_language=bool(options.language))
        self._unread = "" if self.columns.language else resolve(options.columns, names, first.where).language
        require_everywhere(self.columns, self.tables)
        folder = Path(options.images) if options.images else root or (path if path.is_dir() else path.parent)
        if not folder.is_dir():
            raise DataError(f"The folder of images {folder} is not there; --images names another.")
        every = _language(options.language)
        self._finder = Finder(folder, beside=not options.images, inside=options.is_hub)
        carve = options.columns.split == ""
        self._parser = Parser(self.columns, every.code if every else "", self._finder, carve)

    def announce(self) -> None:
        """Say what nobody said: columns told by their names, the separator, that languages are unknown."""
        if text := str(guessed(self.options.columns, self.columns)):
            note(f"Columns of {self.where}, told by their names: {text} (--columns says otherwise)")
        if said := said_of_delimiter(self.tables[0].path, self.tables[0].delimiter):
            note(f"{self.tables[0].where} is {said}, as its header line is")
        if self.options.language and self._unread:
            note(f"Languages of {self.where}: --language says it of all rows, so the column {self._unread} is not read")
        if not self.columns.language and not self.options.language:
            note(f"Languages of {self.where}: none is said, so all is und (--language de, --columns language=COLUMN)")

    @property
    def identity(self) -> dict[str, str]:
        """Rules, columns, and name, size and time of each file, also of images that are files of their own.

        The names of those are kept, so that a table that hasn't changed isn't read for it. What the Hub keeps is
        told by its commit; times would only say when it was fetched.
        """
        times, files = not self.revision, [table.path.stat() for table in self.tables]
        stamps = [f"{one.st_size}\0{one.st_mtime_ns if times else ''}" for one in files]
        of_tables = digest(*(f"{table.where}\0{stamp}" for table, stamp in zip(self.tables, stamps, strict=True)))
        said = {"columns": str(self.columns), "language": self.options.language, "carve": self._parser.carve}
        said |= {"encoding": self.options.encoding} if self.options.encoding else {}
        options = json.dumps(said, ensure_ascii=False)
        folders = [table.folder for table in self.tables]
        places = json.dumps([self.options.images, folders, self.revision])
        kept = home() / "tables" / "pictures" / f"{digest(RULES, options, of_tables, places)[:16]}.json"
        self._find_images(kept)
        found = digest(of_tables, *self._finder.stamps(times=times))
        return {"rules": RULES, "options": options, "files": found, "revision": self.revision}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """A task for each column of labels, its classes sorted."""
        return tuple(Task(task, tuple(sorted(names))) for task, names in self._scan.classes.items())

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self._scan.images)

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield each image that a row names, once; the table is read only for images that it holds itself."""
        known = self._scan.images
        if all(one.path for one in known.values()):
            yield from ((key, one.read) for key, one in known.items())
            return
        seen: set[str] = set()
        for row in self._rows():
            if isinstance(row, Parsed) and row.image and row.image.key not in seen:
                seen.add(row.image.key)
                yield row.image.key, row.image.read

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield each row as an example, or why it is rejected."""
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
                image=row.image.key if row.image else None,
                cluster=self._scan.cluster(number),
                slices=row.slices,
                metadata=row.metadata,
                where=row.where,
            )
            number += 1

    def _find_images(self, kept: Path) -> None:
        """Look for every image's file: the names are those that are kept, else the table is read for them."""
        if "_scan" in self.__dict__:
            return
        try:
            self._finder.again((folder, name) for folder, name in json.loads(kept.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            _ = self._scan
            sweep(kept.parent)
            write_text(kept, json.dumps(self._finder.names()))

    @cached_property
    def _scan(self) -> Scan:
        found = Scan(self._rows(), self.columns.label or (), self.where, self.columns.language or "")
        for line in corrections(self._parser.languages):
            note(f"Languages of {self.where}: {line}")
        return found

    @cached_property
    def _splits(self) -> list[str]:
        return self._scan.splits()

    def _rows(self) -> Iterator[Parsed | Rejected]:
        for table in self.tables:
            folder = table.folder
            for row in table.rows():
                yield self._parser.parse(row, table, folder) if isinstance(row, Row) else row


def _language(said: str) -> Language | None:
    """What ``--language`` names, said where it is no code; None where nothing was said.

    Raises:
        UserError: it is no language.
    """
    if not said:
        return None
    if reason := complaint(said):
        raise UserError(f"--language {said}: {reason}.")
    found = language_of(said)
    assert found, "else there is a complaint"
    for line in corrections({said: found}):
        note(f"--language {said}: {line}")
    return found
