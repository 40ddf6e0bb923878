"""Files on disk: tables are read by their suffix, and damage is a data error even while streaming."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmeval.data.reading.files import open_file, read_image, read_table, table_suffix
from mmeval.data.reading.row import Row
from mmeval.errors import DataError

CELLS = [{"a": "1", "b": "ä"}, {"a": "2", "b": "x\ny"}]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(CELLS), path)
        return path
    if "json" in name:
        text = "".join(json.dumps(cells) + "\n" for cells in CELLS)
    else:
        sign = "\t" if ".tsv" in name else ","
        text = f'a{sign}b\n1{sign}ä\n2{sign}"x\ny"\n'
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(read_table(path, path.name))
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["t.csv", "t.TSV", "t.jsonl", "t.json", "t.ndjson", "t.parquet", "t.csv.gz", "t.tsv.gz", "t.2024.jsonl.gz"]
)
def test_a_table_is_read_by_its_suffix(tmp_path: Path, name: str) -> None:
    rows = list(read_table(write(tmp_path, name.lower()).rename(tmp_path / name), name, required=["a"]))
    assert rows == [Row(1, CELLS[0]), Row(2, CELLS[1])]


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.gz", "csv", "t.csv.zip"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    assert table_suffix(Path(name)) == ""
    assert complaint(tmp_path / name) == (
        f"{tmp_path / name} is not a table; tables end in .csv, .tsv, .jsonl (also .gz) or .parquet."
    )


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl.gz", "t.parquet"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    assert complaint(tmp_path / name) == f"There is no file {tmp_path / name}."


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert complaint(tmp_path / name) == f"{tmp_path / name} is a folder, not a file."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_an_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    path.chmod(0)
    assert complaint(path) == f"{path} may not be read; change its permissions."


def test_a_truncated_gzip_file_is_reported(tmp_path: Path) -> None:
    """Even after some rows were read."""
    path = tmp_path / "t.jsonl.gz"
    lines = "".join(json.dumps({"a": os.urandom(20).hex()}) + "\n" for _ in range(2000))
    path.write_bytes(gzip.compress(lines.encode())[:-2000])
    rows = read_table(path, path.name)
    assert isinstance(next(rows), Row)
    with pytest.raises(DataError) as caught:
        list(rows)
    assert str(caught.value) == (
        f"{path} is damaged (Compressed file ended before the end-of-stream marker was reached); fetch it again."
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"a,b\n1,2\n", "Not a gzipped file (b'a,')"),
        (gzip.compress(b"a\n1\n", mtime=0)[:-8] + b"\0" * 8, "CRC check failed 0x0 != 0x"),
    ],
)
def test_other_gzip_damage_is_reported(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(data)
    assert complaint(path).startswith(f"{path} is damaged ({reason}")
    assert complaint(path).endswith("; fetch it again.")


def test_errors_of_the_caller_pass_through(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv")
    with pytest.raises(FileNotFoundError, match="other"), open_file(path):
        (tmp_path / "other").read_bytes()


def test_an_image_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"x" * 2000)
    assert read_image(path) == b"x" * 2000
    with pytest.raises(DataError, match=r"^the image's file holds more than 1,999 bytes$"):
        read_image(path, limit=1999)
    with pytest.raises(DataError, match=r"^the image's file can't be read \(Is a directory\)$"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "y.jpg")
