"""Parquet, read in small batches; class labels of ``datasets`` come as their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.data.reading.row import Row, require_columns
from mmeval.errors import DataError

BATCH = 256
LARGEST_COLUMN, MOST_FOLD = 256 * 1024 * 1024, 200
"""A row group's column may be unpacked to more bytes than that only if it is not packed as tightly as a bomb is."""
MOST_ROWS = 100_000_000


def read_parquet(
    path: Path, where: str, *, required: Sequence[str] = (), columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Yield the records of a Parquet file.

    Args:
        path: the file.
        where: what messages call it.
        required: columns that must be there.
        columns: which ones to read; None: all. Images that aren't asked for aren't read.

    Raises:
        DataError: no whole Parquet file, a column that is missing or named twice, or a value that can't be read.
    """
    number = 0
    try:
        with pq.ParquetFile(str(path)) as file:
            schema = file.schema_arrow
            require_columns(schema.names, required, where)
            if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
                raise DataError(f"{where} has the column {twice[0]} twice.")
            names = class_names(schema)
            _require_declared_sizes(file.metadata, where)
            wanted = None if columns is None else [name for name in schema.names if name in columns]
            for batch in file.iter_batches(BATCH, columns=wanted):
                for cells in _records(batch, where, number):
                    number += 1
                    for column in names.keys() & cells.keys():
                        cells[column] = _name(names[column], cells[column], column, where, number)
                    yield Row(number, cells)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions.") from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(f"{where} can't be read after row {number}", error) from None


def _require_declared_sizes(footer: pq.FileMetaData, where: str) -> None:
    """Refuse what a few megabytes declare to be unpacked to; nothing is read yet.

    Raises:
        DataError: a column is a decompression bomb, or there are more rows than any table has.
    """
    if footer.num_rows > MOST_ROWS:
        raise DataError(f"{where} declares {footer.num_rows:,} rows, more than {MOST_ROWS:,}; split it.")
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            size, packed = column.total_uncompressed_size, column.total_compressed_size
            if size > LARGEST_COLUMN and size > MOST_FOLD * packed:
                raise DataError(
                    f"{where}: {column.path_in_schema} declares {size:,} bytes packed in {packed:,}, which no data "
                    "is; write it again with smaller row groups."
                )


def parquet_columns(path: Path, where: str) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: no whole Parquet file.
    """
    try:
        return list(pq.read_schema(str(path)).names)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(f"{where} can't be read", error) from None


def parquet_rows(path: Path) -> int:
    """Number of records, from the file's footer."""
    return int(pq.read_metadata(str(path)).num_rows)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """By column: the names of a ``ClassLabel`` feature, as ``datasets`` notes them in the schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _records(batch: pa.RecordBatch, where: str, done: int) -> list[dict[str, Any]]:
    """The records of a batch that comes after ``done`` others."""
    try:
        records: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError):
        for row in range(batch.num_rows):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                _value(column[row], name, where, done + row + 1)
        raise
    return records


def _value(cell: pa.Scalar, column: str, where: str, number: int) -> None:
    try:
        cell.as_py()
    except UnicodeDecodeError as error:
        bad = f"byte 0x{error.object[error.start]:02x} in row {number}, column {column}"
        raise DataError(f"{where} is not UTF-8 ({bad}); write it again as UTF-8.") from None
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}, row {number}: {column} can't be read ({error}); write it as text.") from None


def _damaged(what: str, error: Exception) -> DataError:
    said = " ".join(str(error).split()).rstrip(".")
    return DataError(f"{what} ({said}); fetch or write it again.")


def _name(names: list[str], value: int | None, column: str, where: str, number: int) -> str | None:
    if value is None or value == -1:  # how datasets marks a missing label
        return None
    if not 0 <= value < len(names):
        raise DataError(f"{where}, row {number}: {column} is {value}, but it has only {len(names)} names of classes.")
    return names[value]
