"""Predictions: one row per test example, as Parquet that anyone can read and nobody has to trust."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.errors import RunFolderError
from mmeval.files import atomic_path
from mmeval.metrics.bootstrap import Judged
from mmeval.metrics.per_example import BUILT_IN
from mmeval.plugin.spec import MetricSpec, Task

SLICE, PROBABILITIES, METADATA = "slice:", ":probabilities", b"mmeval"
TEXT_COLUMNS = ("id", "language", "cluster")
ROWS = 8192


@dataclass(frozen=True)
class Predictions:
    """What one predictions file says, reduced to what scores need."""

    ids: list[str]
    languages: list[str]
    clusters: list[str]
    slices: Mapping[str, list[str]]
    tasks: tuple[Task, ...]
    judged: Mapping[str, Judged]
    """By task; ``true`` is -1 where an example has no label."""


def write_predictions(
    path: Path,
    tasks: Sequence[Task],
    columns: Mapping[str, Sequence[str]],
    labels: Mapping[str, NDArray[np.int64]],
    blocks: Iterable[Mapping[str, NDArray[np.float32]]],
) -> None:
    """Write predictions as they come, atomically.

    Args:
        path: the Parquet file.
        tasks: the tasks, with class names.
        columns: ``id``, ``language``, ``cluster`` and ``slice:*``, one value per example.
        labels: class indices by task, -1 for none.
        blocks: probabilities by task, in the order of the examples.
    """
    fields = [pa.field(name, pa.string()) for name in columns]
    for task in tasks:
        fields += [
            pa.field(task.name, pa.dictionary(pa.int32(), pa.string())),
            pa.field(task.name + PROBABILITIES, pa.list_(pa.float32(), len(task.classes))),
        ]
    described = {METADATA: json.dumps({"tasks": [[task.name, task.classes] for task in tasks]}, ensure_ascii=False)}
    schema = pa.schema(fields, metadata=described)
    with atomic_path(path) as temporary, pq.ParquetWriter(str(temporary), schema, compression="zstd") as writer:
        start = 0
        for block in blocks:
            stop = start + len(next(iter(block.values())))
            arrays: list[pa.Array] = [pa.array(values[start:stop], pa.string()) for values in columns.values()]
            for task in tasks:
                own = labels[task.name][start:stop]
                arrays.append(
                    pa.DictionaryArray.from_arrays(pa.array(own, pa.int32(), mask=own < 0), pa.array(task.classes))
                )
                flat = pa.array(np.ascontiguousarray(block[task.name], np.float32).ravel())
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, len(task.classes)))
            writer.write_table(pa.table(arrays, schema=schema))
            start = stop


def read_predictions(path: Path, metrics: Sequence[MetricSpec] = ()) -> Predictions:
    """Read a predictions file, a part at a time, and judge each row.

    Args:
        path: the Parquet file.
        metrics: per-example metrics beside the built-in ones.

    Raises:
        RunFolderError: not a predictions file, a column is missing, probabilities are NaN, a label is unknown.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise RunFolderError(f"{path} can't be read as Parquet ({error}); run again to make it anew.") from None
    tasks = _tasks(path, file.schema_arrow)
    slices = [name for name in file.schema_arrow.names if name.startswith(SLICE)]
    text: dict[str, list[str]] = {name: [] for name in (*TEXT_COLUMNS, *slices)}
    parts: dict[str, list[Judged]] = {task.name: [] for task in tasks}
    start = 0
    for batch in file.iter_batches(ROWS):
        for name, values in text.items():
            values.extend(batch.column(name).to_pylist())
        for task in tasks:
            parts[task.name].append(_judge(path, batch, task, metrics, start))
        start += len(batch)
    return Predictions(
        ids=text["id"],
        languages=text["language"],
        clusters=text["cluster"],
        slices={name.removeprefix(SLICE): text[name] for name in slices},
        tasks=tasks,
        judged={task.name: _joined(parts[task.name], len(task.classes), len(metrics)) for task in tasks},
    )


def probabilities(path: Path, task: Task) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
    """Yield parts of a predictions file with the probabilities ``[n, classes]`` of one task."""
    for batch in pq.ParquetFile(path).iter_batches(ROWS):
        yield batch, _matrix(batch, task)


def _tasks(path: Path, schema: pa.Schema) -> tuple[Task, ...]:
    described = (schema.metadata or {}).get(METADATA)
    if described is None:
        raise RunFolderError(f"{path} is no predictions file of mmeval: its metadata lacks the tasks.")
    tasks = tuple(Task(name, tuple(classes)) for name, classes in json.loads(described)["tasks"])
    needed = [*TEXT_COLUMNS, *(c for task in tasks for c in (task.name, task.name + PROBABILITIES))]
    for column in needed:
        if column not in schema.names:
            raise RunFolderError(f'{path}: the column "{column}" is missing; run again to make the file anew.')
    return tasks


def _judge(path: Path, batch: pa.RecordBatch, task: Task, metrics: Sequence[MetricSpec], start: int) -> Judged:
    matrix = _matrix(batch, task)
    bad = np.flatnonzero(~np.isfinite(matrix).all(1)) if matrix.shape[1:] == (len(task.classes),) else np.array([0])
    if len(bad):
        row = int(bad[0])
        raise RunFolderError(
            f"{path}, row {start + row} (id {batch.column('id')[row]}): the probabilities of {task.name} must be "
            f"{len(task.classes)} numbers, and NaN is none; run again to make the file anew."
        )
    true = _indices(path, batch, task, start)
    known = np.where(true < 0, 0, true)
    functions = [*BUILT_IN.values(), *(metric.per_example for metric in metrics)]
    return Judged(true, matrix.argmax(1), np.stack([f(known, matrix) for f in functions], 1), len(task.classes))


def _matrix(batch: pa.RecordBatch, task: Task) -> NDArray[np.float32]:
    column = batch.column(task.name + PROBABILITIES)
    flat = np.asarray(column.flatten(), np.float32)
    return flat.reshape(len(batch), -1) if len(batch) else np.zeros((0, len(task.classes)), np.float32)


def _indices(path: Path, batch: pa.RecordBatch, task: Task, start: int) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(task.classes)}
    names = batch.column(task.name).to_pylist()
    for row, name in enumerate(names):
        if name is not None and name not in index:
            raise RunFolderError(
                f'{path}, row {start + row} (id {batch.column("id")[row]}): "{name}" is no class of {task.name}; '
                "run again to make the file anew."
            )
    return np.array([-1 if name is None else index[name] for name in names], np.int64)


def _joined(parts: list[Judged], classes: int, metrics: int) -> Judged:
    if not parts:
        none = np.zeros(0, np.int64)
        return Judged(none, none, np.zeros((0, len(BUILT_IN) + metrics)), classes)
    true, predicted, values = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Judged(true, predicted, values, classes)
