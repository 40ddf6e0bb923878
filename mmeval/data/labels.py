"""Labels of a task as arrays: class indices, or a matrix of zeros and ones for a multi-label task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.task import Task

UNLABELLED = -1
"""The class index of an example without a label; in every cell of its row if the task is multi-label."""


def labels_of(column: pa.ChunkedArray, task: Task) -> NDArray[Any]:
    """Return the labels of a Store's column ``label:*``.

    Returns:
        int64 ``[n]``, class indices. For a multi-label task int8 ``[n, classes]``: 1 for the classes of an example, 0
        for the others. -1 without a label.
    """
    if not task.multilabel:
        return np.asarray(column).astype(np.int64)
    lists = column.combine_chunks()
    matrix = np.zeros((len(lists), len(task.classes)), np.int8)
    matrix[np.asarray(pc.list_parent_indices(lists)), np.asarray(pc.list_flatten(lists))] = 1
    matrix[np.asarray(lists.is_null())] = UNLABELLED
    return matrix


def has_label(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which examples have a label, bool ``[n]``; ``labels`` as from :func:`labels_of`."""
    return np.asarray((labels >= 0).all(1) if labels.ndim == 2 else labels >= 0)


def count_classes(labels: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return the number of examples of each class, ``[classes]``; ``labels`` as from :func:`labels_of`."""
    if labels.ndim == 2:
        return np.asarray((labels > 0).sum(0, dtype=np.int64))
    return np.bincount(labels[labels >= 0], minlength=classes).astype(np.int64)
