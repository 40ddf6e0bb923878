"""Delimited text, read row by row: nothing is guessed, and every complaint names its row."""

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
"""Characters; a packed file of a few megabytes can hold a line of gigabytes."""


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
    """Yield the records of a CSV or TSV file; one that can't be a record is yielded as :class:`Rejected`.

    Cells are texts as they stand in the file: nothing is stripped, and no word means "missing". Quoted ones may hold
    line breaks. Memory does not grow with the file.

    Args:
        stream: the file, opened for bytes; it is not closed.
        where: what messages call it, ``GLAMI-1M-train.csv``.
        columns: names of the columns where the file has no header line; its first line is data then.
        required: columns that must be there.
        delimiter: ``,`` or a tab.
        encoding: of the file; the default takes UTF-8 with or without a byte order mark.
        advice: what to do where the file is in another one.

    Raises:
        DataError: no header, a column that is missing or named twice, or bytes that are not in ``encoding``.
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
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"{where} has the column {twice[0]} twice.")
        for number, cells in enumerate(reader, start=1):
            if not cells:
                continue
            if complaint := _complaint(cells, names, headed=columns is None):
                yield Rejected(f"{where}, row {number}", complaint)
            else:
                yield Row(number, dict(zip(names, cells, strict=True)))
    except UnicodeError as error:  # a few encodings don't say where
        name = encoding.removesuffix("-sig").upper()
        bad = str(error)
        if isinstance(error, UnicodeDecodeError):
            bad = f"byte 0x{error.object[error.start]:02x} in line {_line(reader.line_num, error)}"
        raise DataError(f"{where} is not {name} ({bad}); {advice or f'convert it to {name}'}.") from None
    except csv.Error as error:
        raise DataError(f"{where}, row {number + 1}: {error}; mend the quotes of that row.") from None
    finally:
        lines.detach()


def _bounded(lines: io.TextIOWrapper, where: str) -> Iterator[str]:
    while line := lines.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{where} has a line of more than {LONGEST_LINE:,} characters: no delimited text.")
        yield line


def _line(done: int, error: UnicodeDecodeError) -> int:
    """The line of a bad byte, where ``done`` lines were read: text is decoded a block ahead of the rows."""
    before = error.object[: error.start].replace(b"\r\n", b"\n")
    return done + before.count(b"\n") + before.count(b"\r") + 1


def _complaint(cells: Sequence[str], names: Sequence[str], *, headed: bool) -> str:
    if len(cells) != len(names):
        has = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
        if not headed:
            return f"{has} where a row has {len(names)}: {', '.join(names)}"
        return f"{has} where the header has {len(names)} columns"
    if any("\0" in cell for cell in cells):
        return "holds a NUL byte"
    return ""
