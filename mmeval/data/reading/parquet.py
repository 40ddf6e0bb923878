"""Parquet, read in small batches; class labels of ``datasets`` come as their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.data.reading.row import Row, require_columns
from mmeval.errors import DataError

BATCH = 256


def read_parquet(
    path: Path, where: str, *, required: Sequence[str] = (), columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Yield the records of a Parquet file.

    Args:
        path: the file.
        where: what messages call it.
        required: columns that must be there.
        columns: which ones to read; None: all. Pictures that aren't asked for aren't read.

    Raises:
        DataError: no whole Parquet file, or a column is missing.
    """
    number = 0
    try:
        with pq.ParquetFile(str(path)) as file:
            require_columns(file.schema_arrow.names, required, where)
            names = class_names(file.schema_arrow)
            wanted = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
            for batch in file.iter_batches(BATCH, columns=wanted):
                for cells in batch.to_pylist():
                    number += 1
                    for column in names.keys() & cells.keys():
                        cells[column] = _name(names[column], cells[column], column, where, number)
                    yield Row(number, cells)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{where} can't be read after row {number} ({said}); fetch or write it again.") from None


def parquet_columns(path: Path, where: str) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: no whole Parquet file.
    """
    try:
        return list(pq.read_schema(str(path)).names)
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{where} can't be read ({said}); fetch or write it again.") from None


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


def _name(names: list[str], value: int | None, column: str, where: str, number: int) -> str | None:
    if value is None or value == -1:  # how datasets marks a missing label
        return None
    if not 0 <= value < len(names):
        raise DataError(f"{where}, row {number}: {column} is {value}, but it has only {len(names)} names of classes.")
    return names[value]
