"""Reads a table of predictions in blocks, whatever its format, into columns of names and numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.source import Rejected
from mmeval.console import note
from mmeval.data.external.columns import (
    PROBABILITIES,
    PredictionColumns,
    require,
    require_roles,
    resolve,
    unused_text,
)
from mmeval.data.reading.files import PARQUET, table_suffix
from mmeval.data.reading.parquet import class_names, parquet_batches, parquet_rows, parquet_schema
from mmeval.data.reading.row import Row
from mmeval.data.table.delimiter import describe_delimiter
from mmeval.data.table.tables import Table, tables
from mmeval.errors import DataError

BLOCK = 16384
"""Rows that are converted at once."""
UNIQUE = ("id", "cluster")
"""Roles whose values mostly differ from row to row, so that they are stored as texts instead of numbers."""
LARGEST_WHOLE = 2**53
"""Beyond it a float is no exact whole number."""
ADVICE = "write one number between 0 and 1 per class"


@dataclass
class Names:
    """A column of names in which few are distinct: a number per row."""

    index: dict[str, int] = field(default_factory=dict)
    """The number of each name."""
    parts: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, values: pa.Array) -> None:
        """Append rows; null becomes -1."""
        encoded = values.dictionary_encode()
        numbers = [self.index.setdefault(name, len(self.index)) for name in encoded.dictionary.to_pylist()]
        table = np.array([*numbers, -1], np.int32)
        self.parts.append(table[np.asarray(encoded.indices.fill_null(len(numbers)))])

    @property
    def names(self) -> list[str]:
        """The distinct names, in the order of their first row."""
        return list(self.index)

    @property
    def codes(self) -> NDArray[np.int32]:
        """The number of each row's name, ``[n]``; -1 for an empty cell."""
        self.parts = [np.concatenate(self.parts)] if self.parts else [np.zeros(0, np.int32)]
        return self.parts[0]


