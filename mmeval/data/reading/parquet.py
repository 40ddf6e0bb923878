"""A strict reader of Parquet that turns the class labels of ``datasets`` into their names."""

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
BUFFER = 1024 * 1024
LARGEST_COLUMN, LARGEST_RATIO = 256 * 1024 * 1024, 200
"""A column of a row group with more bytes than this and a higher compression ratio is a decompression bomb."""
MOST_ROWS = 100_000_000


def read_parquet(
    path: Path, where: str, *, required: Sequence[str] = (), columns: Sequence[str] | None = None, start: int = 0
) -> Iterator[Row]:
    """Yield the records of a Parquet file, in batches; a ``ClassLabel`` of ``datasets`` comes as its name.

    Args:
        path: the file.
        where: the name of the file in messages.
        required: columns that must exist.
        columns: the columns to read; None for all. Leave out a column of images to avoid reading its bytes.
        start: the number of records to skip; row groups before them are not read.

    Raises:
        DataError: the file is not Parquet or is damaged, a column is missing or duplicated, a value can't be converted,
            or the file is a decompression bomb.
    """
    number = 0
    try:
        # With a buffer, a column of a row group is read as its pages are needed, not as a whole.
        with pq.ParquetFile(str(path), buffer_size=BUFFER) as file:
            schema = file.schema_arrow
            require_columns(schema.names, required, where)
            if duplicates := sorted({name for name in schema.names if schema.names.count(name) > 1}):
                raise DataError(f"{where} has the column {duplicates[0]} twice.")
            classes = class_names(schema)
            _require_plausible_sizes(file.metadata, where)
            selected = None if columns is None else [name for name in schema.names if name in columns]
            groups, number = _row_groups(file.metadata, start)
            for batch in file.iter_batches(BATCH, row_groups=groups, columns=selected):
                for cells in _records(batch, where, number):
                    number += 1
                    if number <= start:
                        continue
                    for column in classes.keys() & cells.keys():
                        cells[column] = _named(classes[column], cells[column], column, where, number)
                    yield Row(number, cells)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions.") from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(f"{where} can't be read after row {number}", error) from None


def _row_groups(footer: pq.FileMetaData, start: int) -> tuple[list[int], int]:
    """Return the row groups from the one that holds record ``start``, and the number of records before them."""
    skipped = 0
    for group in range(footer.num_row_groups):
        if skipped + footer.row_group(group).num_rows > start:
            return list(range(group, footer.num_row_groups)), skipped
        skipped += footer.row_group(group).num_rows
    return [], skipped


def parquet_batches(path: Path, where: str, *, columns: Sequence[str], rows: int = BATCH) -> Iterator[pa.RecordBatch]:
    """Yield the records of a Parquet file as Arrow batches, for files with too many rows for Python objects.

    Args:
        path: the file.
        where: the name of the file in messages.
        columns: the columns to read.
        rows: rows per batch.

    Raises:
        DataError: the file is damaged, or is a decompression bomb.
    """
    done = 0
    try:
        with pq.ParquetFile(str(path)) as file:
            _require_plausible_sizes(file.metadata, where)
            for batch in file.iter_batches(rows, columns=list(columns)):
                batch.validate(full=True)
                yield batch
                done += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(f"{where} can't be read after row {done}", error) from None


def _require_plausible_sizes(footer: pq.FileMetaData, where: str) -> None:
    """Refuse decompression bombs by the sizes that the footer declares, before any data is read.

    Raises:
        DataError: a column expands too much, or the file declares more rows than any table has.
    """
    if footer.num_rows > MOST_ROWS:
        raise DataError(f"{where} declares {footer.num_rows:,} rows, more than {MOST_ROWS:,}; split it.")
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            size, compressed = column.total_uncompressed_size, column.total_compressed_size
            if size > LARGEST_COLUMN and size > LARGEST_RATIO * compressed:
                raise DataError(
                    f"{where}: {column.path_in_schema} declares {size:,} bytes compressed to {compressed:,}, as "
                    "decompression bombs do; write the file again with smaller row groups."
                )


def parquet_columns(path: Path, where: str) -> list[str]:
    """Return the names of a Parquet file's columns; ``where`` is the name of the file in messages.

    Raises:
        DataError: the file is missing, damaged or not Parquet.
    """
    return list(parquet_schema(path, where).names)


def parquet_schema(path: Path, where: str) -> pa.Schema:
    """Return the schema of a Parquet file; ``where`` is the name of the file in messages.

    Raises:
        DataError: the file is missing, damaged or not Parquet.
    """
    try:
        return pq.read_schema(str(path))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(f"{where} can't be read", error) from None


def parquet_rows(path: Path) -> int:
    """Return the number of records, from the file's footer."""
    return int(pq.read_metadata(str(path)).num_rows)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the class names of each column of ``ClassLabel`` or of lists of it.

    ``datasets`` records them in the schema's metadata.
    """
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        # A list of ClassLabel is written as {"feature": {"names": ...}, "_type": "List"} (older: "Sequence").
        inner = {name: feature.get("feature") or feature for name, feature in features.items()}
        return {name: feature["names"] for name, feature in inner.items() if feature.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _records(batch: pa.RecordBatch, where: str, done: int) -> list[dict[str, Any]]:
    """Return the records of a batch; ``done`` records came before it."""
    try:
        records: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError):
        for row in range(batch.num_rows):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                _require_convertible(column[row], name, where, done + row + 1)
        raise
    return records


def _require_convertible(cell: pa.Scalar, column: str, where: str, number: int) -> None:
    try:
        cell.as_py()
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02x} in row {number}, column {column}"
        raise DataError(f"{where} is not UTF-8 ({place}); write it again as UTF-8.") from None
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}, row {number}: {column} can't be read ({error}); write it as text.") from None


def _damaged(statement: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()).rstrip(".")
    return DataError(f"{statement} ({reason}); fetch or write it again.")


def _named(names: list[str], value: Any, column: str, where: str, number: int) -> Any:  # noqa: ANN401 - or a list
    """Return the class name of an index, or the class names of a list of them."""
    if isinstance(value, list):
        return [_class_name(names, item, column, where, number) for item in value]
    return _class_name(names, value, column, where, number)


def _class_name(names: list[str], value: int | None, column: str, where: str, number: int) -> str | None:
    if value is None or value == -1:  # datasets writes -1 for a missing label
        return None
    if not 0 <= value < len(names):
        raise DataError(f"{where}, row {number}: {column} is {value}, but it has only {len(names)} class names.")
    return names[value]
