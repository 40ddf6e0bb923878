"""Parquet: what was written comes back, class labels by name, and damage is named with its row."""

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
def test_what_pyarrow_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    path = write(tmp_path_factory.mktemp("table") / "t.parquet", pa.Table.from_pylist(records, schema=SCHEMA))
    assert list(read_parquet(path, "t.parquet")) == [Row(number, record) for number, record in enumerate(records, 1)]
    assert parquet_rows(path) == len(records)
    assert parquet_columns(path, "t.parquet") == SCHEMA.names


def test_rows_are_numbered_through_batches_and_row_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": range(1000)}), row_group_size=300)
    assert [row.number for row in read_parquet(path, "t.parquet")] == list(range(1, 1001))


def test_images_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    """Their bytes are overwritten, and nothing notices."""
    table = pa.table({"a": ["x"] * 3, "image": [bytes(range(256)) * 40] * 3})
    path = write(tmp_path / "t.parquet", table, compression="none", use_dictionary=False)
    start = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 5000] = b"\xff" * 5000
    path.write_bytes(data)
    rows = list(read_parquet(path, "t.parquet", columns=["a"]))
    assert rows == [Row(number, {"a": "x"}) for number in (1, 2, 3)]
    assert complaint(path).startswith("t.parquet can't be read after row 0 (")


def test_class_labels_of_datasets_come_as_their_names(tmp_path: Path) -> None:
    """Numbers in the place of names would make classes called 0 and 1."""
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["cat", "dog"])})
    path = tmp_path / "t.parquet"
    Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, None]}, features=features).to_parquet(str(path))
    assert [row.cells["label"] for row in read_parquet(path, "t.parquet")] == ["dog", "cat", None]


def labelled(path: Path, values: list[int]) -> Path:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = pa.table({"label": pa.array(values, pa.int64())})
    return write(path, table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}))


def test_a_class_label_that_has_no_name_is_an_error_and_minus_one_is_none(tmp_path: Path) -> None:
    assert [row.cells for row in read_parquet(labelled(tmp_path / "a.parquet", [-1]), "t.parquet")] == [{"label": None}]
    assert complaint(labelled(tmp_path / "b.parquet", [0, 2])) == (
        "t.parquet, row 2: label is 2, but it has only 2 names of classes."
    )


@pytest.mark.parametrize("note", [b"no JSON", b"{}", b'{"info": {"features": {"a": null}}}', b"[]"])
def test_a_note_of_another_kind_is_no_class_label(note: bytes) -> None:
    assert class_names(pa.schema([("a", pa.int64())], metadata={b"huggingface": note})) == {}


def test_a_missing_column_and_one_that_comes_twice_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": [1], "b": [2]}))
    assert complaint(path, required=["a", "c"]) == "t.parquet lacks the column c; it has a, b."
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    assert complaint(write(tmp_path / "u.parquet", twice)) == "t.parquet has the column a twice."


def test_a_file_that_is_cut_short_empty_or_missing_is_named(tmp_path: Path) -> None:
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


def test_damage_further_down_is_named_with_the_last_good_row(tmp_path: Path) -> None:
    table = pa.table({"a": [str(number) * 50 for number in range(1000)]})
    path = write(tmp_path / "t.parquet", table, row_group_size=500, compression="none", use_dictionary=False)
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    said = complaint(path)
    assert said.startswith("t.parquet can't be read after row ")
    assert said.endswith("; fetch or write it again.")
    assert 0 < int(said.split("after row ")[1].split()[0]) <= 500


def test_text_that_is_not_utf_8_is_named_with_byte_row_and_column(tmp_path: Path) -> None:
    """pyarrow writes and reads it without a word; Python can't make a text of it."""
    good = pa.array(["ä"] * 300)
    bad = pa.array([b"caf\xe9"]).view(pa.string())
    path = write(tmp_path / "t.parquet", pa.table({"n": range(301), "name": pa.chunked_array([good, bad])}))
    assert complaint(path) == "t.parquet is not UTF-8 (byte 0xe9 in row 301, column name); write it again as UTF-8."


def test_a_value_that_python_has_no_type_for_is_named(tmp_path: Path) -> None:
    dates = pa.array([0, 2**40], pa.int64()).cast(pa.timestamp("s"))
    path = write(tmp_path / "t.parquet", pa.table({"day": dates}), coerce_timestamps=None)
    said = complaint(path)
    assert said.startswith("t.parquet, row 2: day can't be read (")
    assert said.endswith("); write it as text.")


def test_a_huge_cell_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"a": ["x" * 20_000_000]}))
    [row] = read_parquet(path, "t.parquet")
    assert len(row.cells["a"]) == 20_000_000


def test_memory_holds_a_batch_not_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table({"image": [b"x" * 10_000] * 2000}), row_group_size=100)
    before = pa.total_allocated_bytes()
    rows = read_parquet(path, "t.parquet")
    for _ in range(1000):
        next(rows)
    assert pa.total_allocated_bytes() - before < 8 * parquet.BATCH * 10_000
    rows.close()


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """300 MB of zeros in some kilobytes, which the footer says."""
    table = pa.table({"text": [bytes(3_000_000)] * 100})
    path = write(tmp_path / "t.parquet", table, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1_000_000
    said = complaint(path)
    assert said.startswith("t.parquet: text declares 300,")
    assert said.endswith(", which no data is; write it again with smaller row groups.")


def test_what_packs_well_and_is_small_is_read(tmp_path: Path) -> None:
    """A column of one value."""
    path = write(tmp_path / "t.parquet", pa.table({"text": ["same " * 1000] * 1000}), compression="zstd")
    assert sum(1 for _ in read_parquet(path, "t.parquet")) == 1000


def test_more_rows_than_any_table_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_ROWS", 2)
    path = write(tmp_path / "t.parquet", pa.table({"text": ["a"] * 3}))
    assert complaint(path) == "t.parquet declares 3 rows, more than 2; split it."