@dataclass
class RawPredictions:
    """The cells of a table of predictions, row by row as the table has them."""

    where: str
    """The name of the table in messages."""
    columns: PredictionColumns
    numbers: NDArray[np.int64]
    """Number of each row in the table, from 1, ``[n]``."""
    texts: Mapping[str, pa.ChunkedArray]
    """Id, and cluster if there is one: a string per row."""
    names: Mapping[str, Names]
    """All other roles that hold names."""
    matrix: NDArray[np.float32] | None
    """Probabilities ``[n, classes]`` of a table with a column per class, in the order of ``columns.classes``; NaN for
    an empty cell."""
    flat: NDArray[np.float32] | None
    """The lists of probabilities of a table with a list per row, one after the other."""
    lengths: NDArray[np.int64] | None
    """The length of each row's list, ``[n]``; -1 for an empty cell."""
    class_names: tuple[str, ...]
    """The class names that the table declares for its column of true classes (``ClassLabel`` of ``datasets``)."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    def row(self, index: int) -> str:
        """Return the name of a row in messages: ``predictions.csv, row 3``."""
        return f"{self.where}, row {self.numbers[index]}"


def read_predictions_table(
    source: Path | pa.Table,
    given: Mapping[str, str],
    required: Sequence[str],
    encoding: str = "",
) -> RawPredictions:
    """Read a table of predictions: Parquet, CSV, TSV, JSON Lines, or an Arrow table.

    Args:
        source: the file or table.
        given: column by role, as the user maps them; all others have the names of the roles.
        required: roles that need a column.
        encoding: the encoding of a text file; empty for UTF-8.

    Raises:
        UserError: a mapped column does not exist.
        DataError: the file is missing, damaged or empty, a column is missing, or a cell can't be used; the message
            names file and row.
    """
    require_roles(given)
    if isinstance(source, pa.Table):
        batches = source.to_batches(max_chunksize=BLOCK)
        return _read_arrow(batches, source.schema, "the table", given, required, len(source))
    (table,) = tables(source, encoding=encoding) if not source.is_dir() else [None]
    if table is None:
        raise DataError(f"{source} is a folder, not a file of predictions.")
    where = source.name
    if table_suffix(source) == PARQUET:
        schema = parquet_schema(source, where)
        columns = resolve(given, schema.names, where)
        batches = parquet_batches(source, where, columns=columns.all, rows=BLOCK)
        return _read_arrow(batches, schema, where, given, required, parquet_rows(source))
    if separator := describe_delimiter(source, table.delimiter):
        note(f"{where}: {separator}")
    return _read_rows(table, given, required)


def _read_arrow(
    batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch],
    schema: pa.Schema,
    where: str,
    given: Mapping[str, str],
    required: Sequence[str],
    rows: int,
) -> RawPredictions:
    if duplicates := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise DataError(f"{where} has the column {duplicates[0]} twice.")
    columns = _resolved(given, schema.names, where, required)
    labels = class_names(schema)
    collector = _Collector(where, columns, tuple(labels.get(columns.texts.get("true", ""), ())), rows)
    start = 1
    for batch in batches:
        numbers = np.arange(start, start + len(batch), dtype=np.int64)
        place = _Place(where, numbers)
        texts = {
            role: _strings(batch.column(name), name, place, labels.get(name)) for role, name in columns.texts.items()
        }
        matrix = lists = None
        if columns.classes:
            parts = [_floats(batch.column(name), name, place) for name in columns.classes.values()]
            matrix = np.stack(parts, 1) if len(batch) else np.zeros((0, len(parts)))
        if columns.lists:
            lists = _lists(batch.column(columns.lists), columns.lists, place)
        collector.add(numbers, texts, matrix, lists)
        start += len(batch)
    return collector.finish()


def _read_rows(table: Table, given: Mapping[str, str], required: Sequence[str]) -> RawPredictions:
    where = table.where
    names = _keys(table) if table.loose else table.columns()
    columns = _resolved(given, names, where, required, nested=table.loose)
    collector = _Collector(where, columns, ())
    rows = _usable(table)
    while block := list(islice(rows, BLOCK)):
        numbers = np.array([row.number for row in block], np.int64)
        place = _Place(where, numbers)
        texts = {
            role: pa.array([_text(_cell(row, name), name, where, row.number) for row in block], pa.string())
            for role, name in columns.texts.items()
        }
        matrix = lists = None
        if columns.classes:
            matrix = _numbers(
                [[_cell(row, name) for name in columns.classes.values()] for row in block], columns, place
            )
        if columns.lists:
            values = [_list(_cell(row, columns.lists), columns.lists, where, row.number) for row in block]
            lengths = np.array([-1 if value is None else len(value) for value in values], np.int64)
            lists = np.array([number for value in values if value for number in value], np.float64), lengths
        collector.add(numbers, texts, matrix, lists)
    for role, column in given.items():
        # A path into nested objects is known to be wrong only when no row has it.
        if "." in column and column not in names and collector.is_empty(role):
            raise DataError(f"--columns {role}={column}: no row of {where} has a value there.")
    return collector.finish()


def _resolved(
    given: Mapping[str, str], names: Sequence[str], where: str, required: Sequence[str], *, nested: bool = False
) -> PredictionColumns:
    columns = resolve(given, names, where, nested=nested)
    require(columns, names, where, required)
    if text := unused_text(columns):
        note(f"{where}: {text}")
    return columns


def _keys(table: Table) -> list[str]:
    """Return the keys of all records of a JSON Lines file: any row may have a key that the first ones lack.

    Raises:
        DataError: there is no row, or a line can't be used.
    """
    keys: dict[str, None] = {}
    for row in _usable(table):
        keys.update(dict.fromkeys(row.cells))
    if not keys:
        raise DataError(f"{table.where} holds no rows.")
    return list(keys)


def _usable(table: Table) -> Iterator[Row]:
    for row in table.rows():
        if isinstance(row, Rejected):
            raise DataError(f"{row.where}: {row.reason}; correct that row, no row of predictions may be left out.")
        yield row


class _Collector:
    """Blocks of rows, joined at the end."""

    def __init__(self, where: str, columns: PredictionColumns, classes: tuple[str, ...], rows: int = 0) -> None:
        """Prepare for about ``rows`` rows; 0 if their number is not known."""
        self.where, self.columns, self.classes = where, columns, classes
        self.numbers: list[NDArray[np.int64]] = []
        self.texts: dict[str, list[pa.Array]] = {role: [] for role in UNIQUE if role in columns.texts}
        self.names = {role: Names() for role in columns.texts if role not in UNIQUE}
        self.values = _Growing(rows)
        self.lengths: list[NDArray[np.int64]] = []

    def add(
        self,
        numbers: NDArray[np.int64],
        texts: Mapping[str, pa.Array],
        matrix: NDArray[np.floating] | None,
        lists: tuple[NDArray[np.floating], NDArray[np.int64]] | None,
    ) -> None:
        self.numbers.append(numbers)
        for role, values in texts.items():
            if role in UNIQUE:
                self.texts[role].append(values)
            else:
                self.names[role].add(values)
        if matrix is not None:
            self.values.add(matrix, len(matrix))
        if lists is not None:
            self.values.add(lists[0], len(lists[1]))
            self.lengths.append(lists[1])

    def is_empty(self, role: str) -> bool:
        if role in UNIQUE:
            return all(part.null_count == len(part) for part in self.texts[role])
        if role == PROBABILITIES:
            return all((part < 0).all() for part in self.lengths)
        return role in self.names and not self.names[role].index

    def finish(self) -> RawPredictions:
        numbers = np.concatenate(self.numbers) if self.numbers else np.zeros(0, np.int64)
        if not len(numbers):
            raise DataError(f"{self.where} holds no rows.")
        has_lists = bool(self.columns.lists)
        values = self.values.array() if has_lists or self.columns.classes else None
        return RawPredictions(
            where=self.where,
            columns=self.columns,
            numbers=numbers,
            texts={role: pa.chunked_array(parts, pa.string()) for role, parts in self.texts.items()},
            names=self.names,
            matrix=None if has_lists else values,
            flat=values if has_lists else None,
            lengths=np.concatenate(self.lengths) if has_lists else None,
            class_names=self.classes,
        )


class _Growing:
    """A float32 array to which blocks are appended; with the number of rows known, nothing is copied or held twice."""

    def __init__(self, rows: int) -> None:
        self.rows, self.filled = rows, 0
        self.values: NDArray[np.float32] | None = None

    def add(self, block: NDArray[np.floating], rows: int) -> None:
        """Append a block, ``[k]`` or ``[k, classes]``, of a number of rows of the table."""
        if self.values is None:
            # Memory that is not written to is not used.
            capacity = math.ceil(self.rows * len(block) / max(rows, 1)) if self.rows else len(block)
            self.values = np.empty((capacity, *block.shape[1:]), np.float32)
        needed = self.filled + len(block)
        if needed > len(self.values):
            larger = np.empty((max(needed, 2 * len(self.values)), *block.shape[1:]), np.float32)
            larger[: self.filled] = self.values[: self.filled]
            self.values = larger
        self.values[self.filled : needed] = block
        self.filled = needed

    def array(self) -> NDArray[np.float32]:
        """Return everything that was appended."""
        return np.zeros(0, np.float32) if self.values is None else self.values[: self.filled]


@dataclass(frozen=True)
class _Place:
    """The rows of a block, for messages."""

    where: str
    numbers: NDArray[np.int64]

    def __getitem__(self, index: int) -> str:
        return f"{self.where}, row {self.numbers[index]}"


def _strings(column: pa.Array, name: str, place: _Place, labels: Sequence[str] | None) -> pa.Array:
    """Return a column of an Arrow table as stripped strings; null for an empty cell."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        column = pa.array(
            [
                _text(cell, name, place.where, number)
                for cell, number in zip(column.to_pylist(), place.numbers, strict=True)
            ],
            pa.string(),
        )
    elif pa.types.is_boolean(kind):
        column = pc.if_else(column, "True", "False")
    elif pa.types.is_floating(kind):
        # pandas writes whole numbers as floats where one is missing.
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        is_whole = pc.all(pc.equal(pc.floor(column), column)).as_py()
        if is_whole and (pc.max(pc.abs(column)).as_py() or 0) <= LARGEST_WHOLE:
            column = column.cast(pa.int64())
    elif labels is not None:
        return pa.array(
            [_label(labels, cell, name, place[row]) for row, cell in enumerate(column.to_pylist())], pa.string()
        )
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(f"{place.where}: the column {name} holds {kind}, not a text; write it as text.")
    try:
        column = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{place.where}: the column {name} holds {kind}, not a text; write it as text.") from None
    stripped = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(stripped, ""), pa.scalar(None, pa.string()), stripped)


