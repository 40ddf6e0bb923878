"""New rows for a model: a table on disk or in memory, read and parsed as in training, but without labels."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmeval.api.source import Rejected
from mmeval.api.task import Task
from mmeval.console import note
from mmeval.data.images import rgb
from mmeval.data.languages import corrections
from mmeval.data.prepare.image import convert, needs_reduction
from mmeval.data.reading.files import PARQUET, table_suffix
from mmeval.data.reading.parquet import parquet_rows
from mmeval.data.reading.row import Row
from mmeval.data.request import TABLE
from mmeval.data.table.columns import inferred_columns, require_everywhere, resolve
from mmeval.data.table.delimiter import describe_delimiter
from mmeval.data.table.images import ImageFinder, ImageReference
from mmeval.data.table.options import Columns, parse_columns
from mmeval.data.table.parsing import ParsedRow, Parser
from mmeval.data.table.source import language_option
from mmeval.data.table.tables import Table, tables
from mmeval.errors import DataError, UserError
from mmeval.protocol import Inputs
from mmeval.record import Record

MEMORY = "the table"
"""Name of a table in memory in messages."""


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """Options of new rows, as a user gives them."""

    columns: str = ""
    """The role of each column, as typed after ``--columns``; for the other roles the run's own columns."""
    language: str = ""
    """The language of rows without a value in the language column."""
    images: Path | None = None
    """The folder that image paths start from; None for the table's folder."""
    encoding: str = ""
    """The encoding of a text file; empty for UTF-8."""


@dataclass(frozen=True)
class RunColumns:
    """The columns that the data of a run had, as far as new rows need them."""

    run: str
    """The name of the run in messages."""
    columns: Columns
    """Image, text, language and id; None where they are inferred from the names."""
    language: str
    """The language of all rows, if the run had one."""
    encoding: str
    attributes: tuple[str, ...]
    """Further inputs of the model, which are columns of the same name."""
    inputs: Inputs

    @classmethod
    def of(cls, record: Record, attributes: Sequence[str], inputs: Inputs) -> RunColumns:
        """Return the columns that a record tells; those of a data set that is no table are inferred from names."""
        identity, options = record.data.get("identity"), record.dataset_options
        columns, language, encoding = "", "", ""
        if options:
            columns, language, encoding = options.columns, options.language, options.encoding
        inferred = False
        if isinstance(identity, Mapping) and str(identity.get("rules", "")).startswith("table-"):
            try:
                given = json.loads(identity["options"])
                resolved = parse_columns(given["columns"])
                columns, language, inferred = given["columns"], given["language"], True
                encoding = given.get("encoding", encoding)
            except (ValueError, KeyError, TypeError, UserError):
                pass  # a column whose name can't be typed after --columns
        try:
            resolved = parse_columns(columns)
        except UserError:
            resolved = Columns()
        # A table without images has taught the model nothing about them, even if new rows have some.
        none = {"image": "", "text": ()} if inferred else {}
        kept = {role: getattr(resolved, role) for role in ("image", "text", "language", "id", "label_separator")}
        kept = {role: none.get(role) if columns is None else columns for role, columns in kept.items()}
        return cls(record.name, Columns(**kept), language, encoding, tuple(attributes), inputs)


