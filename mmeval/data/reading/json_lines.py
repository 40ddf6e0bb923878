"""JSON Lines, read row by row; every complaint names its row."""

from __future__ import annotations

import io
import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import IO, Any

from mmeval.api.source import Rejected
from mmeval.data.reading.row import Row
from mmeval.errors import DataError

LONGEST_LINE = 64 * 1024 * 1024
_NUL, _SURROGATE = b"\\u0000", b"\\ud"
"""How what no table can keep is written in JSON; only a line that has one of them is looked at closely."""


def read_json_lines(
    stream: IO[bytes], where: str, *, required: Sequence[str] = (), encoding: str = "", advice: str = ""
) -> Iterator[Row | Rejected]:
    """Yield the records of a JSON Lines file; a line that is no record is yielded as :class:`Rejected`.

    Args:
        stream: the file, opened for bytes; it is not closed.
        where: what messages call it.
        required: keys that each record must have.
        encoding: of the file; empty: UTF-8.
        advice: what to do where the file is in another one.

    Raises:
        DataError: the file is not in ``encoding``, or has a line of more than 64 MiB.
    """
    for number, line in enumerate(_lines(stream, where, encoding, advice), start=1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{where}, row {number} is longer than {LONGEST_LINE:,} bytes: not a JSON Lines file.")
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        if not line.strip():
            continue
        try:
            cells = json.loads(line.decode())
        except UnicodeDecodeError as error:
            bad = f"byte 0x{error.object[error.start]:02x} in row {number}"
            raise DataError(f"{where} is not UTF-8 ({bad}); {advice or 'convert it to UTF-8'}.") from None
        except (ValueError, RecursionError) as error:
            yield Rejected(f"{where}, row {number}", f"not JSON ({error})")
            continue
        if not isinstance(cells, dict):
            yield Rejected(f"{where}, row {number}", "no JSON object")
        elif missing := [key for key in required if key not in cells]:
            yield Rejected(f"{where}, row {number}", f"lacks {' and '.join(missing)}")
        elif complaint := _complaint(line, cells):
            yield Rejected(f"{where}, row {number}", complaint)
        else:
            yield Row(number, cells)


def _lines(stream: IO[bytes], where: str, encoding: str, advice: str) -> Iterator[bytes]:
    """The lines in UTF-8; of one that is longer than allowed only as much as shows it."""
    if not encoding:
        while line := stream.readline(LONGEST_LINE + 1):
            yield line
        return
    text = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
    number = 0
    try:
        while said := text.readline(LONGEST_LINE + 1):
            number += 1
            yield said.encode(errors="surrogatepass")
    except UnicodeError as error:
        name = encoding.upper()
        raise DataError(f"{where} is not {name} (after row {number}: {error}); {advice or 'convert it'}.") from None
    finally:
        text.detach()


def _complaint(line: bytes, cells: dict[str, Any]) -> str:
    if _NUL in line and any("\0" in text for text in _texts(cells)):
        return "holds a NUL byte"
    if _SURROGATE in line.lower() and any("\ud800" <= sign <= "\udfff" for text in _texts(cells) for sign in text):
        return "holds half a character (a lone surrogate)"
    return ""


def _texts(value: object) -> Iterator[str]:
    """All texts in a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
