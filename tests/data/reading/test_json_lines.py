"""JSON Lines: records are read back as written, and unusable lines are rejected with their row number."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.api.source import Rejected
from mmeval.data.reading import json_lines
from mmeval.data.reading.json_lines import read_json_lines
from mmeval.data.reading.row import Row
from mmeval.errors import DataError

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
PLAIN = TEXTS | st.integers() | st.none() | st.booleans()
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.lists(st.dictionaries(TEXTS, PLAIN, max_size=2), max_size=2)


def read(data: bytes | str, **options: Any) -> list[Row | Rejected]:
    return list(read_json_lines(io.BytesIO(data.encode() if isinstance(data, str) else data), "t.jsonl", **options))


def complaint(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(data)
    return str(caught.value)


def reason(line: str, **options: Any) -> str:
    [rejected] = read(line, **options)
    assert isinstance(rejected, Rejected)
    assert rejected.where == "t.jsonl, row 1"
    return rejected.reason


@settings(deadline=None)  # the first call warms up
@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=6), st.booleans(), st.booleans())
def test_records_are_read_back_as_written(records: list[dict[str, Any]], ascii_only: bool, bom: bool) -> None:
    data = "".join(json.dumps(record, ensure_ascii=ascii_only) + "\n" for record in records).encode()
    read_back = read((b"\xef\xbb\xbf" if bom else b"") + data)
    assert read_back == [Row(number, record) for number, record in enumerate(records, 1)]


def test_blank_lines_are_skipped_but_count_as_rows() -> None:
    assert read('\n{"a": 1}\n  \n{"a": 2}') == [Row(2, {"a": 1}), Row(4, {"a": 2})]


def test_unusable_lines_are_rejected_and_the_others_read() -> None:
    first, second, third, last = read('{"a": 1\n[1]\n{"b": 1}\n{"a": 1}\n', required=["a"])
    assert first == Rejected("t.jsonl, row 1", "not JSON (Expecting ',' delimiter: line 2 column 1 (char 8))")
    assert second == Rejected("t.jsonl, row 2", "not a JSON object")
    assert third == Rejected("t.jsonl, row 3", "lacks a")
    assert last == Row(4, {"a": 1})


def test_several_missing_keys_are_named() -> None:
    assert reason("{}", required=["a", "b"]) == "lacks a and b"


@pytest.mark.parametrize("line", [r'{"a": "\u0000"}', r'{"a": [{"b": "x\u0000"}]}', r'{"\u0000": 1}'])
def test_nul_bytes_are_rejected_at_any_depth(line: str) -> None:
    assert reason(line) == "holds a NUL byte"


@pytest.mark.parametrize("line", [r'{"a": "\ud83d"}', r'{"a": [{"b": "x\uDE00"}]}'])
def test_lone_surrogates_are_rejected(line: str) -> None:
    assert reason(line) == "holds half a character (a lone surrogate)"


@pytest.mark.parametrize(("line", "value"), [(r'{"a": "\ud83d\ude00"}', "😀"), (r'{"a": "\\u0000"}', r"\u0000")])
def test_surrogate_pairs_and_escaped_escapes_are_kept(line: str, value: str) -> None:
    assert read(line) == [Row(1, {"a": value})]


def test_huge_numbers_and_deep_nesting_are_rejected() -> None:
    assert reason('{"a": ' + "1" * 5000 + "}").startswith("not JSON (Exceeds the limit (4300 digits)")
    assert reason('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}").startswith("not JSON (maximum recursion depth")


def test_a_wrong_encoding_is_reported_with_byte_and_row() -> None:
    assert complaint('{"a": "ä"}\n{"a": "'.encode() + b'\xe4"}\n') == (
        "t.jsonl is not UTF-8 (byte 0xe4 in row 2); convert it to UTF-8."
    )
    assert complaint('{"a": 1}\n'.encode("utf-16")) == "t.jsonl is not UTF-8 (byte 0xff in row 1); convert it to UTF-8."


def test_a_line_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 1000)
    assert complaint(b'{"a": 1}\n"' + b"x" * 2000) == (
        "t.jsonl, row 2 is longer than 1,000 bytes: not a JSON Lines file."
    )
