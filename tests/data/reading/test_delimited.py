"""CSV and TSV: what was written comes back, and what can't is named with its place."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.api.source import Rejected
from mmeval.data.reading import delimited
from mmeval.data.reading.delimited import read_delimited
from mmeval.data.reading.row import Row
from mmeval.errors import DataError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TABLES = st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8))


def read(data: bytes | str, **options: Any) -> list[Row | Rejected]:
    return list(read_delimited(io.BytesIO(data.encode() if isinstance(data, str) else data), "t.csv", **options))


def complaint(data: bytes | str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(data, **options)
    return str(caught.value)


@settings(deadline=None)  # the first call warms up
@given(TABLES, st.sampled_from([",", "\t"]), st.booleans())
def test_what_the_csv_module_writes_comes_back_cell_by_cell(rows: list[list[str]], delimiter: str, bom: bool) -> None:
    names = [f"c{number}" for number in range(len(rows[0]) if rows else 1)]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([names, *rows])
    data = (b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode()
    assert read(data, delimiter=delimiter) == [
        Row(number, dict(zip(names, row, strict=True))) for number, row in enumerate(rows, 1)
    ]


def test_line_breaks_in_quotes_and_blank_lines_keep_a_row_whole() -> None:
    assert read('a,b\r\n"1\n2","say ""hi"""\r\n\r\n3,4\r\n') == [
        Row(1, {"a": "1\n2", "b": 'say "hi"'}),
        Row(3, {"a": "3", "b": "4"}),
    ]


def test_nothing_is_stripped_or_taken_for_missing() -> None:
    assert read("a,b\n NA ,null\n") == [Row(1, {"a": " NA ", "b": "null"})]


def test_without_a_header_the_first_line_is_data() -> None:
    assert read("1,2\n", columns=["a", "b"]) == [Row(1, {"a": "1", "b": "2"})]


def test_a_short_line_without_a_header_is_held_against_the_columns_that_are_expected() -> None:
    (found,) = read("1\n", columns=("file", "title", "class"))
    assert found == Rejected("t.csv, row 1", "1 cell where a row has 3: file, title, class")


def test_ragged_rows_and_nul_bytes_are_rejected_and_the_rest_is_read() -> None:
    assert read("a,b\n1\n1,2,3\n1,\0\n1,2\n") == [
        Rejected("t.csv, row 1", "1 cell where the header has 2 columns"),
        Rejected("t.csv, row 2", "3 cells where the header has 2 columns"),
        Rejected("t.csv, row 3", "holds a NUL byte"),
        Row(4, {"a": "1", "b": "2"}),
    ]


def test_an_empty_file_a_missing_column_and_one_that_comes_twice_are_named() -> None:
    assert complaint("") == "t.csv is empty: it lacks its header line."
    assert complaint("a,b\n", required=["a", "c", "d"]) == "t.csv lacks the columns c and d; it has a, b."
    assert complaint("a,b,a\n") == "t.csv has the column a twice."


@pytest.mark.parametrize("rows", [1, 9, 5000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_wrong_encoding_is_named_with_its_byte_and_line(rows: int, end: str) -> None:
    """A file is decoded in blocks: the line is that of the byte, however far down."""
    good = f'a,b{end}"x{end}y",ä{end}' + f"1,2{end}" * (rows - 1)
    line = 1 + 2 + (rows - 1) + 1
    assert complaint(good.encode() + b"caf\xe9,1" + end.encode() + b"3,4") == (
        f"t.csv is not UTF-8 (byte 0xe9 in line {line}); convert it to UTF-8."
    )


def test_utf_16_is_not_taken_for_utf_8() -> None:
    assert complaint("a,b\n1,2\n".encode("utf-16")) == (
        "t.csv is not UTF-8 (byte 0xff in line 1); convert it to UTF-8."
    )


def test_a_quote_that_never_ends_is_named_with_its_row() -> None:
    assert complaint('a,b\n1,2\n3,"4\n5,6\n') == "t.csv, row 2: unexpected end of data; mend the quotes of that row."
    assert complaint('a,b\n1,"2"x\n') == "t.csv, row 1: ',' expected after '\"'; mend the quotes of that row."


def test_a_huge_cell_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it a quote is missing: a whole file would be read as one cell."""
    [row] = read("a\n" + "x" * 1_000_000 + "\n")
    assert isinstance(row, Row)
    assert len(row.cells["a"]) == 1_000_000
    monkeypatch.setattr(delimited, "LONGEST_CELL", 1000)
    assert complaint("a\n1\n" + "x" * 2000) == (
        "t.csv, row 2: field larger than field limit (1000); mend the quotes of that row."
    )


def test_the_stream_stays_open_for_its_owner() -> None:
    stream = io.BytesIO(b"a\n1\n")
    list(read_delimited(stream, "t.csv"))
    assert not stream.closed


def test_a_line_that_never_ends_is_refused_before_it_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A .gz of 10 MB can hold a line of 10 GB; the csv module asks for all of it before it counts cells."""
    monkeypatch.setattr(delimited, "LONGEST_LINE", 1000)
    stream = io.BytesIO(b"a,b\n1,2\n" + b"x" * 1_000_000)
    with pytest.raises(DataError) as caught:
        list(delimited.read_delimited(stream, "t.csv"))
    assert str(caught.value) == "t.csv has a line of more than 1,000 characters: no delimited text."
    assert stream.tell() < 100_000
