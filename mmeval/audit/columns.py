"""The columns of a Store that an audit reads, as integer codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.data.labels import labels_of
from mmeval.data.sample import NO_CLASS
from mmeval.data.store import LABEL, Store

SPLITS = ("train", "validation", "test")
"""In this order; a split must not share examples with those before it."""


@dataclass(frozen=True)
class Rows:
    """All examples of a Store, ``n`` of them."""

    store: Store
    splits: tuple[str, ...]
    """Splits with examples, in the order of ``SPLITS``."""
    languages: tuple[str, ...]
    split: NDArray[np.int64]
    """Index into ``splits``, ``[n]``."""
    language: NDArray[np.int64]
    """Index into ``languages``, ``[n]``."""
    image: NDArray[np.int64]
    """Row of the image in the Store, -1 for none, ``[n]``."""
    cluster: NDArray[np.int64]
    """Code of the cluster, ``[n]``."""
    labels: dict[str, NDArray[np.int64]]
    """Label by task, each ``[n]``: an index into ``label_names``, -1 for none."""
    label_names: dict[str, tuple[str, ...]]
    """By task: its classes, or for a multi-label task each set of classes that occurs, joined by commas."""

    @property
    def single_label_tasks(self) -> list[Task]:
        """The tasks with one class per example. Only they have a class distribution and one right class name."""
        return [task for task in self.store.tasks if not task.multilabel]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.split)

    @property
    def scored(self) -> int:
        """Index of the split that models are scored on: test, or the last split that the data set has."""
        return len(self.splits) - 1

    def texts(self) -> Iterator[tuple[int, list[str]]]:
        """Yield all texts in blocks: row of the first text, texts."""
        start = 0
        for batch in self.store.examples.select(["text"]).to_batches(max_chunksize=8192):
            texts: list[str] = batch["text"].to_pylist()
            yield start, texts
            start += len(texts)

    def example(self, row: int) -> dict[str, str]:
        """Return ``id``, ``text``, ``split``, ``language`` and ``labels`` (class names, joined) of one example."""
        values: dict[str, str] = self.store.examples.select(["id", "text"]).slice(row, 1).to_pylist()[0]
        labels = {
            task: self.label_names[task][index]
            for task, values in self.labels.items()
            if (index := int(values[row])) >= 0
        }
        place = {"split": self.splits[self.split[row]], "language": self.languages[self.language[row]]}
        return values | place | {"labels": ", ".join(labels.values())}


def read_rows(store: Store) -> Rows:
    """Read the columns of a Store."""
    table = store.examples
    present = set(store.split_sizes)
    splits = tuple(name for name in SPLITS if name in present) + tuple(sorted(present - set(SPLITS)))
    labels = {task.name: _labels(table[LABEL + task.name], task) for task in store.tasks}
    return Rows(
        store=store,
        splits=splits,
        languages=store.languages,
        split=_codes(table["split"], splits),
        language=_codes(table["language"], store.languages),
        image=table["image"].to_numpy().astype(np.int64),
        cluster=table["cluster"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64),
        labels={task: values for task, (values, _) in labels.items()},
        label_names={task: names for task, (_, names) in labels.items()},
    )


def _labels(column: pa.ChunkedArray, task: Task) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return label and names of a task as in :class:`Rows`: in a multi-label task, a set of classes is one label."""
    labels = labels_of(column, task)
    if not task.multilabel:
        return labels, task.classes
    sets, label = np.unique(labels, axis=0, return_inverse=True)
    # The rows without a label are all -1, and so the first of the sorted sets.
    missing = int(len(sets) > 0 and (sets[0] < 0).any())
    names = tuple(", ".join(task.classes[i] for i in np.flatnonzero(row)) or NO_CLASS for row in sets[missing:])
    return label.reshape(-1).astype(np.int64) - missing, names


def _codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the index into ``names`` of each value of a column."""
    encoded = column.combine_chunks().dictionary_encode()
    index_of = {name: index for index, name in enumerate(names)}
    order = np.array([index_of[name] for name in encoded.dictionary.to_pylist()], dtype=np.int64)
    indices: NDArray[np.int64] = order[encoded.indices.to_numpy()]
    return indices
