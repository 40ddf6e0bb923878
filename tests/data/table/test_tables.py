"""Which files a table has, what separates their cells, and what their names tell of splits."""

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
def test_a_header_without_commas_tells_what_separates(delimiter: str, tmp_path: Path) -> None:
    """Else Excel's export of half of Europe is one column with semicolons in it."""
    rows = [row | {"text": f"{row['text']}, 9,50"} for row in texts(8)]
    path = write(tmp_path / "shop.csv", rows, delimiter=delimiter, encoding="utf-8-sig")
    assert [table.columns() for table in tables(path)] == [["text", "label"]]
    assert next(tables(path)[0].rows()).cells["text"] == "shoe 0, 9,50"  # type: ignore[union-attr]


def test_a_comma_in_the_header_is_what_separates_unless_in_quotes(tmp_path: Path) -> None:
    (path := tmp_path / "shop.csv").write_text('"a;b",label\n1,2\n')
    assert tables(path)[0].columns() == ["a;b", "label"]
    path.write_text('"Preis, EUR";label\n1;2\n')
    assert tables(path)[0].columns() == ["Preis, EUR", "label"]


def test_keys_are_looked_for_beyond_the_first_rows_where_they_are_named(tmp_path: Path) -> None:
    """Else a column that is rarely filled can't be used at all."""
    rows = [{"text": "a", "label": "b"}] * 300 + [{"text": "a", "label": "b", "season": "x"}]
    (path := tmp_path / "shop.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (table,) = tables(path)
    assert table.columns() == ["text", "label"]
    assert table.columns({"season"}) == ["text", "label", "season"]


def test_what_is_no_table_is_told_what_to_do(tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        (path := tmp_path / name).write_bytes(content)
        return path

    endings = "those end in .csv, .tsv, .jsonl (also .gz) or .parquet."
    book, text = file("shop.xlsx", b"PK"), file("shop.txt", b"a")
    assert refusal(book) == f'{book} is a workbook; save its sheet as "CSV UTF-8" and name that file.'
    assert refusal(text) == f"{text} is no table; {endings}"
    assert refusal(tmp_path / "no.csv") == f"There is no file or folder {tmp_path / 'no.csv'}."
    assert refusal(tmp_path) == f"{tmp_path} holds no table; {endings}"
    one = file("shop.json", b'[\n {"text": "a"}]')
    assert refusal(one) == (
        f"{one} is one JSON list; write each of its objects on a line of its own (JSON Lines), "
        "as `jq -c '.[]' shop.json > shop.jsonl` does."
    )
    utf16 = file("wide.csv", "text,label\nä,b\n".encode("utf-16"))
    assert refusal(utf16) == 'wide.csv is UTF-16; say --encoding utf-16, or save it as "CSV UTF-8".'
    utf16.unlink()
    assert refusal(file("cp1252.csv", "text,label\ngrün,b\n".encode("cp1252"))) == (
        "cp1252.csv is not UTF-8 (byte 0xfc in line 2); say its encoding, such as --encoding cp1250 "
        "(Central European) or cp1252 (Western)."
    )
    assert refusal(file("head.csv", b"text,label\n")) == "head.csv holds no rows."
    assert refusal(file("bad.csv", b"text,label\na\n")) == (
        "bad.csv holds no row that can be read; bad.csv, row 1: 1 cell where the header has 2 columns."
    )
    file("other.tsv", b"a\tb\n")
    assert refusal(tmp_path) == (
        f"{tmp_path} holds tables of several kinds (.csv, .tsv); name one file, or a folder of one kind."
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
def test_splits_are_told_by_whole_words_of_names(name: str, split: str) -> None:
    assert split_of_name(Path(name)) == split


def test_splits_of_a_folder_are_told_by_names_of_files(tmp_path: Path) -> None:
    """Else a Hub data set is split anew, and its results can't be compared."""
    rows = texts(60)
    write(tmp_path / "train-0.csv", rows[:30])
    write(tmp_path / "train-1.csv", rows[30:40])
    write(tmp_path / "validation.csv", rows[40:50])
    write(tmp_path / "test.csv", rows[50:])
    examples, _ = read(tmp_path)
    told = {one.where.partition(",")[0]: one.split for one in examples}
    assert told == {"train-0.csv": "train", "train-1.csv": "train", "validation.csv": "validation", "test.csv": "test"}


def test_a_single_file_is_the_whole_whatever_it_is_called(tmp_path: Path) -> None:
    """Else "shop-test.csv" is refused for lack of training rows."""
    write(tmp_path / "shop-test.csv", texts(60))
    assert {one.split for one in read(tmp_path)[0]} == {"train", "validation", "test"}
