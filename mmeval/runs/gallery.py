"""The gallery: texts and images of mistakes and of other examples, so that a report needs no data set."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mmeval.api.task import Task
from mmeval.data.examples import Examples
from mmeval.errors import RunFolderError
from mmeval.files import atomic_path
from mmeval.metrics.predictions import RERUN_ADVICE, read_table
from mmeval.metrics.shown import Kind, shown_examples

FIRST_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "language", "text", "true", "predicted")]
    + [("confidence", pa.float32()), ("image", pa.binary())]
)
"""The columns of older galleries, which hold mistakes of the first task only."""
SCHEMA = FIRST_SCHEMA.append(pa.field("task", pa.string())).append(pa.field("kind", pa.string()))
MISTAKES, FEWEST, MOST = 140, 3, 36
"""Mistakes of all languages and tasks together; at least and at most so many of each language and task."""
IMAGE_BYTES = 1_600_000
"""Bytes of all images together; in base64, a page has a third more."""
SIDES, QUALITIES = (208, 160, 112, 80), (82, 65)
"""Sides in pixels and JPEG qualities of thumbnails, tried in this order until an image is small enough."""
TEXT_LENGTH = 2000
"""Characters of a text; a longer one ends in an ellipsis."""


def write_gallery(path: Path, predictions: Path, tasks: Sequence[Task], examples: Examples) -> None:
    """Write texts and images of mistakes, of unsure and of correct predictions, for every language and task.

    Args:
        path: the Parquet file to write.
        predictions: the predictions file.
        tasks: the tasks.
        examples: the predicted examples, for their texts and images.
    """
    languages = len(set(examples.languages))
    shares = max(languages * len(tasks), 1)
    mistakes = min(max(MISTAKES // shares, FEWEST), MOST)
    counts: dict[Kind, int] = {"mistake": mistakes, "unsure": max(mistakes // 9, 1), "correct": max(mistakes // 9, 1)}
    shown = [(task.name, each) for task in tasks for each in shown_examples(predictions, task, counts)]
    wanted = {each.id for _, each in shown}
    row_of = {id_: row for row, id_ in enumerate(examples.ids) if id_ in wanted}
    most_bytes = IMAGE_BYTES // max(len(shown), 1)
    rows: list[dict[str, Any]] = []
    for task_name, each in shown:
        row = row_of[each.id]
        image_row = int(examples.image_rows[row])
        image = thumbnail(examples.store.image(image_row), most_bytes) if image_row >= 0 else None
        text = examples.texts[row]
        text = text if len(text) <= TEXT_LENGTH else text[:TEXT_LENGTH] + "…"
        rows.append(each._asdict() | {"task": task_name, "text": text, "image": image})
    _write(path, rows)


def thumbnail(data: bytes, most_bytes: int = IMAGE_BYTES) -> bytes:
    """Return an image as a small JPEG without the metadata of the original, such as the place of a photograph.

    Args:
        data: the encoded image.
        most_bytes: the size that the smallest thumbnail alone may exceed.
    """
    from mmeval.data.images import decode  # it needs torch, which reports do without

    image = Image.fromarray(decode(data))
    encoded = b""
    for side in SIDES:
        smaller = image.copy()
        smaller.thumbnail((side, side))
        for quality in QUALITIES:
            file = io.BytesIO()
            smaller.save(file, "JPEG", quality=quality, optimize=True)
            encoded = file.getvalue()
            if len(encoded) <= most_bytes:
                return encoded
    return encoded


def write_empty_gallery(path: Path) -> None:
    """Write a gallery without examples, for predictions without texts and images."""
    _write(path, [])


def empty_gallery() -> bytes:
    """Return the content of a gallery without mistakes, for a publication that may not show the data."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([], schema=SCHEMA), buffer, write_page_checksum=True)
    return bytes(buffer.getvalue().to_pybytes())


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), str(temporary), write_page_checksum=True)


def read_gallery(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a gallery, of each task the most confident mistake first.

    The rows of an older gallery are mistakes without the name of their task, which is the first one.

    Raises:
        RunFolderError: the file is damaged or not a gallery.
    """
    try:
        rows: list[dict[str, Any]] = read_table(path, SCHEMA, "a gallery", RERUN_ADVICE).to_pylist()
    except RunFolderError:
        older = read_table(path, FIRST_SCHEMA, "a gallery", RERUN_ADVICE).to_pylist()
        rows = [row | {"task": "", "kind": "mistake"} for row in older]
    return rows
