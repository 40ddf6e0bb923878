"""A strict reader of delimited text (CSV, TSV)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO

from mmeval.api.source import Rejected
from mmeval.data.reading.row import Row, require_columns
from mmeval.errors import DataError

LONGEST_CELL = 16 * 1024 * 1024
LONGEST_LINE = 64 * 1024 * 1024
"""Characters. A compressed file of a few megabytes can hold a line of gigabytes."""


def read_delimited(
    stream: IO[bytes],
    where: str,
    *,
    columns: Sequence[str] | None = None,
    required: Sequence[str] = (),
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    advice: str = "",
) -> Iterator[Row | Rejected]:
    """Yield the records of a CSV or TSV file as :class:`Row`, and unusable records as :class:`mmeval.Rejected`.

    Every cell is the text in the file: blanks are kept, and no word counts as "missing". Quoted cells may contain line
    breaks. The file is streamed.

    Args:
        stream: the file, opened for bytes; the caller closes it.
        where: the name of the file in messages, such as ``GLAMI-1M-train.csv``.
        columns: the column names of a file without a header line; its first line is then data.
        required: columns that must exist.
        delimiter: ``,`` or a tab.
        encoding: the file's encoding; the default reads UTF-8 with or without a byte order mark.
        advice: what the message suggests if the file has another encoding.

    Raises:
        DataError: the header is missing, a column is missing or duplicated, or bytes are not valid in ``encoding``.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = io.TextIOWrapper(stream, encoding=encoding, errors="strict", newline="")
    reader = csv.reader(_bounded(lines, where), delimiter=delimiter, strict=True)
    number = 0
    try:
        names = list(columns) if columns is not None else next(reader, None)
        if not names:
            raise DataError(f"{where} is empty: it lacks its header line.")
        require_columns(names, required, where)
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{where} has the column {duplicates[0]} twice.")
        for number, cells in enumerate(reader, start=1):
            if not cells:
                continue
            if problem := _problem(cells, names, has_header=columns is None):
                yield Rejected(f"{where}, row {number}", problem)
            else:
                yield Row(number, dict(zip(names, cells, strict=True)))
    except UnicodeError as error:
        name = encoding.removesuffix("-sig").upper()
        place = str(error)
        if isinstance(error, UnicodeDecodeError):  # some encodings raise a UnicodeError without a position
            place = f"byte 0x{error.object[error.start]:02x} in line {_line(reader.line_num, error)}"
        raise DataError(f"{where} is not {name} ({place}); {advice or f'convert it to {name}'}.") from None
    except csv.Error as error:
        raise DataError(f"{where}, row {number + 1}: {error}; correct the quotes of that row.") from None
    finally:
        lines.detach()


def _bounded(lines: io.TextIOWrapper, where: str) -> Iterator[str]:
    while line := lines.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{where} has a line of more than {LONGEST_LINE:,} characters: it is not delimited text.")
        yield line


def _line(done: int, error: UnicodeDecodeError) -> int:
    """Return the line number of a bad byte after ``done`` lines: the decoder works in blocks, ahead of the rows."""
    before = error.object[: error.start].replace(b"\r\n", b"\n")
    return done + before.count(b"\n") + before.count(b"\r") + 1


def _problem(cells: Sequence[str], names: Sequence[str], *, has_header: bool) -> str:
    """Return why a record can't be used; empty if it can."""
    if len(cells) != len(names):
        count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
        if not has_header:
            return f"{count} where a row has {len(names)}: {', '.join(names)}"
        return f"{count} where the header has {len(names)} columns"
    if any("\0" in cell for cell in cells):
        return "holds a NUL byte"
    return ""
