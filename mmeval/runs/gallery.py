"""The images of a report: the most confident mistakes, kept in the run folder so that it needs no data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.api.task import Task
from mmeval.data.examples import Examples
from mmeval.files import atomic_path
from mmeval.metrics.mistakes import confident_mistakes
from mmeval.metrics.predictions import ANEW, read_table

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "language", "text", "true", "predicted")]
    + [("confidence", pa.float32()), ("image", pa.binary())]
)
SIZE = 24


def write_gallery(path: Path, predictions: Path, task: Task, examples: Examples) -> None:
    """Keep text and image of the most confident mistakes in ``predictions``."""
    row_of = {id_: row for row, id_ in enumerate(examples.ids)}
    mistakes = confident_mistakes(predictions, task, SIZE)
    rows: list[dict[str, Any]] = []
    for mistake in mistakes:
        row = row_of[mistake.id]
        image_row = int(examples.image_rows[row])
        image = examples.store.image(image_row) if image_row >= 0 else None
        rows.append(mistake._asdict() | {"text": examples.texts[row], "image": image})
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), str(temporary), write_page_checksum=True)


def read_gallery(path: Path) -> list[dict[str, Any]]:
    """The rows of a gallery, the most confident mistake first.

    Raises:
        RunFolderError: not a gallery.
    """
    rows: list[dict[str, Any]] = read_table(path, SCHEMA, "a gallery", ANEW).to_pylist()
    return rows
