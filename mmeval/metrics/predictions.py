"""The predictions file (Parquet, one row per example): written block by block, validated when read.

Its columns are ``id``, ``language``, ``cluster``, ``slice:NAME`` and, for each task, ``TASK``, the true class (null
without a label), with ``TASK:probabilities``, one float32 per class, or, for the predictions of a tool that gives
labels only, ``TASK:predicted``. The columns of a multi-label task are those of
:mod:`mmeval.metrics.multilabel_outcomes`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.api.task import Task
from mmeval.errors import PluginError, RunFolderError
from mmeval.files import atomic_path
from mmeval.metrics.conformal import LanguageThresholds
from mmeval.metrics.multilabel_outcomes import TRUE_TYPE, MultilabelOutcomes, first_invalid, read_true, true_column
from mmeval.metrics.outcomes import TRANSIENT, Codes, Outcomes, Predictions
from mmeval.metrics.per_example import per_example_values
from mmeval.metrics.row import RESERVED_LANGUAGES

SLICE, PROBABILITIES, PREDICTED, METADATA = "slice:", ":probabilities", ":predicted", b"mmeval"
TEXT_COLUMNS = ("id", "language", "cluster")
ROWS = 8192
"""Rows read at once."""
RERUN_ADVICE = "delete the file and repeat the `mmeval run` command with --output to recreate it"


def write_predictions(
    path: Path,
    tasks: Sequence[Task],
    columns: Mapping[str, Sequence[str]],
    labels: Mapping[str, NDArray[Any]],
    blocks: Iterable[Mapping[str, NDArray[np.float32]]],
    predicted: Mapping[str, NDArray[np.int64]] | None = None,
) -> None:
    """Write a predictions file atomically, one block of probabilities at a time.

    Args:
        path: the Parquet file.
        tasks: the tasks, with class names.
        columns: ``id``, ``language``, ``cluster`` and ``slice:*``, one value per example; texts or Arrow columns.
        labels: indices of the true classes by task, or for a multi-label task zeros and ones ``[n, classes]``; -1 for
            an example without a label.
        blocks: probabilities ``[rows, classes]`` by task, in the order of the examples.
        predicted: indices of the predicted classes by task, for tasks without probabilities; where all tasks are such
            tasks, ``blocks`` is empty.

    Raises:
        PluginError: there are too few or too many rows, a task is missing, a shape is wrong, or a row is no probability
            distribution.
    """
    predicted = predicted or {}
    probable = [task for task in tasks if task.name not in predicted]
    schema = _schema(tasks, columns, predicted)
    total = len(next(iter(columns.values())))
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            str(temporary),
            schema,
            compression="zstd",
            write_page_checksum=True,
            # Probabilities hardly repeat: split into bytes they compress better, and decode faster, than by dictionary.
            use_dictionary=[name for name in schema.names if not name.endswith(PROBABILITIES)],
            column_encoding={f"{task.name}{PROBABILITIES}.list.element": "BYTE_STREAM_SPLIT" for task in probable},
        ) as writer,
    ):
        start = 0
        for stop, block in _spans(blocks, probable, total):
            if stop > total:
                raise PluginError(f"predict returned at least {stop} rows for {total} examples.")
            arrays: list[pa.Array] = [strings(values[start:stop]) for values in columns.values()]
            for task in tasks:
                name_classes = true_column if task.multilabel else _class_names
                arrays.append(name_classes(task, labels[task.name][start:stop]))
                if task.name in predicted:
                    arrays.append(_class_names(task, predicted[task.name][start:stop]))
                else:
                    flat = pa.array(np.ascontiguousarray(block[task.name], np.float32).ravel())
                    arrays.append(pa.FixedSizeListArray.from_arrays(flat, len(task.classes)))
            writer.write_table(pa.table(arrays, schema=schema))
            start = stop
        if start < total:
            raise PluginError(f"predict returned {start} rows for {total} examples.")


def strings(values: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return texts, or an Arrow column of texts, as one Arrow array of strings."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], pa.string())
    # `pa.array` of an Arrow array would convert it value by value.
    return values.cast(pa.string()) if isinstance(values, pa.Array) else pa.array(values, pa.string())


def _schema(tasks: Sequence[Task], columns: Iterable[str], predicted: Collection[str]) -> pa.Schema:
    fields = [pa.field(name, pa.string()) for name in columns]
    for task in tasks:
        fields.append(pa.field(task.name, TRUE_TYPE if task.multilabel else pa.dictionary(pa.int32(), pa.string())))
        if task.name in predicted:
            fields.append(pa.field(task.name + PREDICTED, pa.dictionary(pa.int32(), pa.string())))
        else:
            fields.append(pa.field(task.name + PROBABILITIES, pa.list_(pa.float32(), len(task.classes))))
    facts: dict[str, Any] = {"tasks": [[task.name, task.classes] for task in tasks]}
    if multilabel := [task.name for task in tasks if task.multilabel]:
        facts["multilabel"] = multilabel
    return pa.schema(fields, metadata={METADATA: json.dumps(facts, ensure_ascii=False)})


def _spans(
    blocks: Iterable[Mapping[str, NDArray[np.float32]]], tasks: Sequence[Task], total: int
) -> Iterator[tuple[int, Mapping[str, NDArray[np.float32]]]]:
    """Yield each checked block with the number of rows up to its end; without such tasks, empty blocks."""
    stop = 0
    if tasks:
        for block in blocks:
            stop += check_block(block, tasks, stop)
            yield stop, block
        return
    while stop < total:
        stop = min(stop + ROWS, total)
        yield stop, {}


def _class_names(task: Task, classes: NDArray[np.integer]) -> pa.DictionaryArray:
    """Return class indices as an Arrow column of names; -1 becomes null."""
    return pa.DictionaryArray.from_arrays(pa.array(classes, pa.int32(), mask=classes < 0), pa.array(task.classes))


def read_tasks(path: Path, advice: str = RERUN_ADVICE) -> tuple[Task, ...]:
    """Return the tasks of a predictions file.

    Raises:
        RunFolderError: the file is not a predictions file, is damaged, or lacks a column.
    """
    with parquet_errors(path, advice):
        schema = pq.read_schema(path)
    return _read_tasks(path, schema, advice)


@contextlib.contextmanager
def _in_system_memory() -> Iterator[None]:
    """Let Arrow take memory from the system, which gets it back at once; the default pool keeps what it frees."""
    default = pa.default_memory_pool()
    pa.set_memory_pool(TRANSIENT)
    try:
        yield
    finally:
        pa.set_memory_pool(default)


@_in_system_memory()
def read_predictions(
    path: Path,
    metrics: Sequence[MetricSpec] = (),
    advice: str = RERUN_ADVICE,
    conformal: Mapping[str, LanguageThresholds] | None = None,
) -> Predictions:
    """Read a predictions file in batches, check page checksums and values, and compute the per-example metrics.

    Args:
        path: the Parquet file.
        metrics: metrics beside the built-in ones; those that are not per example are left out.
        advice: the end of an error message, how to get a good file.
        conformal: thresholds of conformal sets by task, from validation; their metrics are per example, too.

    Raises:
        RunFolderError: the file is not a predictions file, is damaged, lacks a column, has a row that is no probability
            distribution, an unknown label, an empty cell or an id twice, or a language with a reserved name.
        PluginError: a metric fails or returns values of the wrong shape.
    """
    with parquet_errors(path, advice):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        all_tasks = _read_tasks(path, file.schema_arrow, advice)
    tasks = tuple(task for task in all_tasks if not task.multilabel)
    slices = [name for name in file.schema_arrow.names if name.startswith(SLICE)]
    columns: dict[str, list[pa.Array]] = {name: [] for name in (*TEXT_COLUMNS, *slices)}
    metrics = [metric for metric in metrics if metric.per_example is not None]
    conformal = conformal or {}
    collected = {task.name: _Collected(file.metadata.num_rows) for task in tasks}
    several: dict[str, list[MultilabelOutcomes]] = {task.name: [] for task in all_tasks if task.multilabel}
    start = 0
    for batch in _batches(path, file, advice):
        for name, values in columns.items():
            # A copy, because the buffers of a decoded batch are far larger than its strings.
            values.append(pa.concat_arrays([batch.column(name), batch.column(name).slice(0, 0)]))
        for task in all_tasks:
            if task.multilabel:
                several[task.name].append(_multilabel_outcomes(path, batch, task, start, advice))
            else:
                sets = conformal.get(task.name)
                collected[task.name].add(start, _outcomes(path, batch, task, metrics, sets, start, advice))
        start += len(batch)
    texts = {name: pa.chunked_array(chunks, pa.string()) for name, chunks in columns.items()}
    _check_texts(path, texts, advice)
    languages = Codes.of(texts["language"])
    if reserved := sorted(RESERVED_LANGUAGES.intersection(languages.names)):
        raise RunFolderError(
            f'{path}: a language is called "{reserved[0]}", which is the name of a summary row in every table of '
            "scores; give the language another name."
        )
    clusters = Codes.of(texts["cluster"], ordered=False)
    return Predictions(
        ids=texts["id"],
        languages=languages,
        clusters=clusters,
        slices={name.removeprefix(SLICE): Codes.of(texts[name]) for name in slices},
        tasks=tasks,
        outcomes={
            task.name: collected[task.name].outcomes or _empty(task, metrics, conformal.get(task.name))
            for task in tasks
        },
        multilabel={
            task.name: MultilabelOutcomes.concatenate(several[task.name], task) for task in all_tasks if task.multilabel
        },
        order=tuple(task.name for task in all_tasks) if several else (),
        path=path,
    )


def _check_texts(path: Path, texts: Mapping[str, pa.ChunkedArray], advice: str) -> None:
    """Check that every row has an id, a language, a cluster and its slices, and that no id occurs twice."""
    for name, column in texts.items():
        if column.null_count:
            row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
            raise RunFolderError(f'{path}, row {row}: the column "{name}" is empty; {advice}.')
    ids = texts["id"]
    distinct = pc.count_distinct(ids, memory_pool=TRANSIENT).as_py()
    if distinct < len(ids):
        counts = ids.value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1))
        raise RunFolderError(
            f'{path}: the id "{twice[0]["values"]}" occurs {twice[0]["counts"]} times, and ids must differ; {advice}.'
        )


def _batches(path: Path, file: pq.ParquetFile, advice: str = RERUN_ADVICE) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(ROWS)
    while True:
        with parquet_errors(path, advice):  # some damage shows only when rows are read
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


def has_probabilities(path: Path, task: Task) -> bool:
    """Return whether the predictions of a task have probabilities, not only labels.

    Raises:
        RunFolderError: the file is damaged.
    """
    with parquet_errors(path, RERUN_ADVICE):
        return task.name + PROBABILITIES in pq.read_schema(path).names


def probabilities(path: Path, task: Task) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
    """Yield the batches of a predictions file, each with the probabilities ``[n, classes]`` of one task.

    Raises:
        RunFolderError: the file is damaged.
    """
    with parquet_errors(path, RERUN_ADVICE):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    for batch in _batches(path, file):
        yield batch, _matrix(batch, task)


def true_labels(path: Path, batch: pa.RecordBatch, task: Task, start: int = 0) -> NDArray[Any]:
    """Return the labels of a batch of a predictions file.

    Args:
        path: the file, for messages.
        batch: rows of the file.
        task: the task.
        start: the number of the first row.

    Returns:
        Class indices, int32 ``[n]``, -1 without a label. For a multi-label task int8 ``[n, classes]``: 1 for the
        classes of an example, 0 for the others, and -1 in the whole row of an example without a label.

    Raises:
        RunFolderError: a label is not a class of the task.
    """
    if not task.multilabel:
        return _indices(path, batch, task, task.name, start, RERUN_ADVICE)
    return read_true(batch.column(task.name), task, lambda row: _where(path, batch, row, start), RERUN_ADVICE)


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
        find = first_invalid if task.multilabel else _first_invalid
        if (invalid := find(np.asarray(block[task.name]))) is not None:
            row, problem = invalid
            raise PluginError(f"its probabilities of {task.name} {problem}, first for example {start + row}.")
    return rows


def _others(block: Mapping[str, object]) -> str:
    return f", only of {', '.join(block)}" if block else " or any other task"


def _read_tasks(path: Path, schema: pa.Schema, advice: str) -> tuple[Task, ...]:
    try:
        metadata = json.loads((schema.metadata or {})[METADATA])
        multilabel = set(metadata.get("multilabel", []))
        tasks = tuple(Task(name, tuple(classes), name in multilabel) for name, classes in metadata["tasks"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RunFolderError(f"{path} is not a predictions file of mmeval: its metadata lacks the tasks.") from None
    needed = [*TEXT_COLUMNS]
    for task in tasks:
        has_labels_only = task.name + PREDICTED in schema.names
        needed += [task.name, task.name + (PREDICTED if has_labels_only else PROBABILITIES)]
    for column in needed:
        if column not in schema.names:
            raise RunFolderError(f'{path}: the column "{column}" is missing; {advice}.')
    for task in tasks:
        if task.name + PREDICTED in schema.names:
            continue
        dtype = schema.field(task.name + PROBABILITIES).type
        if dtype != pa.list_(pa.float32(), len(task.classes)):
            raise RunFolderError(
                f"{path}: the probabilities of {task.name} must be lists of {len(task.classes)} float32 numbers, "
                f"but are {dtype}; {advice}."
            )
    return tasks


def _outcomes(
    path: Path,
    batch: pa.RecordBatch,
    task: Task,
    metrics: Sequence[MetricSpec],
    sets: LanguageThresholds | None,
    start: int,
    advice: str,
) -> Outcomes:
    true = _indices(path, batch, task, task.name, start, advice)
    if task.name + PREDICTED in batch.schema.names:
        predicted = _indices(path, batch, task, task.name + PREDICTED, start, advice)
        if (predicted < 0).any():
            where = _where(path, batch, int(np.flatnonzero(predicted < 0)[0]), start)
            raise RunFolderError(f"{where}: there is no predicted class of {task.name}; {advice}.")
        return Outcomes(true, predicted, {"top1": predicted == true}, len(task.classes))
    matrix = _matrix(batch, task)
    if (invalid := _first_invalid(matrix)) is not None:
        row, problem = invalid
        where = _where(path, batch, row, start)
        raise RunFolderError(f"{where}: the probabilities of {task.name} {problem}; {advice}.")
    known = np.where(true < 0, 0, true).astype(np.int64)
    # Read-only, so that no metric can change the input of the next one.
    known.setflags(write=False)
    matrix.setflags(write=False)
    predicted = matrix.argmax(1).astype(np.int32)
    rows = np.arange(len(matrix))
    values = per_example_values(known, matrix)
    values |= sets.values(batch.column("language"), known, matrix) if sets else {}
    values |= {metric.name: _plugin_values(metric, known, matrix) for metric in metrics}
    return Outcomes(true, predicted, values, len(task.classes), matrix[rows, predicted], matrix[rows, known])


def _multilabel_outcomes(path: Path, batch: pa.RecordBatch, task: Task, start: int, advice: str) -> MultilabelOutcomes:
    def where(row: int) -> str:
        return _where(path, batch, row, start)

    matrix = _matrix(batch, task)
    if (invalid := first_invalid(matrix)) is not None:
        row, problem = invalid
        raise RunFolderError(f"{where(row)}: the probabilities of {task.name} {problem}; {advice}.")
    return MultilabelOutcomes(task, read_true(batch.column(task.name), task, where, advice), matrix)


def _first_invalid(matrix: NDArray[np.float32]) -> tuple[int, str] | None:
    """Return the first row that is no probability distribution, with the problem; None if every row is one."""
    # NaN and infinity reach the sum of their row.
    sums = matrix.sum(1, dtype=np.float64)
    if not matrix.size or (bool((np.abs(sums - 1) <= 1e-3).all()) and matrix.min() >= 0):
        return None
    bad = np.flatnonzero(~np.isfinite(matrix).all(1))
    if len(bad):
        return int(bad[0]), "contain NaN or infinity"
    bad = np.flatnonzero((matrix < 0).any(1) | (np.abs(sums - 1) > 1e-3))
    return int(bad[0]), "are negative or don't sum to 1"


def _plugin_values(metric: MetricSpec, true: NDArray[np.int64], matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    assert metric.per_example is not None
    try:
        values = np.asarray(metric.per_example(true, matrix), np.float64)
    except Exception as error:
        raise PluginError(f"{metric.label} failed: {type(error).__name__}: {error}") from error
    if values.shape != true.shape:
        raise PluginError(f"{metric.label} must return an array of shape {true.shape}, but returned {values.shape}.")
    if not np.isfinite(values).all():
        raise PluginError(f"{metric.label} must return finite values, but returned {values[~np.isfinite(values)][0]}.")
    return values


def _matrix(batch: pa.RecordBatch, task: Task) -> NDArray[np.float32]:
    """Return the probabilities ``[n, classes]`` of a task; null becomes NaN."""
    column = batch.column(task.name + PROBABILITIES)
    if column.null_count:
        column = pc.fill_null(column, pa.scalar([float("nan")] * len(task.classes), column.type))
    flat = column.flatten()
    if flat.null_count:
        flat = flat.fill_null(float("nan"))
    return np.asarray(flat, np.float32).reshape(len(batch), len(task.classes))


def _indices(path: Path, batch: pa.RecordBatch, task: Task, column: str, start: int, advice: str) -> NDArray[np.int32]:
    """Return the class index of each row of a column of class names; -1 for null."""
    names = batch.column(column)
    if not isinstance(names, pa.DictionaryArray):  # rewritten by another program
        names = names.dictionary_encode()
    known = pc.index_in(names.dictionary, value_set=pa.array(task.classes, pa.string()))
    index = np.asarray(known.fill_null(-2)).astype(np.int32)
    codes = np.asarray(names.indices.fill_null(len(index)))
    indices: NDArray[np.int32] = np.append(index, np.int32(-1))[codes]
    if (bad := np.flatnonzero(indices == -2)).size:
        row = int(bad[0])
        raise RunFolderError(
            f'{_where(path, batch, row, start)}: "{names[row]}" is not a class of {task.name}; {advice}.'
        )
    return indices


def _where(path: Path, batch: pa.RecordBatch, row: int, start: int) -> str:
    return f"{path}, row {start + row} (id {batch.column('id')[row]})"


class _Collected:
    """Outcomes that are filled in batch by batch, without a second copy of all rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.outcomes: Outcomes | None = None

    def add(self, start: int, part: Outcomes) -> None:
        """Add the outcomes of the rows from ``start``."""
        if self.outcomes is None:
            # Whole arrays of the types of the first part.
            self.outcomes = part.take(np.zeros(self.rows, np.int8)) if self.rows else part
        stop = start + len(part.true)
        for mine, own in zip(_arrays(self.outcomes), _arrays(part), strict=True):
            mine[start:stop] = own


def _arrays(outcomes: Outcomes) -> list[NDArray[Any]]:
    optional = [column for column in (outcomes.confidence, outcomes.true_probability) if column is not None]
    return [outcomes.true, outcomes.predicted, *outcomes.values.values(), *optional]


def _empty(task: Task, metrics: Sequence[MetricSpec], sets: LanguageThresholds | None) -> Outcomes:
    """Return the outcomes of no rows."""
    matrix, none = np.zeros((0, len(task.classes)), np.float32), np.zeros(0, np.int32)
    values = per_example_values(none.astype(np.int64), matrix)
    values |= sets.values(pa.array([], pa.string()), none, matrix) if sets else {}
    values |= {metric.name: np.zeros(0) for metric in metrics}
    return Outcomes(none, none, values, len(task.classes), np.zeros(0, np.float32), np.zeros(0, np.float32))
