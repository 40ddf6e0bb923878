"""The predictions file (Parquet, one row per test example): written block by block, validated when read."""

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
from mmeval.metrics.bootstrap import Outcomes
from mmeval.metrics.per_example import BUILT_IN

SLICE, PROBABILITIES, METADATA = "slice:", ":probabilities", b"mmeval"
TEXT_COLUMNS = ("id", "language", "cluster")
ROWS = 8192
"""Rows read at once."""
RERUN_ADVICE = "delete the file and repeat the `mmeval run` command with --output to recreate it"


@dataclass(frozen=True)
class Predictions:
    """The content of one predictions file, with probabilities reduced to metric values."""

    ids: list[str]
    languages: list[str]
    clusters: list[str]
    slices: Mapping[str, list[str]]
    tasks: tuple[Task, ...]
    outcomes: Mapping[str, Outcomes]
    """Outcomes by task; ``true`` is -1 where an example has no label."""


def write_predictions(
    path: Path,
    tasks: Sequence[Task],
    columns: Mapping[str, Sequence[str]],
    labels: Mapping[str, NDArray[np.int64]],
    blocks: Iterable[Mapping[str, NDArray[np.float32]]],
) -> None:
    """Write a predictions file atomically, one block of probabilities at a time.

    Args:
        path: the Parquet file.
        tasks: the tasks, with class names.
        columns: ``id``, ``language``, ``cluster`` and ``slice:*``, one value per example.
        labels: indices of the true classes by task, -1 for an example without a label.
        blocks: probabilities ``[rows, classes]`` by task, in the order of the examples.

    Raises:
        PluginError: there are too few or too many rows, a task is missing, a shape is wrong, or a row is no probability
            distribution.
    """
    fields = [pa.field(name, pa.string()) for name in columns]
    for task in tasks:
        fields += [
            pa.field(task.name, pa.dictionary(pa.int32(), pa.string())),
            pa.field(task.name + PROBABILITIES, pa.list_(pa.float32(), len(task.classes))),
        ]
    metadata = {METADATA: json.dumps({"tasks": [[task.name, task.classes] for task in tasks]}, ensure_ascii=False)}
    schema = pa.schema(fields, metadata=metadata)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(str(temporary), schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        start, total = 0, len(next(iter(columns.values())))
        for block in blocks:
            stop = start + check_block(block, tasks, start)
            if stop > total:
                raise PluginError(f"predict returned at least {stop} rows for {total} examples.")
            arrays: list[pa.Array] = [pa.array(values[start:stop], pa.string()) for values in columns.values()]
            for task in tasks:
                true = labels[task.name][start:stop]
                indices = pa.array(true, pa.int32(), mask=true < 0)
                arrays.append(pa.DictionaryArray.from_arrays(indices, pa.array(task.classes)))
                flat = pa.array(np.ascontiguousarray(block[task.name], np.float32).ravel())
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, len(task.classes)))
            writer.write_table(pa.table(arrays, schema=schema))
            start = stop
        if start < total:
            raise PluginError(f"predict returned {start} rows for {total} examples.")


def read_predictions(path: Path, metrics: Sequence[MetricSpec] = ()) -> Predictions:
    """Read a predictions file in batches, check page checksums and values, and compute the per-example metrics.

    Args:
        path: the Parquet file.
        metrics: per-example metrics beside the built-in ones.

    Raises:
        RunFolderError: the file is not a predictions file, is damaged, lacks a column, or has a row that is no
            probability distribution or an unknown label.
        PluginError: a metric fails or returns values of the wrong shape.
    """
    with parquet_errors(path, RERUN_ADVICE):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        tasks = _read_tasks(path, file.schema_arrow)
    slices = [name for name in file.schema_arrow.names if name.startswith(SLICE)]
    columns: dict[str, list[str]] = {name: [] for name in (*TEXT_COLUMNS, *slices)}
    batches: dict[str, list[Outcomes]] = {task.name: [] for task in tasks}
    start = 0
    for batch in _batches(path, file):
        for name, values in columns.items():
            values.extend(batch.column(name).to_pylist())
        for task in tasks:
            batches[task.name].append(_outcomes(path, batch, task, metrics, start))
        start += len(batch)
    return Predictions(
        ids=columns["id"],
        languages=columns["language"],
        clusters=columns["cluster"],
        slices={name.removeprefix(SLICE): columns[name] for name in slices},
        tasks=tasks,
        outcomes={task.name: _concatenate(batches[task.name], len(task.classes), len(metrics)) for task in tasks},
    )


