"""Readers of files on disk: tables by their suffix, and images."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from mmeval.api.source import Rejected
from mmeval.data.reading.delimited import read_delimited
from mmeval.data.reading.json_lines import read_json_lines
from mmeval.data.reading.parquet import read_parquet
from mmeval.data.reading.row import Row
from mmeval.data.reading.zip_index import LARGEST_IMAGE
from mmeval.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = ".parquet"


def table_suffix(path: Path) -> str:
    """Return the suffix that names a table's format, without ``.gz``; empty if the file is not a table."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    return suffix if suffix in (*DELIMITERS, *JSON_LINES, PARQUET) else ""


def read_table(path: Path, where: str, *, required: Sequence[str] = ()) -> Iterator[Row | Rejected]:
    """Yield the records of a table whose format its suffix names: CSV, TSV, JSON Lines (each also ``.gz``) or Parquet.

    Args:
        path: the file.
        where: the name of the file in messages.
        required: columns that must exist.

    Raises:
        DataError: the file is missing or damaged, or lacks a required column.
    """
    suffix = table_suffix(path)
    if not suffix:
        raise DataError(f"{path} is not a table; tables end in .csv, .tsv, .jsonl (also .gz) or .parquet.")
    if suffix == PARQUET:
        yield from read_parquet(path, where, required=required)
        return
    with open_file(path) as stream:
        if suffix in DELIMITERS:
            yield from read_delimited(stream, where, required=required, delimiter=DELIMITERS[suffix])
        else:
            yield from read_json_lines(stream, where, required=required)


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file as a stream of bytes; a name that ends in ``.gz`` is decompressed.

    Raises:
        DataError: the file is missing, unreadable or damaged; also while the stream is read within the block.
    """
    compressed = path.suffix.lower() == ".gz"
    try:
        stream = cast(IO[bytes], gzip.GzipFile(path, "rb")) if compressed else path.open("rb")
        empty = compressed and path.stat().st_size == 0
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions.") from None
    with stream:
        if empty:  # gzip accepts an empty file
            raise DataError(f"{path} is damaged (it is empty); fetch it again.")
        try:
            yield stream
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            reason = str(error).rstrip(".")
            raise DataError(f"{path} is damaged ({reason}); fetch it again.") from None


def read_image(path: Path, limit: int = LARGEST_IMAGE) -> bytes:
    """Return the content of an image file.

    Raises:
        DataError: the file is larger than ``limit`` bytes or can't be read; the message is the reason for rejecting the
            image, without the path.
        FileNotFoundError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"the image's file can't be read ({error.strerror})") from None
    if len(data) > limit:
        raise DataError(f"the image's file holds more than {limit:,} bytes")
    return data
