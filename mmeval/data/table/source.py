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
from mmeval.data.table.columns import inferred_columns, require_everywhere, resolve
from mmeval.data.table.delimiter import describe_delimiter
from mmeval.data.table.images import ImageFinder
from mmeval.data.table.options import TableOptions
from mmeval.data.table.parsing import ParsedRow, Parser
from mmeval.data.table.scan import Scan
from mmeval.data.table.tables import tables
from mmeval.errors import DataError, UserError
from mmeval.files import digest, sweep, write_text
from mmeval.home import home

RULES = "table-3"
"""The version of this package's rules, part of the identity of a table; changed rules need a new Store."""


class TableSource:
    """The source of ``table:PATH``.

    Each row is an example. A table without splits is split by a salted hash, stratified by the first task (small
    classes together). Rows that share an id, an image (the same file or the same bytes) or a value of ``group`` are in
    one split; without ids, also rows with the same text and image.
    """

    def __init__(self, options: TableOptions, path: Path, revision: str = "", root: Path | None = None) -> None:
        """Find the table's files and resolve its columns.

        Args:
            options: the table's options.
            path: the table on disk.
            revision: the commit of a Hub data set.
            root: the folder of a Hub data set.

        Raises:
            UserError: the files are missing, or the roles of the columns are unclear.
        """
        self.options, self.revision = options, revision
        self.where = options.source if options.is_hub else path.resolve().name
        self.tables = tables(path, options.source if options.is_hub else str(path), options.encoding)
        first = self.tables[0]
        given = {column for columns in options.columns.named().values() for column in columns}
        names = first.columns(given)
        self.columns = resolve(options.columns, names, first.where, fixed_language=bool(options.language))
        self._unread = "" if self.columns.language else resolve(options.columns, names, first.where).language
        require_everywhere(self.columns, self.tables)
        folder = Path(options.images) if options.images else root or (path if path.is_dir() else path.parent)
        if not folder.is_dir():
            raise DataError(f"There is no folder of images {folder}; set another one with --images.")
        default = language_option(options.language)
        self._finder = ImageFinder(folder, beside=not options.images, inside=options.is_hub)
        create_splits = options.columns.split == ""
        self._parser = Parser(self.columns, default.code if default else "", self._finder, create_splits)

    def announce(self) -> None:
        """Tell the user what was inferred: columns by their names, the delimiter, and unknown languages."""
        if text := str(inferred_columns(self.options.columns, self.columns)):
            note(f"Columns of {self.where}, inferred from their names: {text} (change them with --columns)")
        if description := describe_delimiter(self.tables[0].path, self.tables[0].delimiter):
            note(f"{self.tables[0].where} is {description}, like its header line")
        if self.options.language and self._unread:
            note(f"Languages of {self.where}: --language sets them for all rows; the column {self._unread} is not read")
        if not self.columns.language and not self.options.language:
            note(f"Languages of {self.where}: unknown (und); set them with --language de or --columns language=COLUMN")

    @property
    def identity(self) -> dict[str, str]:
        """Rules, columns, and the name, size and time of each file of the table and of its images.

        The names of the images are cached, so that an unchanged table need not be read. A Hub data set is identified by
        its commit; file times would only tell when it was downloaded.
        """
        times, files = not self.revision, [table.path.stat() for table in self.tables]
        stamps = [f"{status.st_size}\0{status.st_mtime_ns if times else ''}" for status in files]
        table_digest = digest(*(f"{table.where}\0{stamp}" for table, stamp in zip(self.tables, stamps, strict=True)))
        # "carve" is a name in existing Stores.
        given = {"columns": str(self.columns), "language": self.options.language, "carve": self._parser.create_splits}
        given |= {"encoding": self.options.encoding} if self.options.encoding else {}
        options = json.dumps(given, ensure_ascii=False)
        folders = [table.folder for table in self.tables]
        places = json.dumps([self.options.images, folders, self.revision])
        cache = home() / "tables" / "pictures" / f"{digest(RULES, options, table_digest, places)[:16]}.json"
        self._find_images(cache)
        all_files = digest(table_digest, *self._finder.stamps(times=times))
        return {"rules": RULES, "options": options, "files": all_files, "revision": self.revision}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """One task per label column, its classes sorted; a multi-label task if a cell has a list or the separator."""
        scan = self._scan
        return tuple(Task(task, tuple(sorted(names)), task in scan.multilabel) for task, names in scan.classes.items())

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self._scan.images)

    def images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield each image once; the table is read again only if it holds images itself."""
        images = self._scan.images
        if all(image.path for image in images.values()):
            yield from ((key, image.read) for key, image in images.items())
            return
        seen: set[str] = set()
        for row in self._rows():
            if isinstance(row, ParsedRow) and row.image and row.image.key not in seen:
                seen.add(row.image.key)
                yield row.image.key, row.image.read

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield each row as an example, or the reason for rejecting it."""
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
                labels={task: self._label(task, label) for task, label in row.labels.items()},
                image=row.image.key if row.image else None,
                cluster=self._scan.cluster(number),
                slices=row.slices,
                metadata=row.metadata,
                where=row.where,
            )
            number += 1

    def _label(self, task: str, label: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return (label,) if task in self._scan.multilabel and isinstance(label, str) else label

    def _find_images(self, cache: Path) -> None:
        """Find the file of every image, by the names in ``cache``; without a cache, the table is read for the names."""
        if "_scan" in self.__dict__:
            return
        try:
            self._finder.search((folder, name) for folder, name in json.loads(cache.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            _ = self._scan
            sweep(cache.parent)
            write_text(cache, json.dumps(self._finder.names()))

    @cached_property
    def _scan(self) -> Scan:
        columns = self.columns
        separator = columns.label_separator or ""
        scan = Scan(self._rows(), columns.label or (), self.where, columns.language or "", separator)
        if scan.multilabel:
            names = " and ".join(task for task in scan.classes if task in scan.multilabel)
            note(f"Labels of {self.where}: a row may have several classes of {names}, or none (multi-label)")
        for line in corrections(self._parser.languages):
            note(f"Languages of {self.where}: {line}")
        return scan

    @cached_property
    def _splits(self) -> list[str]:
        return self._scan.splits()

    def _rows(self) -> Iterator[ParsedRow | Rejected]:
        for table in self.tables:
            folder = table.folder
            for row in table.rows():
                yield self._parser.parse(row, table, folder) if isinstance(row, Row) else row


def language_option(option: str) -> Language | None:
    """Return the language that ``--language`` names, and tell the user about a correction; None without the option.

    Raises:
        UserError: the option does not name a language.
    """
    if not option:
        return None
    if reason := complaint(option):
        raise UserError(f"--language {option}: {reason}.")
    language = language_of(option)
    assert language, "complaint() is empty only for languages"
    for line in corrections({option: language}):
        note(f"--language {option}: {line}")
    return language
