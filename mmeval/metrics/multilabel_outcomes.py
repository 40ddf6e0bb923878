"""Multi-label tasks in predictions: true classes and probabilities, and their columns in the predictions file.

``TASK`` is a list of the true classes (null without a label, empty for none of the classes), and
``TASK:probabilities`` one float32 in [0, 1] per class. They need not sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.errors import RunFolderError

TRUE_TYPE = pa.list_(pa.dictionary(pa.int32(), pa.string()))
"""Arrow type of the column of true classes."""
LARGEST = 1 + 1e-6
"""Largest probability that is accepted: a float32 may round up."""


@dataclass(frozen=True, eq=False)
class MultilabelOutcomes:
    """True classes and probabilities of ``n`` examples, for one multi-label task and one training seed."""

    task: Task
    true: NDArray[np.int8]
    """1 for the classes of an example, 0 for the others, -1 in the rows without a label: ``[n, classes]``."""
    scores: NDArray[np.float32]
    """Probability of each class, ``[n, classes]``."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether an example has a label, ``[n]``."""
        return np.asarray((self.true >= 0).all(1))

    def take(self, rows: NDArray[np.integer]) -> MultilabelOutcomes:
        """Return the outcomes of some rows."""
        return MultilabelOutcomes(self.task, self.true[rows], self.scores[rows])

    @classmethod
    def concatenate(cls, parts: list[MultilabelOutcomes], task: Task) -> MultilabelOutcomes:
        """Return the outcomes of consecutive batches as those of all their rows."""
        shape = (0, len(task.classes))
        return cls(
            task,
            np.concatenate([np.zeros(shape, np.int8), *(part.true for part in parts)]),
            np.concatenate([np.zeros(shape, np.float32), *(part.scores for part in parts)]),
        )


def true_column(task: Task, labels: NDArray[Any]) -> pa.ListArray:
    """Return labels, ``[n, classes]`` as in :class:`MultilabelOutcomes`, as a column of the predictions file."""
    missing = np.asarray((labels < 0).any(1))
    has = (labels > 0) & ~missing[:, None]
    _, classes = np.nonzero(has)
    values = pa.DictionaryArray.from_arrays(pa.array(classes, pa.int32()), pa.array(task.classes, pa.string()))
    offsets = pa.array(np.append(0, has.sum(1).cumsum()), pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(missing))


def read_true(column: pa.Array, task: Task, where: Callable[[int], str], advice: str) -> NDArray[np.int8]:
    """Return a column of the predictions file as labels, ``[n, classes]``.

    Args:
        column: the column ``TASK`` of a batch.
        task: the task.
        where: (row of the batch) -> its name in messages.
        advice: the end of an error message, how to get a good file.

    Raises:
        RunFolderError: the column is no list of texts, or a text is not a class of the task.
    """
    if not pa.types.is_list(column.type):
        raise RunFolderError(
            f"{where(0)}: the true classes of {task.name} must be a list, not {column.type}; {advice}."
        )
    values, parents = pc.list_flatten(column), np.asarray(pc.list_parent_indices(column))
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    codes = np.asarray(pc.index_in(values, value_set=pa.array(task.classes, pa.string())).fill_null(-1))
    if (bad := np.flatnonzero(codes < 0)).size:
        place, name = where(int(parents[bad[0]])), values[int(bad[0])].as_py()
        raise RunFolderError(f'{place}: "{name}" is not a class of {task.name}; {advice}.')
    labels = np.zeros((len(column), len(task.classes)), np.int8)
    labels[parents, codes] = 1
    labels[np.asarray(column.is_null())] = -1
    return labels


def first_invalid(matrix: NDArray[np.float32]) -> tuple[int, str] | None:
    """Return the first row with a number that is no probability, with the problem; None if all are probabilities."""
    if not matrix.size or (matrix.min() >= 0 and matrix.max() <= LARGEST):
        return None
    bad = np.flatnonzero(~np.isfinite(matrix).all(1))
    if len(bad):
        return int(bad[0]), "contain NaN or infinity"
    return int(np.flatnonzero(((matrix < 0) | (matrix > LARGEST)).any(1))[0]), "are below 0 or above 1"
