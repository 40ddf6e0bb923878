"""Detection of a CSV file's delimiter from its header line."""

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
    """Return the delimiter of a file; empty if it is not a delimited file.

    The file's suffix decides, unless its header line lacks that delimiter and has another one. A table needs two
    columns, so a header without commas is not separated by commas: Excel writes semicolons in countries with decimal
    commas.

    Raises:
        DataError: the file is missing, or is UTF-16 although no ``encoding`` was given.
    """
    usual = DELIMITERS.get(table_suffix(path), "")
    if not usual:
        return ""
    with open_file(path) as stream:
        header = stream.readline(LONGEST_HEADER)
    if header.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and not encoding:
        raise DataError(f'{where} is UTF-16; use --encoding utf-16, or save it as "CSV UTF-8".')
    # Delimiters and quotes are the same bytes in UTF-8 and in all parts of ISO 8859.
    text = header.decode(encoding or "latin-1", errors="replace").partition("\n")[0]
    bare = re.sub(r'"[^"]*"', "", text)
    return next((delimiter for delimiter in (usual, *OTHERS) if delimiter in bare), usual)


def describe_delimiter(path: Path, delimiter: str) -> str:
    """Return a description of a delimiter that differs from the file's suffix; otherwise empty."""
    return f"separated by {NAMES[delimiter]}" if delimiter and delimiter != DELIMITERS[table_suffix(path)] else ""