class NewRows:
    """The rows to classify, in their order; labels, splits and groups are not read."""

    def __init__(self, source: object, of_run: RunColumns, options: RowOptions, scored: Sequence[Task] = ()) -> None:
        """Find the files and the columns.

        Args:
            source: a file or folder, an Arrow table or data frame, or a list of records.
            of_run: the columns of the run.
            options: the user's options.
            scored: the tasks whose labels are read, for scores.

        Raises:
            UserError: the files are missing, or the roles of the columns are unclear.
        """
        path = _path(source)
        encoding = options.encoding or of_run.encoding
        if path is not None and table_suffix(path) == PARQUET and not options.encoding:
            encoding = ""
        self.path = path
        self.tables = [_MemoryTable.of(source)] if path is None else tables(path, str(path), encoding)
        self.where = MEMORY if path is None else path.resolve().name
        language = options.language or of_run.language
        self.labels: dict[str, str] = {}
        """The column of labels by task, if labels are read."""
        self.columns = self._columns(of_run, options, scored, fixed_language=bool(language))
        require_everywhere(self.columns, self.tables)
        if options.images is not None and not options.images.is_dir():
            raise DataError(f"There is no folder of images {options.images}; set another one with --images.")
        folder = options.images or (Path() if path is None else path if path.is_dir() else path.parent)
        self.reads_images = of_run.inputs.image and bool(self.columns.image)
        self.folder = folder
        self.language = language
        finder = ImageFinder if self.reads_images else _UnreadImages
        self._finder = finder(folder, beside=options.images is None)
        default = language_option(language)
        self._parser = Parser(self.columns, default.code if default else "", self._finder, True, lenient=True)
        names = {*itertools.chain(*self.columns.named().values()), *of_run.attributes}
        self._needed = tuple(names)
        self.attributes = of_run.attributes
        self._folders = {id(table): table.folder for table in self.tables}

    def count(self) -> int:
        """Return the number of rows: from the footers of Parquet files, else by reading the table."""
        if self.path is not None and table_suffix(self.tables[0].path) == PARQUET:
            return sum(parquet_rows(table.path) for table in self.tables)
        return sum(sum(1 for _ in table.rows()) for table in self.tables)

    def parsed(self, start: int = 0, stop: int | None = None) -> Iterator[NewRow | Rejected]:
        """Yield the rows from number ``start`` (from 0) up to ``stop``, parsed or rejected."""
        done = 0
        for table in self.tables:
            skip = 0
            if table_suffix(table.path) == PARQUET:
                skip = min(max(start - done, 0), parquet_rows(table.path))
            number = done + skip
            for row in table.rows(self._needed, skip):
                if stop is not None and number >= stop:
                    return
                if number >= start:
                    yield self._parse(row, table)
                number += 1
            done = number

    def forget(self) -> None:
        """Empty caches that would grow with the rows."""
        self._finder.forget()

    def announce(self) -> None:
        """Tell the user, after all rows, which languages were corrected and which values are no language."""
        for line in corrections(self._parser.languages):
            note(f"Languages of {self.where}: {line}")
        if unknown := self._parser.unknown:
            value, _ = unknown.most_common(1)[0]
            rows = sum(unknown.values())
            note(
                f"Languages of {self.where}: {rows:,} row{'s' if rows != 1 else ''} with a value that is no language "
                f'("{value}") count as und'
            )

    def _parse(self, row: Row | Rejected, table: Table) -> NewRow | Rejected:
        if isinstance(row, Rejected):
            return row
        parsed = self._parser.parse(row, table, self._folders[id(table)])
        if isinstance(parsed, Rejected):
            return parsed
        attributes = {name: str(row.cells.get(name) or "") for name in self.attributes}
        return NewRow(parsed, attributes)

    def _columns(
        self, of_run: RunColumns, options: RowOptions, scored: Sequence[Task], *, fixed_language: bool
    ) -> Columns:
        """Return the columns of every role: the user's, else the run's, else those that the names suggest.

        Raises:
            UserError: the table lacks a column that the model needs.
        """
        typed, first = parse_columns(options.columns), self.tables[0]
        if typed.language:
            fixed_language = False
        named = {*itertools.chain(*typed.named().values(), *of_run.columns.named().values())}
        names = first.columns(named)
        own = self._run_columns(of_run, typed, names)
        self.labels = self._labels(scored, typed, names) if scored else {}
        given: dict[str, Any] = {"label": tuple(self.labels.values()), "split": "", "group": "", "slice": ()}
        given |= {"metadata": (), "label_separator": typed.label_separator or of_run.columns.label_separator}
        for role in ("image", "text", "language", "id"):
            chosen = getattr(typed, role)
            given[role] = own[role] if chosen is None else chosen
        columns = Columns.model_validate(given)
        resolved = resolve(columns, names, first.where, fixed_language=fixed_language, labelled=False)
        self._require_inputs(of_run, resolved, names)
        if text := str(inferred_columns(columns, resolved)):
            note(f"Columns of {self.where}, inferred from their names: {text} (change them with --columns)")
        if self.path is not None and (description := describe_delimiter(first.path, first.delimiter)):
            note(f"{first.where} is {description}, like its header line")
        return resolved

    def _run_columns(self, of_run: RunColumns, typed: Columns, names: Sequence[str]) -> dict[str, Any]:
        """Return the run's column of each role that the table has.

        Raises:
            UserError: the table lacks a column of images or texts that the model needs.
        """
        own: dict[str, Any] = {role: getattr(of_run.columns, role) for role in ("image", "text", "language", "id")}
        for role, columns in of_run.columns.named().items():
            missing = [name for name in columns if name not in names]
            if not missing or getattr(typed, role) is not None:
                continue
            # A JSON object may leave out a text that it lacks.
            partly = self.tables[0].loose and len(missing) < len(columns)
            if getattr(of_run.inputs, role, False) and not partly:
                raise UserError(
                    f'{self.where} has no column "{missing[0]}", which held {role}s in the data of the run '
                    f"{of_run.run}; name the column that holds them with --columns {role}=NAME, or leave them out with "
                    f"--columns {role}=. Its columns are {', '.join(names)}."
                )
            own[role] = tuple(name for name in columns if name in names) if role == "text" else None
            if role in ("id", "language"):
                note(
                    f'{self.where} has no column "{missing[0]}", the {role} in the data of the run {of_run.run}; set '
                    f"another with --columns {role}=NAME"
                )
        return own

    def _labels(self, tasks: Sequence[Task], typed: Columns, names: Sequence[str]) -> dict[str, str]:
        """Return the column of labels by task: the user's, else columns that are called as the tasks.

        Raises:
            UserError: there is none, or the user names more columns than the model has tasks.
        """
        given = typed.label or ()
        if len(given) > len(tasks):
            raise UserError(f"--columns label={'+'.join(given)}: the model has only {_count(len(tasks), 'task')}.")
        by_name = {task.name: task.name for task in tasks if task.name in (given or names)}
        if given and len(by_name) < len(given):
            return {task.name: column for task, column in zip(tasks, given, strict=False)}
        if not by_name:
            tried = " or ".join(task.name for task in tasks)
            raise UserError(
                f"--score: {self.where} has no column of labels called {tried}; name it with --columns label=NAME."
            )
        return by_name

    def _require_inputs(self, of_run: RunColumns, columns: Columns, names: Sequence[str]) -> None:
        used = [role for role in ("image", "text") if getattr(of_run.inputs, role)]
        lacking = [role for role in used if not getattr(columns, role)]
        if lacking == used:
            many = " or ".join(f"{role}s" for role in used)
            raise UserError(
                f"{self.where}: the model sees {many}; which column holds them? Name it: "
                f"--columns {','.join(f'{role}=NAME' for role in used)}. Its columns are {', '.join(names)}."
            )
        if unknown := [name for name in of_run.attributes if name not in names]:
            note(f"{self.where} has no column {' or '.join(unknown)}, which the model sees too: it counts as unknown")
        for role in lacking:
            note(f"{self.where} has no {role}s: the model predicts without them (name a column with --columns {role}=)")


