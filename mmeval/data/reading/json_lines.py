"""JSON Lines, read row by row; every complaint names its row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO

from mmeval.data.reading.row import Row
from mmeval.errors import DataError
from mmeval.plugin.source import Rejected

LONGEST_LINE = 64 * 1024 * 1024


def read_json_lines(stream: IO[bytes], where: str, *, required: Sequence[str] = ()) -> Iterator[Row | Rejected]:
    """Yield the records of a JSON Lines file; a line that is no record is yielded as :class:`Rejected`.

    Args:
        stream: the file, opened for bytes; it is not closed.
        where: what messages call it.
        required: keys that each record must have.

    Raises:
        DataError: the file is not UTF-8, or has a line of more than 64 MiB.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(f"{where}, row {number} is longer than {LONGEST_LINE:,} bytes: not a JSON Lines file.")
        if not line.strip():
            continue
        try:
            cells = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            bad = f"byte 0x{error.object[error.start]:02x} in row {number}"
            raise DataError(f"{where} is not UTF-8 ({bad}); convert it to UTF-8.") from None
        except (json.JSONDecodeError, RecursionError) as error:
            yield Rejected(f"{where}, row {number}", f"not JSON ({error})")
            continue
        if not isinstance(cells, dict):
            yield Rejected(f"{where}, row {number}", "no JSON object")
        elif missing := [key for key in required if key not in cells]:
            yield Rejected(f"{where}, row {number}", f"lacks {' and '.join(missing)}")
        elif any(isinstance(value, str) and "\0" in value for value in cells.values()):
            yield Rejected(f"{where}, row {number}", "holds a NUL byte")
        else:
            yield Row(number, cells)
