"""By what the cells of a CSV file are separated, told by its header line."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from mmeval.data.reading.files import DELIMITERS, open_file, table_suffix
from mmeval.errors import DataError

OTHERS = ";\t|,"
LONGEST_HEADER = 64 * 1024
NAMES = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def delimiter_of(path: Path, where: str, encoding: str = "") -> str:
    """That of the file's ending, unless its header line has none of it but has another; empty: not a delimited file.

    A table needs two columns, so that a header without commas can't be that of a file separated by commas: Excel
    writes semicolons where the comma is the decimal sign.

    Raises:
        DataError: it is not there, or UTF-16 though no ``encoding`` was named.
    """
    usual = DELIMITERS.get(table_suffix(path), "")
    if not usual:
        return ""
    with open_file(path) as stream:
        header = stream.readline(LONGEST_HEADER)
    if header.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and not encoding:
        raise DataError(f'{where} is UTF-16; say --encoding utf-16, or save it as "CSV UTF-8".')
    # Separators and quotes are the same bytes in UTF-8 and all of ISO 8859.
    text = header.decode(encoding or "latin-1", errors="replace").partition("\n")[0]
    bare = re.sub(r'"[^"]*"', "", text)
    return next((one for one in (usual, *OTHERS) if one in bare), usual)


def said_of_delimiter(path: Path, delimiter: str) -> str:
    """What there is to say where a file isn't separated as its ending says; else empty."""
    return f"separated by {NAMES[delimiter]}" if delimiter and delimiter != DELIMITERS[table_suffix(path)] else ""
