"""Predictions: one row per test example, as Parquet that anyone can read and nobody has to trust."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.api.task import Task
from mmeval.errors import PluginError, RunFolderError
from mmeval.files import atomic_path
from mmeval.metrics.bootstrap import Judged
from mmeval.metrics.per_example import BUILT_IN

SLICE, PROBABILITIES, METADATA = "slice:", ":probabilities", b"mmeval"
TEXT_COLUMNS = ("id", "language", "cluster")
ROWS = 8192
ANEW = "delete the file and repeat its `mmeval run`, with --output, to make it anew"


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

    Raises:
        PluginError: too few or too many rows, a task is missing, a shape is wrong, a probability is not finite.
    """
    fields = [pa.field(name, pa.string()) for name in columns]
    for task in tasks:
        fields += [
            pa.field(task.name, pa.dictionary(pa.int32(), pa.string())),
            pa.field(task.name + PROBABILITIES, pa.list_(pa.float32(), len(task.classes))),
        ]
    described = {METADATA: json.dumps({"tasks": [[task.name, task.classes] for task in tasks]}, ensure_ascii=False)}
    schema = pa.schema(fields, metadata=described)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(str(temporary), schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        start, total = 0, len(next(iter(columns.values())))
        for block in blocks:
            stop = start + check_block(block, tasks, start)
            if stop > total:
                raise PluginError(f"it predicted {stop} or more of {total} examples.")
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
        if start < total:
            raise PluginError(f"it predicted {start} of {total} examples.")


def read_predictions(path: Path, metrics: Sequence[MetricSpec] = ()) -> Predictions:
    """Read a predictions file, a part at a time, check its pages against their checksums, and judge each row.

    Args:
        path: the Parquet file.
        metrics: per-example metrics beside the built-in ones.

    Raises:
        RunFolderError: not a predictions file, it is damaged, a column is missing, probabilities are NaN, a label is
            unknown.
    """
    with readable(path, ANEW):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        tasks = _tasks(path, file.schema_arrow)
    slices = [name for name in file.schema_arrow.names if name.startswith(SLICE)]
    text: dict[str, list[str]] = {name: [] for name in (*TEXT_COLUMNS, *slices)}
    parts: dict[str, list[Judged]] = {task.name: [] for task in tasks}
    start = 0
    for batch in _batches(path, file):
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


def _batches(path: Path, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(ROWS)
    while True:
        with readable(path, ANEW):  # damage that shows only when the rows are read
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def readable(path: Path, advice: str) -> Iterator[None]:
    """Turn whatever pyarrow raises of a damaged Parquet file into one sentence that ends with ``advice``.

    Raises:
        RunFolderError: instead of any of them.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise RunFolderError(f"{path} can't be read as Parquet ({' '.join(str(error).split())}); {advice}.") from None


def read_table(path: Path, schema: pa.Schema, kind: str, advice: str) -> pa.Table:
    """Read a whole Parquet file and check page checksums, values and schema.

    Args:
        path: the Parquet file.
        schema: the schema that the file must have.
        kind: the name of the table in an error message, with its article: "a gallery".
        advice: the end of an error message, how to get a good file.

    Raises:
        RunFolderError: the file is damaged, or its schema differs.
    """
    with readable(path, advice):
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
    if not table.schema.equals(schema):
        raise RunFolderError(f"{path} lacks columns of {kind}; {advice}.")
    return table


def probabilities(path: Path, task: Task) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
    """Yield parts of a predictions file with the probabilities ``[n, classes]`` of one task.

    Raises:
        RunFolderError: the file is damaged.
    """
    with readable(path, ANEW):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    for batch in _batches(path, file):
        yield batch, _matrix(batch, task)


def check_block(block: Mapping[str, NDArray[np.float32]], tasks: Sequence[Task], start: int) -> int:
    """Hold a block of probabilities, whose first row is example ``start``, against what it must be.

    Returns:
        Its number of rows.

    Raises:
        PluginError: a task is missing, a shape is wrong, or a row is no distribution.
    """
    if not isinstance(block, Mapping):
        kind = type(block).__name__
        raise PluginError(f"predict must yield mappings of probabilities by task, it gave a {kind}.")
    rows = len(next(iter(block.values()), ()))
    for task in tasks:
        if task.name not in block:
            raise PluginError(f'it gives no probabilities of the task "{task.name}", {_only(block)}.')
        has, expected = np.shape(block[task.name]), (rows, len(task.classes))
        if has != expected:
            raise PluginError(f"its probabilities of {task.name} must have the shape {expected}, they have {has}.")
        if (wrong := _not_probabilities(np.asarray(block[task.name]))) is not None:
            row, what = wrong
            raise PluginError(f"its probabilities of {task.name} {what}, first for example {start + row}.")
    return rows


def _only(block: Mapping[str, object]) -> str:
    return f"only of {', '.join(block)}" if block else "nor of any other"


def _tasks(path: Path, schema: pa.Schema) -> tuple[Task, ...]:
    try:
        described = json.loads((schema.metadata or {})[METADATA])
        tasks = tuple(Task(name, tuple(classes)) for name, classes in described["tasks"])
    except (KeyError, TypeError, ValueError):
        raise RunFolderError(f"{path} is no predictions file of mmeval: its metadata lacks the tasks.") from None
    needed = [*TEXT_COLUMNS, *(c for task in tasks for c in (task.name, task.name + PROBABILITIES))]
    for column in needed:
        if column not in schema.names:
            raise RunFolderError(f'{path}: the column "{column}" is missing; {ANEW}.')
    for task in tasks:
        kind = schema.field(task.name + PROBABILITIES).type
        if kind != pa.list_(pa.float32(), len(task.classes)):
            raise RunFolderError(
                f"{path}: the probabilities of {task.name} must be lists of {len(task.classes)} numbers, "
                f"they are {kind}; {ANEW}."
            )
    return tasks


def _judge(path: Path, batch: pa.RecordBatch, task: Task, metrics: Sequence[MetricSpec], start: int) -> Judged:
    matrix = _matrix(batch, task)
    if (wrong := _not_probabilities(matrix)) is not None:
        row, what = wrong
        raise RunFolderError(f"{_where(path, batch, row, start)}: the probabilities of {task.name} {what}; {ANEW}.")
    true = _indices(path, batch, task, start)
    known = np.where(true < 0, 0, true)
    # Each metric sees what the others see.
    known.setflags(write=False)
    matrix.setflags(write=False)
    values = [function(known, matrix) for function in BUILT_IN.values()]
    values += [_by_plugin(metric, known, matrix) for metric in metrics]
    return Judged(true, matrix.argmax(1), np.stack(values, 1), len(task.classes))


def _not_probabilities(matrix: NDArray[np.float32]) -> tuple[int, str] | None:
    """The first row that is no distribution over the classes, and why; None if all are."""
    bad = np.flatnonzero(~np.isfinite(matrix).all(1))
    if len(bad):
        return int(bad[0]), "hold NaN"
    bad = np.flatnonzero((matrix < 0).any(1) | (np.abs(matrix.sum(1, dtype=np.float64) - 1) > 1e-3))
    return (int(bad[0]), "are negative or don't sum to 1") if len(bad) else None


def _by_plugin(metric: MetricSpec, true: NDArray[np.int64], matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    label = f'The metric "{metric.name}"' + (f" ({metric.distribution})" if metric.distribution else "")
    try:
        values = np.asarray(metric.per_example(true, matrix), np.float64)
    except Exception as error:
        raise PluginError(f"{label} failed: {type(error).__name__}: {error}") from error
    if values.shape != true.shape:
        raise PluginError(f"{label} must give {true.shape} values, it gave {values.shape}.")
    if not np.isfinite(values).all():
        raise PluginError(f"{label} must give finite values, it gave {values[~np.isfinite(values)][0]}.")
    return values


def _matrix(batch: pa.RecordBatch, task: Task) -> NDArray[np.float32]:
    """Probabilities ``[n, classes]``; a null is NaN."""
    column = batch.column(task.name + PROBABILITIES)
    filled = pc.fill_null(column, pa.scalar([float("nan")] * len(task.classes), column.type))
    return np.asarray(filled.flatten().fill_null(float("nan")), np.float32).reshape(len(batch), len(task.classes))


def _indices(path: Path, batch: pa.RecordBatch, task: Task, start: int) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(task.classes)}
    names = batch.column(task.name).to_pylist()
    for row, name in enumerate(names):
        if name is not None and name not in index:
            raise RunFolderError(f'{_where(path, batch, row, start)}: "{name}" is no class of {task.name}; {ANEW}.')
    return np.array([-1 if name is None else index[name] for name in names], np.int64)


def _where(path: Path, batch: pa.RecordBatch, row: int, start: int) -> str:
    return f"{path}, row {start + row} (id {batch.column('id')[row]})"


def _joined(parts: list[Judged], classes: int, metrics: int) -> Judged:
    if not parts:
        none = np.zeros(0, np.int64)
        return Judged(none, none, np.zeros((0, len(BUILT_IN) + metrics)), classes)
    true, predicted, values = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return Judged(true, predicted, values, classes)
