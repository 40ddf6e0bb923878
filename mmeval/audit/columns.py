"""The columns of a Store that an audit reads, as integer codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
    """Class index by task, -1 for none, each ``[n]``."""

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
            task.name: task.classes[index]
            for task in self.store.tasks
            if (index := int(self.labels[task.name][row])) >= 0
        }
        place = {"split": self.splits[self.split[row]], "language": self.languages[self.language[row]]}
        return values | place | {"labels": ", ".join(labels.values())}


def read_rows(store: Store) -> Rows:
    """Read the columns of a Store."""
    table = store.examples
    present = set(store.split_sizes)
    splits = tuple(name for name in SPLITS if name in present) + tuple(sorted(present - set(SPLITS)))
    labels = {task.name: table[LABEL + task.name].to_numpy().astype(np.int64) for task in store.tasks}
    return Rows(
        store=store,
        splits=splits,
        languages=store.languages,
        split=_codes(table["split"], splits),
        language=_codes(table["language"], store.languages),
        image=table["image"].to_numpy().astype(np.int64),
        cluster=table["cluster"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64),
        labels=labels,
    )


def _codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the index into ``names`` of each value of a column."""
    encoded = column.combine_chunks().dictionary_encode()
    index_of = {name: index for index, name in enumerate(names)}
    order = np.array([index_of[name] for name in encoded.dictionary.to_pylist()], dtype=np.int64)
    indices: NDArray[np.int64] = order[encoded.indices.to_numpy()]
    return indices
