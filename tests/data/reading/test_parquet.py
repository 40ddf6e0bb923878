"""Parquet: records are read back as written, class labels as names, and damage is reported with its row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.data.reading import parquet
from mmeval.data.reading.parquet import class_names, parquet_columns, parquet_rows, read_parquet
from mmeval.data.reading.row import Row
from mmeval.errors import DataError

RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | st.text(st.characters(codec="utf-8"), max_size=20),
            "number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "image": st.none() | st.fixed_dictionaries({"bytes": st.binary(), "path": st.none() | st.just("x.jpg")}),
        }
    ),
    max_size=8,
)
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("number", pa.int64()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ]
)


def write(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


def complaint(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(read_parquet(path, "t.parquet", **options))
    return str(caught.value)


@settings(deadline=None)  # the first call warms up
@given(RECORDS)
def test_records_are_read_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    path = write(tmp_path_factory.mktemp("table") / "t.parquet", pa.Table.from_pylist(records, schema=SCHEMA))
    assert list(read_parquet(path, "t.parquet")) == [Row(number, record) for number, record in enumerate(records, 1)]
    assert parquet_rows(path) == len(records)
    assert parquet_columns(path, "t.parquet") == SCHEMA.names


def test_row_numbers_continue_across_batches_and_row_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": range(1000)}), row_group_size=300)
    assert [row.number for row in read_parquet(path, "t.parquet")] == list(range(1, 1001))


def test_columns_that_are_not_selected_are_not_read(tmp_path: Path) -> None:
    """The bytes of the other column are overwritten, without effect."""
    table = pa.table({"a": ["x"] * 3, "image": [bytes(range(256)) * 40] * 3})
    path = write(tmp_path / "t.parquet", table, compression="none", use_dictionary=False)
    start = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 5000] = b"\xff" * 5000
    path.write_bytes(data)
    rows = list(read_parquet(path, "t.parquet", columns=["a"]))
    assert rows == [Row(number, {"a": "x"}) for number in (1, 2, 3)]
    assert complaint(path).startswith("t.parquet can't be read after row 0 (")


def test_class_labels_are_read_as_names(tmp_path: Path) -> None:
    """Indices would become classes called 0 and 1."""
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["cat", "dog"])})
    path = tmp_path / "t.parquet"
    Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, None]}, features=features).to_parquet(str(path))
    assert [row.cells["label"] for row in read_parquet(path, "t.parquet")] == ["dog", "cat", None]


def labelled(path: Path, values: list[int]) -> Path:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = pa.table({"label": pa.array(values, pa.int64())})
    return write(path, table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}))


def test_a_label_without_a_name_is_an_error_and_minus_one_is_none(tmp_path: Path) -> None:
    assert [row.cells for row in read_parquet(labelled(tmp_path / "a.parquet", [-1]), "t.parquet")] == [{"label": None}]
    assert complaint(labelled(tmp_path / "b.parquet", [0, 2])) == (
        "t.parquet, row 2: label is 2, but it has only 2 class names."
    )


@pytest.mark.parametrize("note", [b"no JSON", b"{}", b'{"info": {"features": {"a": null}}}', b"[]"])
def test_other_metadata_declares_no_class_labels(note: bytes) -> None:
    assert class_names(pa.schema([("a", pa.int64())], metadata={b"huggingface": note})) == {}


def test_missing_and_duplicate_columns_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": [1], "b": [2]}))
    assert complaint(path, required=["a", "c"]) == "t.parquet lacks the column c; it has a, b."
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    assert complaint(write(tmp_path / "u.parquet", twice)) == "t.parquet has the column a twice."


def test_truncated_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": [1]}))
    path.write_bytes(path.read_bytes()[:-9])
    assert complaint(path) == (
        "t.parquet can't be read after row 0 (Parquet magic bytes not found in footer. Either the file is corrupted or "
        "this is not a parquet file); fetch or write it again."
    )
    path.write_bytes(b"")
    assert complaint(path) == (
        "t.parquet can't be read after row 0 (Parquet file size is 0 bytes); fetch or write it again."
    )
    with pytest.raises(DataError, match=r"^t\.parquet can't be read \(Parquet file size is 0 bytes\); fetch or"):
        parquet_columns(path, "t.parquet")
    path.unlink()
    assert complaint(path) == f"There is no file {path}."
    with pytest.raises(DataError, match=r"^There is no file .*t\.parquet\.$"):
        parquet_columns(path, "t.parquet")


def test_later_damage_is_reported_with_the_last_good_row(tmp_path: Path) -> None:
    table = pa.table({"a": [str(number) * 50 for number in range(1000)]})
    path = write(tmp_path / "t.parquet", table, row_group_size=500, compression="none", use_dictionary=False)
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    message = complaint(path)
    assert message.startswith("t.parquet can't be read after row ")
    assert message.endswith("; fetch or write it again.")
    assert 0 < int(message.split("after row ")[1].split()[0]) <= 500


def test_invalid_utf_8_is_reported_with_byte_row_and_column(tmp_path: Path) -> None:
    """pyarrow writes and reads such bytes; only the conversion to Python fails."""
    good = pa.array(["ä"] * 300)
    bad = pa.array([b"caf\xe9"]).view(pa.string())
    path = write(tmp_path / "t.parquet", pa.table({"n": range(301), "name": pa.chunked_array([good, bad])}))
    assert complaint(path) == "t.parquet is not UTF-8 (byte 0xe9 in row 301, column name); write it again as UTF-8."


def test_a_value_without_a_python_type_is_reported(tmp_path: Path) -> None:
    dates = pa.array([0, 2**40], pa.int64()).cast(pa.timestamp("s"))
    path = write(tmp_path / "t.parquet", pa.table({"day": dates}), coerce_timestamps=None)
    message = complaint(path)
    assert message.startswith("t.parquet, row 2: day can't be read (")
    assert message.endswith("); write it as text.")


def test_a_huge_cell_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": ["x" * 20_000_000]}))
    [row] = read_parquet(path, "t.parquet")
    assert len(row.cells["a"]) == 20_000_000


def test_memory_is_bounded_by_a_batch(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"image": [b"x" * 10_000] * 2000}), row_group_size=100)
    before = pa.total_allocated_bytes()
    rows = read_parquet(path, "t.parquet")
    for _ in range(1000):
        next(rows)
    assert pa.total_allocated_bytes() - before < 8 * parquet.BATCH * 10_000
    rows.close()


def test_a_decompression_bomb_is_refused_before_reading(tmp_path: Path) -> None:
    """300 MB of zeros in a few kilobytes; the footer declares both sizes."""
    table = pa.table({"text": [bytes(3_000_000)] * 100})
    path = write(tmp_path / "t.parquet", table, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1_000_000
    message = complaint(path)
    assert message.startswith("t.parquet: text declares 300,")
    assert message.endswith(", as decompression bombs do; write the file again with smaller row groups.")


def test_a_small_column_that_compresses_well_is_read(tmp_path: Path) -> None:
    """A column that repeats a single value."""
    path = write(tmp_path / "t.parquet", pa.table({"text": ["same " * 1000] * 1000}), compression="zstd")
    assert sum(1 for _ in read_parquet(path, "t.parquet")) == 1000


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_ROWS", 2)
    path = write(tmp_path / "t.parquet", pa.table({"text": ["a"] * 3}))
    assert complaint(path) == "t.parquet declares 3 rows, more than 2; split it."
