"""Files and folders on disk: tables by their ending, images by their path."""

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
from mmeval.data.reading.zips import LARGEST_IMAGE
from mmeval.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = ".parquet"


def kind(path: Path) -> str:
    """The ending that says how a table is written, without ``.gz``; empty if it is no table."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    return suffix if suffix in (*DELIMITERS, *JSON_LINES, PARQUET) else ""


def read_table(path: Path, where: str, *, required: Sequence[str] = ()) -> Iterator[Row | Rejected]:
    """Yield the records of a CSV, TSV, JSON Lines (each also ``.gz``) or Parquet file.

    Raises:
        DataError: it is not there, damaged, or lacks a required column.
    """
    ending = kind(path)
    if not ending:
        raise DataError(f"{path} is no table; those end in .csv, .tsv, .jsonl (also .gz) or .parquet.")
    if ending == PARQUET:
        yield from read_parquet(path, where, required=required)
        return
    with open_file(path) as stream:
        if ending in DELIMITERS:
            yield from read_delimited(stream, where, required=required, delimiter=DELIMITERS[ending])
        else:
            yield from read_json_lines(stream, where, required=required)


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """A file as a stream of bytes, unpacked if it ends in ``.gz``; damage that shows later is a sentence too.

    Raises:
        DataError: it is not there, or damaged.
    """
    packed = path.suffix.lower() == ".gz"
    try:
        stream = cast(IO[bytes], gzip.GzipFile(path, "rb")) if packed else path.open("rb")
        empty = packed and path.stat().st_size == 0
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions.") from None
    with stream:
        if empty:  # which gzip takes for a whole file
            raise DataError(f"{path} is damaged (it is empty); fetch it again.")
        try:
            yield stream
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            said = str(error).rstrip(".")
            raise DataError(f"{path} is damaged ({said}); fetch it again.") from None


def read_image(path: Path, limit: int = LARGEST_IMAGE) -> bytes:
    """The content of an image's file.

    Raises:
        DataError: it is larger than ``limit`` or can't be read; the message is a few words.
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