def _label(labels: Sequence[str], cell: int | None, name: str, where: str) -> str | None:
    if cell is None or cell == -1:  # datasets writes -1 for a missing label
        return None
    if not 0 <= cell < len(labels):
        raise DataError(f"{where}: {name} is {cell}, but it has only {len(labels)} class names.")
    return labels[cell]


def _floats(column: pa.Array, name: str, place: _Place) -> NDArray[np.float64]:
    """Return a column of numbers ``[n]``; NaN for an empty cell."""
    try:
        floats = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        cells = column.to_pylist()
        return np.array([_number(cell, name, place[row]) for row, cell in enumerate(cells)])
    return np.asarray(floats.to_numpy(zero_copy_only=False), np.float64)


def _lists(column: pa.Array, name: str, place: _Place) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the numbers of all lists one after the other, and the length of each list, -1 for an empty cell."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = [_list(cell, name, place.where, place.numbers[row]) for row, cell in enumerate(column.to_pylist())]
        flat = np.array([number for value in values if value for number in value], np.float64)
        return flat, np.array([-1 if value is None else len(value) for value in values], np.int64)
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"{place.where}: the column {name} holds {kind}, not lists of probabilities.")
    lengths = np.asarray(pc.list_value_length(column).cast(pa.int64()).fill_null(-1))
    flat = _floats(column.flatten(), name, _Place(place.where, np.repeat(place.numbers, np.maximum(lengths, 0))))
    return flat, lengths


