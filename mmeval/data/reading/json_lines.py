"""A strict reader of JSON Lines."""

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
"""JSON escapes of NUL and of surrogates, which no table can store. Only lines that contain one are searched."""


def read_json_lines(
    stream: IO[bytes], where: str, *, required: Sequence[str] = (), encoding: str = "", advice: str = ""
) -> Iterator[Row | Rejected]:
    """Yield the records of a JSON Lines file as :class:`Row`, and unusable lines as :class:`mmeval.Rejected`.

    Args:
        stream: the file, opened for bytes; the caller closes it.
        where: the name of the file in messages.
        required: keys that each record must have.
        encoding: the file's encoding; empty for UTF-8.
        advice: what the message suggests if the file has another encoding.

    Raises:
        DataError: bytes are not valid in ``encoding``, or a line is longer than 64 MiB.
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
            place = f"byte 0x{error.object[error.start]:02x} in row {number}"
            raise DataError(f"{where} is not UTF-8 ({place}); {advice or 'convert it to UTF-8'}.") from None
        except (ValueError, RecursionError) as error:
            yield Rejected(f"{where}, row {number}", f"not JSON ({error})")
            continue
        if not isinstance(cells, dict):
            yield Rejected(f"{where}, row {number}", "not a JSON object")
        elif missing := [key for key in required if key not in cells]:
            yield Rejected(f"{where}, row {number}", f"lacks {' and '.join(missing)}")
        elif problem := _problem(line, cells):
            yield Rejected(f"{where}, row {number}", problem)
        else:
            yield Row(number, cells)


def _lines(stream: IO[bytes], where: str, encoding: str, advice: str) -> Iterator[bytes]:
    """Yield the lines in UTF-8; a line that is too long is cut just beyond the limit."""
    if not encoding:
        while line := stream.readline(LONGEST_LINE + 1):
            yield line
        return
    text = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
    number = 0
    try:
        while decoded := text.readline(LONGEST_LINE + 1):
            number += 1
            yield decoded.encode(errors="surrogatepass")
    except UnicodeError as error:
        name = encoding.upper()
        raise DataError(f"{where} is not {name} (after row {number}: {error}); {advice or 'convert it'}.") from None
    finally:
        text.detach()


def _problem(line: bytes, cells: dict[str, Any]) -> str:
    """Return why a record can't be used; empty if it can."""
    if _NUL in line and any("\0" in text for text in _texts(cells)):
        return "holds a NUL byte"
    if _SURROGATE in line.lower() and any("\ud800" <= sign <= "\udfff" for text in _texts(cells) for sign in text):
        return "holds half a character (a lone surrogate)"
    return ""


def _texts(value: object) -> Iterator[str]:
    """Yield all texts in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
