"""The files of a table, in their order, and which split a file's name tells."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmeval.api.source import Rejected
from mmeval.data.reading.delimited import read_delimited
from mmeval.data.reading.files import PARQUET, open_file, read_table, table_suffix
from mmeval.data.reading.json_lines import read_json_lines
from mmeval.data.reading.parquet import parquet_columns
from mmeval.data.reading.row import Row
from mmeval.data.table.delimiter import delimiter_of
from mmeval.errors import DataError, UserError

SPLITS = {
    "train": "train training",
    "validation": "validation valid val dev development",
    "test": "test testing eval evaluation holdout",
}
NO_TEXTS = (
    "idna",
    "punycode",
    "undefined",
    "unicode_escape",
    "unicode-escape",
    "raw_unicode_escape",
    "raw-unicode-escape",
)
"""Codecs of Python that are no encodings of files."""
_SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names.split()}
LOOKED_AT = 100
"""Rows of a JSON Lines file in which keys are looked for; more where one is missing that was named."""
ENCODINGS = "say its encoding, such as --encoding cp1250 (Central European) or cp1252 (Western)"
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
ENDINGS = "those end in .csv, .tsv, .jsonl (also .gz) or .parquet"


@dataclass(frozen=True)
class Table:
    """One file of a table."""

    path: Path
    where: str
    """What messages call it."""
    split: str
    """Told by its name; empty if it tells none."""
    delimiter: str
    """Of a CSV or TSV file."""
    encoding: str = ""
    """Of a file that is text; empty: UTF-8."""

    @property
    def folder(self) -> str:
        """The folder that it is in, absolute."""
        return str(self.path.absolute().parent)

    @property
    def loose(self) -> bool:
        """Whether a row may leave out what it has nothing for, as those of JSON Lines."""
        return not self.delimiter and table_suffix(self.path) != PARQUET

    def rows(self) -> Iterator[Row | Rejected]:
        """Its records."""
        if table_suffix(self.path) == PARQUET:
            yield from read_table(self.path, self.where)
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
        """Names of its columns; where rows may leave some out, it is read on till all that are ``named`` are found.

        Raises:
            DataError: it is not there, damaged, or holds no rows.
        """
        if table_suffix(self.path) == PARQUET:
            return parquet_columns(self.path, self.where)
        keys: dict[str, None] = {}
        unread: Rejected | None = None
        for number, row in enumerate(self.rows()):
            if isinstance(row, Rejected):
                unread = unread or row
                continue
            keys.update(dict.fromkeys(row.cells))
            if not self.loose or (number >= LOOKED_AT and keys.keys() >= set(named)):
                break
        if not keys:
            raise DataError(
                f"{self.where} holds no row that can be read; {unread.where}: {unread.reason}."
                if unread
                else f"{self.where} holds no rows."
            )
        return list(keys)


def tables(path: Path, called: str = "", encoding: str = "") -> list[Table]:
    """The tables at ``path``: itself, or the files of a folder in the order of their names.

    Raises:
        DataError: nothing is there, or no table.
        UserError: there is no such encoding.
    """
    called = called or str(path)
    _require_encoding(encoding)
    if path.is_file():
        _require_table(path, called)
        _require_text([path], encoding)
        return [Table(path, path.name, "", delimiter_of(path, path.name, encoding), encoding)]
    if not path.is_dir():
        raise DataError(f"There is no file or folder {called}.")
    found = sorted(file for file in path.rglob("*") if _is_table(file, path))
    if not found:
        raise DataError(f"{called} holds no table; {ENDINGS}.")
    if len({table_suffix(file) for file in found}) > 1:
        several = ", ".join(sorted({table_suffix(file) for file in found}))
        raise DataError(f"{called} holds tables of several kinds ({several}); name one file, or a folder of one kind.")
    names = {file: str(file.relative_to(path)) for file in found}
    splits = {file: split_of_name(file.relative_to(path)) for file in found}
    # One file alone of a name with a split is all that there is: "shop-test.csv" is no test split of anything.
    told = any(splits.values()) and len(found) > 1
    _require_text(found, encoding)
    return [
        Table(file, name, splits[file] if told else "", delimiter_of(file, name, encoding), encoding)
        for file, name in names.items()
    ]


def split_of_name(path: Path) -> str:
    """The split that a relative path tells: ``data/train-00000-of-00002.parquet`` -> train; else empty."""
    words = [word for part in reversed(path.parts) for word in re.split(r"[^a-z]+", part.lower())]
    return next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "")


def split_of_value(value: str) -> str:
    """The split that a cell names; empty if it names none."""
    return _SPLIT_OF.get(value.strip().lower(), "")


def _require_encoding(encoding: str) -> None:
    try:
        # Not `codecs.lookup` alone: it knows rot13 and base64 too.
        "".encode(encoding or "utf-8")
        if codecs.lookup(encoding or "utf-8").name in NO_TEXTS:
            raise LookupError
    except (LookupError, UnicodeError):
        raise UserError(f"--encoding {encoding}: there is no such encoding; cp1250, cp1252 or utf-16 are.") from None


def _require_text(files: Sequence[Path], encoding: str) -> None:
    if encoding and table_suffix(files[0]) == PARQUET:
        raise UserError(f"--encoding {encoding}: {files[0].name} is Parquet, which is always UTF-8; leave it out.")


def _require_table(path: Path, called: str) -> None:
    if path.suffix.lower() in WORKBOOKS:
        raise DataError(f'{called} is a workbook; save its sheet as "CSV UTF-8" and name that file.')
    if not table_suffix(path):
        raise DataError(f"{called} is no table; {ENDINGS}.")
    if table_suffix(path) == ".json":
        with open_file(path) as stream:
            if stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
                raise DataError(
                    f"{called} is one JSON list; write each of its objects on a line of its own (JSON Lines), "
                    f"as `jq -c '.[]' {path.name} > {path.stem}.jsonl` does."
                )


def _is_table(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    # Files of settings are JSON too, one object over many lines.
    return not hidden and file.is_file() and table_suffix(file) not in ("", ".json")
