"""The files of a table, their delimiters, and the splits that their names tell."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from mmeval.data.table.tables import split_of_name, tables
from mmeval.errors import DataError
from tests.data.table.shop import read, texts, write


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        _ = [table.columns() for table in tables(path)]
    return str(error.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_read_from_a_header_without_commas(delimiter: str, tmp_path: Path) -> None:
    """Excel writes semicolons in half of Europe."""
    rows = [row | {"text": f"{row['text']}, 9,50"} for row in texts(8)]
    path = write(tmp_path / "shop.csv", rows, delimiter=delimiter, encoding="utf-8-sig")
    assert [table.columns() for table in tables(path)] == [["text", "label"]]
    assert next(tables(path)[0].rows()).cells["text"] == "shoe 0, 9,50"  # type: ignore[union-attr]


def test_a_comma_outside_quotes_in_the_header_is_the_delimiter(tmp_path: Path) -> None:
    (path := tmp_path / "shop.csv").write_text('"a;b",label\n1,2\n')
    assert tables(path)[0].columns() == ["a;b", "label"]
    path.write_text('"Preis, EUR";label\n1;2\n')
    assert tables(path)[0].columns() == ["Preis, EUR", "label"]


def test_given_columns_are_searched_beyond_the_first_rows(tmp_path: Path) -> None:
    """Otherwise a column that is rarely filled could not be used."""
    rows = [{"text": "a", "label": "b"}] * 300 + [{"text": "a", "label": "b", "season": "x"}]
    (path := tmp_path / "shop.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (table,) = tables(path)
    assert table.columns() == ["text", "label"]
    assert table.columns({"season"}) == ["text", "label", "season"]


def test_files_that_are_no_tables_are_refused_with_advice(tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        (path := tmp_path / name).write_bytes(content)
        return path

    endings = "tables end in .csv, .tsv, .jsonl (also .gz) or .parquet."
    book, text = file("shop.xlsx", b"PK"), file("shop.txt", b"a")
    assert refusal(book) == f'{book} is a workbook; save its sheet as "CSV UTF-8" and name that file.'
    assert refusal(text) == f"{text} is not a table; {endings}"
    assert refusal(tmp_path / "no.csv") == f"There is no file or folder {tmp_path / 'no.csv'}."
    assert refusal(tmp_path) == f"{tmp_path} holds no table; {endings}"
    json_list = file("shop.json", b'[\n {"text": "a"}]')
    assert refusal(json_list) == (
        f"{json_list} is a single JSON list; write each object on a line of its own (JSON Lines), "
        "as `jq -c '.[]' shop.json > shop.jsonl` does."
    )
    utf16 = file("wide.csv", "text,label\nä,b\n".encode("utf-16"))
    assert refusal(utf16) == 'wide.csv is UTF-16; use --encoding utf-16, or save it as "CSV UTF-8".'
    utf16.unlink()
    assert refusal(file("cp1252.csv", "text,label\ngrün,b\n".encode("cp1252"))) == (
        "cp1252.csv is not UTF-8 (byte 0xfc in line 2); give its encoding, such as --encoding cp1250 "
        "(Central European) or cp1252 (Western)."
    )
    assert refusal(file("head.csv", b"text,label\n")) == "head.csv holds no rows."
    assert refusal(file("bad.csv", b"text,label\na\n")) == (
        "bad.csv holds no row that can be read; bad.csv, row 1: 1 cell where the header has 2 columns."
    )
    file("other.tsv", b"a\tb\n")
    assert refusal(tmp_path) == (
        f"{tmp_path} holds tables of several formats (.csv, .tsv); name one file, or a folder of one format."
    )


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("val.csv", "validation"),
        ("de/dev/part.csv", "validation"),
        ("shop_TEST_2024.csv", "test"),
        ("test/metadata.csv", "test"),
        ("contest.csv", ""),
        ("latest.csv", ""),
    ],
)
def test_splits_are_read_from_whole_words_of_names(name: str, split: str) -> None:
    assert split_of_name(Path(name)) == split


def test_splits_of_a_folder_are_read_from_file_names(tmp_path: Path) -> None:
    """Otherwise a Hub data set would get new splits, and its results could not be compared."""
    rows = texts(60)
    write(tmp_path / "train-0.csv", rows[:30])
    write(tmp_path / "train-1.csv", rows[30:40])
    write(tmp_path / "validation.csv", rows[40:50])
    write(tmp_path / "test.csv", rows[50:])
    examples, _ = read(tmp_path)
    told = {example.where.partition(",")[0]: example.split for example in examples}
    assert told == {"train-0.csv": "train", "train-1.csv": "train", "validation.csv": "validation", "test.csv": "test"}


def test_a_single_file_is_the_whole_table_whatever_its_name(tmp_path: Path) -> None:
    """Otherwise "shop-test.csv" would be refused because it has no training rows."""
    write(tmp_path / "shop-test.csv", texts(60))
    assert {example.split for example in read(tmp_path)[0]} == {"train", "validation", "test"}
