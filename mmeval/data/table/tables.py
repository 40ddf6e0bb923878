"""The files of a table, their columns and rows, and the splits that their names tell."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmeval.api.source import Rejected
from mmeval.data.reading.delimited import read_delimited
from mmeval.data.reading.files import PARQUET, open_file, table_suffix
from mmeval.data.reading.json_lines import read_json_lines
from mmeval.data.reading.parquet import parquet_columns, read_parquet
from mmeval.data.reading.row import Row
from mmeval.data.table.delimiter import delimiter_of
from mmeval.errors import DataError, UserError

SPLITS = {
    "train": "train training",
    "validation": "validation valid val dev development",
    "test": "test testing eval evaluation holdout",
}
NOT_TEXT_ENCODINGS = (
    "idna",
    "punycode",
    "undefined",
    "unicode_escape",
    "unicode-escape",
    "raw_unicode_escape",
    "raw-unicode-escape",
)
"""Python codecs that are not encodings of text files."""
_SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names.split()}
ROWS_SEARCHED = 100
"""Rows of a JSON Lines file that are searched for keys; more if a given column was not found yet."""
ENCODINGS = "give its encoding, such as --encoding cp1250 (Central European) or cp1252 (Western)"
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
SUFFIXES = "tables end in .csv, .tsv, .jsonl (also .gz) or .parquet"


@dataclass(frozen=True)
class Table:
    """One file of a table."""

    path: Path
    where: str
    """The name of the file in messages."""
    split: str
    """The split that its name tells; empty for none."""
    delimiter: str
    """The delimiter of a CSV or TSV file; empty for other formats."""
    encoding: str = ""
    """The encoding of a text file; empty for UTF-8."""

    @property
    def folder(self) -> str:
        """The absolute path of the file's folder."""
        return str(self.path.absolute().parent)

    @property
    def loose(self) -> bool:
        """Whether rows may leave out columns, as in JSON Lines."""
        return not self.delimiter and table_suffix(self.path) != PARQUET

    def rows(self, columns: Sequence[str] | None = None, start: int = 0) -> Iterator[Row | Rejected]:
        """Yield the records of the file.

        Args:
            columns: the columns that are needed, so that others need not be read; None for all.
            start: the number of records of a Parquet file to skip; other files are always read from the beginning.
        """
        if table_suffix(self.path) == PARQUET:
            yield from read_parquet(self.path, self.where, columns=columns, start=start)
            return
        with open_file(self.path) as stream:
            if self.delimiter:
                encoding = self.encoding or "utf-8-sig"
                yield from read_delimited(
                    stream, self.where, delimiter=self.delimiter, encoding=encoding, advice=ENCODINGS
                )
            else:
                yield from read_json_lines(stream, self.where, encoding=self.encoding, advice=ENCODINGS)

    def columns(self, named: Collection[str] = ()) -> list[str]:
        """Return the names of the columns; JSON Lines are read until all columns in ``named`` were found.

        Raises:
            DataError: the file is missing or damaged, or holds no rows.
        """
        if table_suffix(self.path) == PARQUET:
            return parquet_columns(self.path, self.where)
        keys: dict[str, None] = {}
        rejected: Rejected | None = None
        for number, row in enumerate(self.rows()):
            if isinstance(row, Rejected):
                rejected = rejected or row
                continue
            keys.update(dict.fromkeys(row.cells))
            if not self.loose or (number >= ROWS_SEARCHED and keys.keys() >= set(named)):
                break
        if not keys:
            raise DataError(
                f"{self.where} holds no row that can be read; {rejected.where}: {rejected.reason}."
                if rejected
                else f"{self.where} holds no rows."
            )
        return list(keys)


def tables(path: Path, label: str = "", encoding: str = "") -> list[Table]:
    """Return the tables at ``path``: the file itself, or the tables in a folder, sorted by name.

    Args:
        path: a file or folder.
        label: the name of ``path`` in messages; empty for the path itself.
        encoding: the encoding of text files; empty for UTF-8.

    Raises:
        DataError: the path does not exist, or holds no table.
        UserError: there is no such encoding.
    """
    label = label or str(path)
    _require_encoding(encoding)
    if path.is_file():
        _require_table(path, label)
        _require_text([path], encoding)
        return [Table(path, path.name, "", delimiter_of(path, path.name, encoding), encoding)]
    if not path.is_dir():
        raise DataError(f"There is no file or folder {label}.")
    files = sorted(file for file in path.rglob("*") if _is_table(file, path))
    if not files:
        raise DataError(f"{label} holds no table; {SUFFIXES}.")
    if len({table_suffix(file) for file in files}) > 1:
        suffixes = ", ".join(sorted({table_suffix(file) for file in files}))
        raise DataError(
            f"{label} holds tables of several formats ({suffixes}); name one file, or a folder of one format."
        )
    names = {file: str(file.relative_to(path)) for file in files}
    splits = {file: split_of_name(file.relative_to(path)) for file in files}
    # A single file is the whole table, even if its name tells a split: "shop-test.csv".
    use_splits = any(splits.values()) and len(files) > 1
    _require_text(files, encoding)
    return [
        Table(file, name, splits[file] if use_splits else "", delimiter_of(file, name, encoding), encoding)
        for file, name in names.items()
    ]


def split_of_name(path: Path) -> str:
    """Return the split that a relative path tells: ``data/train-00000-of-00002.parquet`` -> train; or empty."""
    words = [word for part in reversed(path.parts) for word in re.split(r"[^a-z]+", part.lower())]
    return next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "")


def split_of_value(value: str) -> str:
    """Return the split that a cell names; empty if it names none."""
    return _SPLIT_OF.get(value.strip().lower(), "")


def _require_encoding(encoding: str) -> None:
    try:
        # `codecs.lookup` alone would also accept rot13 and base64.
        "".encode(encoding or "utf-8")
        if codecs.lookup(encoding or "utf-8").name in NOT_TEXT_ENCODINGS:
            raise LookupError
    except (LookupError, UnicodeError):
        raise UserError(
            f"--encoding {encoding}: there is no such encoding; examples are cp1250, cp1252 and utf-16."
        ) from None


def _require_text(files: Sequence[Path], encoding: str) -> None:
    if encoding and table_suffix(files[0]) == PARQUET:
        raise UserError(f"--encoding {encoding}: {files[0].name} is Parquet, which is always UTF-8; leave it out.")


def _require_table(path: Path, label: str) -> None:
    if path.suffix.lower() in WORKBOOKS:
        raise DataError(f'{label} is a workbook; save its sheet as "CSV UTF-8" and name that file.')
    if not table_suffix(path):
        raise DataError(f"{label} is not a table; {SUFFIXES}.")
    if table_suffix(path) == ".json":
        with open_file(path) as stream:
            if stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
                raise DataError(
                    f"{label} is a single JSON list; write each object on a line of its own (JSON Lines), "
                    f"as `jq -c '.[]' {path.name} > {path.stem}.jsonl` does."
                )


def _is_table(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    # In a folder, .json is left out: settings files are JSON too, one object over many lines.
    return not hidden and file.is_file() and table_suffix(file) not in ("", ".json")