@dataclass(frozen=True)
class NewRow:
    """A row that can be read, and the values of its attributes."""

    parsed: ParsedRow
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of the table, else file and row number, as in training."""
        return self.parsed.id or self.parsed.where


def image_source(image: object) -> bytes | Path:
    """Return an image as bytes, or as the path of its file.

    Args:
        image: bytes, a path, a PIL image, or pixels uint8 ``[H, W, 3]`` or ``[H, W]``.

    Raises:
        UserError: it is none of these.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | Path):
        return Path(image)
    pixels = _pixels(image)
    if pixels is None:
        raise UserError(f"An image must be bytes, a path, a PIL image or pixels, not a {type(image).__name__}.")
    return _encoded(pixels)


def is_missing(value: object) -> bool:
    """Return whether a value stands for a missing cell: None, NaN (as in data frames), or an empty text."""
    return value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value)


def _pixels(image: object) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    from PIL import Image, ImageOps

    if isinstance(image, np.ndarray):
        return image
    return rgb(ImageOps.exif_transpose(image)) if isinstance(image, Image.Image) else None


def _encoded(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """Return pixels as an image file: as PNG, so that none is changed; too large ones are reduced as in training.

    The prediction is then that of the file from which the pixels come.
    """
    from PIL import Image

    if needs_reduction(pixels):
        return convert(pixels).data
    file = io.BytesIO()
    Image.fromarray(rgb(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()


class _UnreadImages(ImageFinder):
    """Tells only whether a row has an image, for a model that sees none."""

    def find(self, cell: Any, beside: str) -> ImageReference | None:  # noqa: ANN401, ARG002 - what a table holds
        present = cell is not None and cell == cell and cell not in ("", [], {})
        return ImageReference("unread") if present else None


@dataclass(frozen=True)
class _MemoryTable(Table):
    """A table in memory."""

    source: Sequence[Mapping[str, Any]] | pa.Table = ()

    @classmethod
    def of(cls, source: object) -> _MemoryTable:
        """Return a table of records, of an Arrow table, or of a data frame.

        Raises:
            UserError: it is none of these.
        """
        empty = cls(Path(), MEMORY, "", "")
        if isinstance(source, Mapping):
            return replace(empty, source=_arrow(source))
        if isinstance(source, Sequence) and not isinstance(source, str | bytes):
            if bad := [type(record).__name__ for record in source if not isinstance(record, Mapping)]:
                raise UserError(f"The rows must be mappings of column to value; one is a {bad[0]}.")
            return replace(empty, source=source)
        if hasattr(source, "__arrow_c_stream__") or isinstance(source, pa.RecordBatch):
            try:
                return replace(empty, source=_arrow(source))
            except UserError:
                if not hasattr(source, "to_dict"):
                    raise
        if hasattr(source, "to_dict"):  # a data frame of pandas with a column of images
            return replace(empty, source=source.to_dict("records"))
        kind = type(source).__name__
        raise UserError(f"The rows must be a file, a data frame, an Arrow table or a list of records, not a {kind}.")

    @property
    def loose(self) -> bool:
        return not isinstance(self.source, pa.Table)

    def rows(self, columns: Sequence[str] | None = None, start: int = 0) -> Iterator[Row | Rejected]:  # noqa: ARG002
        if isinstance(self.source, pa.Table):
            held = self.source.select([name for name in self.source.column_names if not columns or name in columns])
            records: Iterator[Any] = (record for batch in held.to_batches(256) for record in batch.to_pylist())
        else:
            records = iter(self.source)
        for number, record in enumerate(records, start=1):
            yield Row(number, {str(name): _cell(value) for name, value in record.items()})

    def columns(self, named: Any = ()) -> list[str]:  # noqa: ANN401, ARG002 - as of a file
        if isinstance(self.source, pa.Table):
            return list(self.source.column_names)
        keys = dict.fromkeys(str(key) for record in self.source for key in record)
        if not keys:
            raise DataError("The table holds no rows.")
        return list(keys)


def _cell(value: Any) -> Any:  # noqa: ANN401 - what a table holds
    if isinstance(value, str | bytes | int | float | list | dict) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype != np.uint8:
        return value.tolist()
    pixels = _pixels(value)
    return value if pixels is None else _encoded(pixels)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _arrow(source: Any) -> pa.Table:  # noqa: ANN401 - whatever Arrow accepts
    try:
        if isinstance(source, pa.RecordBatch):
            return pa.Table.from_batches([source])
        return source if isinstance(source, pa.Table) else pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"The table can't be read as Arrow columns ({reason}).") from None


def _path(source: object) -> Path | None:
    if not isinstance(source, str | Path):
        return None
    return Path(str(source).removeprefix(TABLE)).expanduser()
