"""The gallery: texts and images of the most confident mistakes, so that a report needs no data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.api.task import Task
from mmeval.data.examples import Examples
from mmeval.files import atomic_path
from mmeval.metrics.mistakes import confident_mistakes
from mmeval.metrics.predictions import RERUN_ADVICE, read_table

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "language", "text", "true", "predicted")]
    + [("confidence", pa.float32()), ("image", pa.binary())]
)
SIZE = 24
"""Number of mistakes in a gallery."""


def write_gallery(path: Path, predictions: Path, task: Task, examples: Examples) -> None:
    """Write texts and images of the most confident mistakes of a task.

    Args:
        path: the Parquet file to write.
        predictions: the predictions file.
        task: the task.
        examples: the predicted examples, for their texts and images.
    """
    row_of = {id_: row for row, id_ in enumerate(examples.ids)}
    mistakes = confident_mistakes(predictions, task, SIZE)
    rows: list[dict[str, Any]] = []
    for mistake in mistakes:
        row = row_of[mistake.id]
        image_row = int(examples.image_rows[row])
        image = examples.store.image(image_row) if image_row >= 0 else None
        rows.append(mistake._asdict() | {"text": examples.texts[row], "image": image})
    _write(path, rows)


def write_empty_gallery(path: Path) -> None:
    """Write a gallery without mistakes, for predictions without texts and images."""
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
    """Return the rows of a gallery, the most confident mistake first.

    Raises:
        RunFolderError: the file is damaged or not a gallery.
    """
    rows: list[dict[str, Any]] = read_table(path, SCHEMA, "a gallery", RERUN_ADVICE).to_pylist()
    return rows
