"""CSV and TSV: cells are read back as written, and errors name their place."""

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
def test_cells_are_read_back_as_written(rows: list[list[str]], delimiter: str, bom: bool) -> None:
    names = [f"c{number}" for number in range(len(rows[0]) if rows else 1)]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([names, *rows])
    data = (b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode()
    assert read(data, delimiter=delimiter) == [
        Row(number, dict(zip(names, row, strict=True))) for number, row in enumerate(rows, 1)
    ]


def test_quoted_line_breaks_and_blank_lines_are_read() -> None:
    assert read('a,b\r\n"1\n2","say ""hi"""\r\n\r\n3,4\r\n') == [
        Row(1, {"a": "1\n2", "b": 'say "hi"'}),
        Row(3, {"a": "3", "b": "4"}),
    ]


def test_blanks_and_words_for_missing_values_are_kept() -> None:
    assert read("a,b\n NA ,null\n") == [Row(1, {"a": " NA ", "b": "null"})]


def test_without_a_header_the_first_line_is_data() -> None:
    assert read("1,2\n", columns=["a", "b"]) == [Row(1, {"a": "1", "b": "2"})]


def test_a_short_line_without_a_header_is_rejected() -> None:
    (rejected,) = read("1\n", columns=("file", "title", "class"))
    assert rejected == Rejected("t.csv, row 1", "1 cell where a row has 3: file, title, class")


def test_ragged_rows_and_nul_bytes_are_rejected_and_the_others_read() -> None:
    assert read("a,b\n1\n1,2,3\n1,\0\n1,2\n") == [
        Rejected("t.csv, row 1", "1 cell where the header has 2 columns"),
        Rejected("t.csv, row 2", "3 cells where the header has 2 columns"),
        Rejected("t.csv, row 3", "holds a NUL byte"),
        Row(4, {"a": "1", "b": "2"}),
    ]


def test_empty_files_and_missing_or_duplicate_columns_are_refused() -> None:
    assert complaint("") == "t.csv is empty: it lacks its header line."
    assert complaint("a,b\n", required=["a", "c", "d"]) == "t.csv lacks the columns c and d; it has a, b."
    assert complaint("a,b,a\n") == "t.csv has the column a twice."


@pytest.mark.parametrize("rows", [1, 9, 5000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_wrong_encoding_is_reported_with_byte_and_line(rows: int, end: str) -> None:
    """The file is decoded in blocks; the reported line is still the one of the bad byte."""
    good = f'a,b{end}"x{end}y",ä{end}' + f"1,2{end}" * (rows - 1)
    line = 1 + 2 + (rows - 1) + 1
    assert complaint(good.encode() + b"caf\xe9,1" + end.encode() + b"3,4") == (
        f"t.csv is not UTF-8 (byte 0xe9 in line {line}); convert it to UTF-8."
    )


def test_utf_16_is_refused() -> None:
    assert complaint("a,b\n1,2\n".encode("utf-16")) == (
        "t.csv is not UTF-8 (byte 0xff in line 1); convert it to UTF-8."
    )


def test_broken_quotes_are_reported_with_their_row() -> None:
    assert complaint('a,b\n1,2\n3,"4\n5,6\n') == "t.csv, row 2: unexpected end of data; correct the quotes of that row."
    assert complaint('a,b\n1,"2"x\n') == "t.csv, row 1: ',' expected after '\"'; correct the quotes of that row."


def test_a_cell_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing quote would turn the rest of the file into one cell."""
    [row] = read("a\n" + "x" * 1_000_000 + "\n")
    assert isinstance(row, Row)
    assert len(row.cells["a"]) == 1_000_000
    monkeypatch.setattr(delimited, "LONGEST_CELL", 1000)
    assert complaint("a\n1\n" + "x" * 2000) == (
        "t.csv, row 2: field larger than field limit (1000); correct the quotes of that row."
    )


def test_the_stream_is_not_closed() -> None:
    stream = io.BytesIO(b"a\n1\n")
    list(read_delimited(stream, "t.csv"))
    assert not stream.closed


def test_a_line_beyond_the_limit_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A .gz of 10 MB can hold a line of 10 GB, and the csv module reads a whole line before it checks cells."""
    monkeypatch.setattr(delimited, "LONGEST_LINE", 1000)
    stream = io.BytesIO(b"a,b\n1,2\n" + b"x" * 1_000_000)
    with pytest.raises(DataError) as caught:
        list(delimited.read_delimited(stream, "t.csv"))
    assert str(caught.value) == "t.csv has a line of more than 1,000 characters: it is not delimited text."
    assert stream.tell() < 100_000
