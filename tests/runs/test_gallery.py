"""The gallery: every language, small images without metadata, cut texts, and galleries of older runs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmeval.errors import RunFolderError
from mmeval.runs.folder import RunFolder
from mmeval.runs.gallery import FIRST_SCHEMA, SIDES, read_gallery, thumbnail


def test_a_gallery_has_every_language_and_task_with_images(finished: RunFolder) -> None:
    rows = read_gallery(finished.gallery_file)
    assert {row["language"] for row in rows} == {"de", "en", "ja"}
    assert {row["task"] for row in rows} == {"colour", "shade"}
    assert {row["kind"] for row in rows} <= {"mistake", "unsure", "correct"}
    assert all((row["true"] == row["predicted"]) <= (row["kind"] != "mistake") for row in rows)
    images = [row["image"] for row in rows if row["image"]]
    assert images
    assert all(Image.open(io.BytesIO(image)).size == (32, 32) for image in images), "small images keep their size"


def test_thumbnails_are_small_and_lose_the_place_of_the_photograph() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 600, 3), dtype=np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "at home"
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    assert b"at home" in file.getvalue()
    small = thumbnail(file.getvalue())
    assert b"at home" not in small
    assert Image.open(io.BytesIO(small)).size == (139, 208)
    smaller = thumbnail(file.getvalue(), 5_000)
    assert len(smaller) <= 5_000
    assert max(Image.open(io.BytesIO(smaller)).size) in SIDES


def test_a_gallery_of_an_older_run_is_read(tmp_path: Path) -> None:
    row = {"id": "1", "language": "de", "text": "rot", "true": "a", "predicted": "b", "confidence": 0.5, "image": None}
    pq.write_table(pa.Table.from_pylist([row], schema=FIRST_SCHEMA), tmp_path / "g.parquet")
    assert read_gallery(tmp_path / "g.parquet") == [row | {"task": "", "kind": "mistake"}]
    pq.write_table(pa.Table.from_pylist([row], schema=FIRST_SCHEMA).drop_columns("text"), tmp_path / "h.parquet")
    with pytest.raises(RunFolderError, match="lacks columns of a gallery"):
        read_gallery(tmp_path / "h.parquet")