def _cell(row: Row, column: str) -> Any:  # noqa: ANN401 - what a table holds
    """Return a cell; ``doc.language`` and ``choices.0.text`` name values inside JSON objects and lists."""
    if column in row.cells or "." not in column:
        return row.cells.get(column)
    value: Any = row.cells
    for word in column.split("."):
        if isinstance(value, dict):
            value = value.get(word)
        elif isinstance(value, list) and word.isdecimal() and int(word) < len(value):
            value = value[int(word)]
        else:
            return None
    return value


def _text(cell: Any, column: str, where: str, number: int) -> str | None:  # noqa: ANN401 - what a table holds
    """Return a cell as stripped text; None for an empty one. A list may hold one value."""
    if isinstance(cell, list):
        if len(cell) > 1:
            raise DataError(f"{where}, row {number}: {column} holds {len(cell)} values, not one.")
        cell = cell[0] if cell else None
    if cell is None or cell != cell:
        return None
    if isinstance(cell, dict | bytes | list):
        kind = {dict: "an object", bytes: "bytes", list: "a list of lists"}[type(cell)]
        raise DataError(f"{where}, row {number}: {column} holds {kind}, not a text.")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip() or None


def _numbers(cells: list[list[Any]], columns: PredictionColumns, place: _Place) -> NDArray[np.float64]:
    """Return rows of probabilities ``[n, classes]``; NaN for an empty cell."""
    try:
        return np.array(cells, np.float64).reshape(len(cells), len(columns.classes))
    except (ValueError, TypeError):
        names = list(columns.classes.values())
        return np.array(
            [
                [_number(cell, name, place[row]) for name, cell in zip(names, of_row, strict=True)]
                for row, of_row in enumerate(cells)
            ]
        )


def _number(cell: Any, column: str, where: str) -> float:  # noqa: ANN401 - what a table holds
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return math.nan
    try:
        return float(cell)
    except (ValueError, TypeError, OverflowError):
        hint = "; write a decimal point" if isinstance(cell, str) and "," in cell else f"; {ADVICE}"
        raise DataError(f'{where}: {column} is "{cell}", not a number{hint}.') from None


def _list(cell: Any, column: str, where: str, number: int) -> list[float] | None:  # noqa: ANN401
    """Return a list of probabilities, or None for an empty cell; text may hold a JSON list."""
    if isinstance(cell, str):
        if not cell.strip():
            return None
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            raise DataError(
                f"{where}, row {number}: {column} is no list such as [0.2, 0.8]; write it so, or write one column "
                "p:CLASS per class."
            ) from None
    if cell is None:
        return None
    if not isinstance(cell, list):
        raise DataError(f"{where}, row {number}: {column} is no list of numbers; {ADVICE}.")
    return [_number(value, column, f"{where}, row {number}") for value in cell]