def _batches(path: Path, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(ROWS)
    while True:
        with parquet_errors(path, RERUN_ADVICE):  # some damage shows only when rows are read
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def parquet_errors(path: Path, advice: str) -> Iterator[None]:
    """Turn every exception that pyarrow raises for a damaged Parquet file into one sentence that ends with ``advice``.

    Raises:
        RunFolderError: the block raised such an exception.
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
    with parquet_errors(path, advice):
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
    if not table.schema.equals(schema):
        raise RunFolderError(f"{path} lacks columns of {kind}; {advice}.")
    return table


def probabilities(path: Path, task: Task) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
    """Yield the batches of a predictions file, each with the probabilities ``[n, classes]`` of one task.

    Raises:
        RunFolderError: the file is damaged.
    """
    with parquet_errors(path, RERUN_ADVICE):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    for batch in _batches(path, file):
        yield batch, _matrix(batch, task)


def check_block(block: Mapping[str, NDArray[np.float32]], tasks: Sequence[Task], start: int) -> int:
    """Check a block of probabilities by task; ``start`` is the example number of its first row.

    Returns:
        The number of rows.

    Raises:
        PluginError: a task is missing, a shape is wrong, or a row is no probability distribution.
    """
    if not isinstance(block, Mapping):
        kind = type(block).__name__
        raise PluginError(f"predict must yield mappings of probabilities by task, but it yielded a {kind}.")
    rows = len(next(iter(block.values()), ()))
    for task in tasks:
        if task.name not in block:
            raise PluginError(f'predict returned no probabilities of the task "{task.name}"{_others(block)}.')
        shape, expected = np.shape(block[task.name]), (rows, len(task.classes))
        if shape != expected:
            raise PluginError(f"its probabilities of {task.name} must have the shape {expected}, but have {shape}.")
        if (invalid := _first_invalid(np.asarray(block[task.name]))) is not None:
            row, problem = invalid
            raise PluginError(f"its probabilities of {task.name} {problem}, first for example {start + row}.")
    return rows


def _others(block: Mapping[str, object]) -> str:
    return f", only of {', '.join(block)}" if block else " or any other task"


def _read_tasks(path: Path, schema: pa.Schema) -> tuple[Task, ...]:
    try:
        metadata = json.loads((schema.metadata or {})[METADATA])
        tasks = tuple(Task(name, tuple(classes)) for name, classes in metadata["tasks"])
    except (KeyError, TypeError, ValueError):
        raise RunFolderError(f"{path} is not a predictions file of mmeval: its metadata lacks the tasks.") from None
    needed = [*TEXT_COLUMNS, *(c for task in tasks for c in (task.name, task.name + PROBABILITIES))]
    for column in needed:
        if column not in schema.names:
            raise RunFolderError(f'{path}: the column "{column}" is missing; {RERUN_ADVICE}.')
    for task in tasks:
        dtype = schema.field(task.name + PROBABILITIES).type
        if dtype != pa.list_(pa.float32(), len(task.classes)):
            raise RunFolderError(
                f"{path}: the probabilities of {task.name} must be lists of {len(task.classes)} float32 numbers, "
                f"but are {dtype}; {RERUN_ADVICE}."
            )
    return tasks


def _outcomes(path: Path, batch: pa.RecordBatch, task: Task, metrics: Sequence[MetricSpec], start: int) -> Outcomes:
    matrix = _matrix(batch, task)
    if (invalid := _first_invalid(matrix)) is not None:
        row, problem = invalid
        where = _where(path, batch, row, start)
        raise RunFolderError(f"{where}: the probabilities of {task.name} {problem}; {RERUN_ADVICE}.")
    true = _indices(path, batch, task, start)
    known = np.where(true < 0, 0, true)
    # Read-only, so that no metric can change the input of the next one.
    known.setflags(write=False)
    matrix.setflags(write=False)
    values = [function(known, matrix) for function in BUILT_IN.values()]
    values += [_plugin_values(metric, known, matrix) for metric in metrics]
    return Outcomes(true, matrix.argmax(1), np.stack(values, 1), len(task.classes))


def _first_invalid(matrix: NDArray[np.float32]) -> tuple[int, str] | None:
    """Return the first row that is no probability distribution, with the problem; None if every row is one."""
    bad = np.flatnonzero(~np.isfinite(matrix).all(1))
    if len(bad):
        return int(bad[0]), "contain NaN or infinity"
    bad = np.flatnonzero((matrix < 0).any(1) | (np.abs(matrix.sum(1, dtype=np.float64) - 1) > 1e-3))
    return (int(bad[0]), "are negative or don't sum to 1") if len(bad) else None


def _plugin_values(metric: MetricSpec, true: NDArray[np.int64], matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    label = f'The metric "{metric.name}"' + (f" ({metric.distribution})" if metric.distribution else "")
    try:
        values = np.asarray(metric.per_example(true, matrix), np.float64)
    except Exception as error:
        raise PluginError(f"{label} failed: {type(error).__name__}: {error}") from error
    if values.shape != true.shape:
        raise PluginError(f"{label} must return an array of shape {true.shape}, but returned {values.shape}.")
    if not np.isfinite(values).all():
        raise PluginError(f"{label} must return finite values, but returned {values[~np.isfinite(values)][0]}.")
    return values


def _matrix(batch: pa.RecordBatch, task: Task) -> NDArray[np.float32]:
    """Return the probabilities ``[n, classes]`` of a task; null becomes NaN."""
    column = batch.column(task.name + PROBABILITIES)
    filled = pc.fill_null(column, pa.scalar([float("nan")] * len(task.classes), column.type))
    return np.asarray(filled.flatten().fill_null(float("nan")), np.float32).reshape(len(batch), len(task.classes))


def _indices(path: Path, batch: pa.RecordBatch, task: Task, start: int) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(task.classes)}
    names = batch.column(task.name).to_pylist()
    for row, name in enumerate(names):
        if name is not None and name not in index:
            raise RunFolderError(
                f'{_where(path, batch, row, start)}: "{name}" is not a class of {task.name}; {RERUN_ADVICE}.'
            )
    return np.array([-1 if name is None else index[name] for name in names], np.int64)


def _where(path: Path, batch: pa.RecordBatch, row: int, start: int) -> str:
    return f"{path}, row {start + row} (id {batch.column('id')[row]})"


def _concatenate(batches: list[Outcomes], classes: int, metrics: int) -> Outcomes:
    if not batches:
        empty = np.zeros(0, np.int64)
        return Outcomes(empty, empty, np.zeros((0, len(BUILT_IN) + metrics)), classes)
    true, predicted, values = (np.concatenate([batch[i] for batch in batches]) for i in range(3))
    return Outcomes(true, predicted, values, classes)
