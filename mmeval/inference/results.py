"""Predictions as columns: the class of each task, its probability, the most probable classes, and abstentions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.inference.chunk import Chunk
from mmeval.metrics.multilabel import predicted_classes

PROBABILITY, TOP, TOP_PROBABILITIES, ABSTAINED = ":probability", ":top", ":top_probabilities", ":abstained"
"""Suffixes of a task's columns."""
CLASS = ":class"
"""Suffix of the column of a task whose name is taken by another column."""
REJECTED = "rejected"
"""The column with the reason for rejecting a row; null for a row that was classified."""
RESERVED = ("id", "language", REJECTED)

Probabilities = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What is shown of the probabilities."""

    top_k: int = 5
    """Number of the most probable classes that are listed."""
    min_confidence: float = 0.0
    """The lowest probability with which the model decides; below, it abstains."""


def class_column(task: Task) -> str:
    """Return the name of the column with the class of a task: the task's name, unless another column has it."""
    return f"{task.name}{CLASS}" if task.name in RESERVED else task.name


def schema(tasks: Sequence[Task]) -> pa.Schema:
    """Return the columns of predictions.

    ``id`` and ``language``; for each task ``TASK`` (the class; null if the model abstained or the row was rejected),
    ``TASK:probability``, ``TASK:top``, ``TASK:top_probabilities`` and ``TASK:abstained``; and ``rejected``. For a
    multi-label task, ``TASK`` and ``TASK:probability`` are lists: the classes with a probability of at least .5.
    """
    fields = [pa.field("id", pa.string()), pa.field("language", pa.string())]
    for task in tasks:
        text, number = pa.string(), pa.float32()
        several = task.multilabel
        fields += [
            pa.field(class_column(task), pa.list_(text) if several else text),
            pa.field(task.name + PROBABILITY, pa.list_(number) if several else number),
            pa.field(task.name + TOP, pa.list_(text)),
            pa.field(task.name + TOP_PROBABILITIES, pa.list_(number)),
            pa.field(task.name + ABSTAINED, pa.bool_()),
        ]
    return pa.schema([*fields, pa.field(REJECTED, pa.string())])


def result_table(chunk: Chunk, probabilities: Probabilities, tasks: Sequence[Task], options: ResultOptions) -> pa.Table:
    """Return the predictions of a chunk, a row for each of its rows.

    Args:
        chunk: the rows.
        probabilities: of the usable rows, ``[n, classes]`` by task.
        tasks: the tasks.
        options: what is shown.
    """
    own = schema(tasks)
    place = np.full(len(chunk), -1, np.int64)
    place[chunk.usable] = np.arange(len(chunk.usable))
    take = pa.array(place, pa.int64(), mask=place < 0)
    columns: dict[str, pa.Array] = {
        "id": pa.array(chunk.ids, pa.string()),
        "language": pa.array(chunk.languages, pa.string()),
        REJECTED: pa.array([row and row.reason for row in chunk.rejected], pa.string()),
    }
    for task in tasks:
        of_task = _multilabel if task.multilabel else _single
        for name, values in of_task(probabilities[task.name], task, options).items():
            columns[name] = values.take(take)
    return pa.table([columns[name].cast(own.field(name).type) for name in own.names], schema=own)


def _single(matrix: NDArray[np.float32], task: Task, options: ResultOptions) -> dict[str, pa.Array]:
    best = matrix.argmax(1) if len(matrix) else np.zeros(0, np.int64)
    confidence = matrix[np.arange(len(matrix)), best]
    abstained = confidence < options.min_confidence
    return {
        class_column(task): pa.array(_names(task).take(pa.array(best)).to_pylist(), pa.string(), mask=abstained),
        task.name + PROBABILITY: pa.array(confidence, pa.float32()),
        **_top(matrix, task, options.top_k),
        task.name + ABSTAINED: pa.array(abstained),
    }


def _multilabel(matrix: NDArray[np.float32], task: Task, options: ResultOptions) -> dict[str, pa.Array]:
    taken = predicted_classes(matrix)
    # The model abstains if it can't decide some class.
    certainty = np.maximum(matrix, 1 - matrix).min(1) if len(matrix) else np.zeros(0)
    abstained = certainty < options.min_confidence
    shown = taken & ~abstained[:, None]
    row, label = np.nonzero(shown)
    offsets = pa.array(np.append(0, shown.sum(1).cumsum()), pa.int32())
    mask = pa.array(abstained)
    return {
        class_column(task): pa.ListArray.from_arrays(offsets, _names(task).take(pa.array(label)), mask=mask),
        task.name + PROBABILITY: pa.ListArray.from_arrays(offsets, pa.array(matrix[row, label]), mask=mask),
        **_top(matrix, task, options.top_k),
        task.name + ABSTAINED: mask,
    }


def _top(matrix: NDArray[np.float32], task: Task, k: int) -> dict[str, pa.Array]:
    k = min(k, len(task.classes))
    order = top(matrix, k)
    offsets = pa.array(np.arange(0, k * len(matrix) + 1, k) if k else np.zeros(len(matrix) + 1), pa.int32())
    values = np.take_along_axis(matrix, order, 1)
    return {
        task.name + TOP: pa.ListArray.from_arrays(offsets, _names(task).take(pa.array(order.ravel()))),
        task.name + TOP_PROBABILITIES: pa.ListArray.from_arrays(offsets, pa.array(values.ravel())),
    }


def top(matrix: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the indices of the ``k`` most probable classes of each row, the best first; equal ones in their order."""
    return np.argsort(-matrix, axis=1, kind="stable")[:, :k]


def _names(task: Task) -> pa.Array:
    return pa.array(task.classes, pa.string())


def counts(table: pa.Table, tasks: Sequence[Task]) -> dict[str, int]:
    """Return the number of rows, of rejected rows, and of rows in which the model abstained in some task."""
    rejected = len(table) - table[REJECTED].null_count
    abstained = np.zeros(len(table), bool)
    for task in tasks:
        abstained |= np.asarray(table[task.name + ABSTAINED].combine_chunks().fill_null(False))
    return {"rows": len(table), "rejected": rejected, "abstained": int(abstained.sum())}
