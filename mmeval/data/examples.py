"""A split of a Store, seen under the inputs that the protocol allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.data.store import ATTRIBUTE, LABEL, SLICE, Store
from mmeval.protocol import Inputs


def rows_of(store: Store, split: str, limit: int | None = None) -> NDArray[np.int64]:
    """Rows of a split in ``store.examples``, in their order; ``limit``: at most as many, from all over the split."""
    rows = np.flatnonzero(np.asarray(pc.equal(store.examples["split"], split)))
    if limit is not None and limit < len(rows):
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:limit])
    return rows


class Examples:
    """The examples of one split, in the Store's order.

    Models read ``texts``, ``languages``, ``image_rows``, the attributes that few data sets have and, in training,
    ``labels``; ids, clusters and slices are for the protocol and the scores.
    """

    def __init__(self, store: Store, split: str, inputs: Inputs = Inputs.IMAGE_TEXT, limit: int | None = None) -> None:
        """Select ``split``; ``limit`` takes that many examples, the same ones each time, from all over the split."""
        self.store, self.split, self.inputs = store, split, inputs
        self.table = store.examples.take(pa.array(rows_of(store, split, limit)))

    @classmethod
    def of_rows(cls, store: Store, rows: NDArray[np.int64], name: str, inputs: Inputs = Inputs.IMAGE_TEXT) -> Examples:
        """Any rows of the Store as a split called ``name``, for cross-validation say."""
        return cls.of_table(store, store.examples.take(pa.array(rows)), name, inputs)

    @classmethod
    def of_table(cls, store: Store, table: pa.Table, name: str, inputs: Inputs = Inputs.IMAGE_TEXT) -> Examples:
        """Any table with the columns of ``store.examples`` as a split called ``name``."""
        self = cls.__new__(cls)
        self.store, self.table, self.split, self.inputs = store, table, name, inputs
        return self

    def __len__(self) -> int:
        """Number of examples."""
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """Unique ids."""
        return self._strings("id")

    @cached_property
    def texts(self) -> list[str]:
        """Texts; all empty where the protocol shows none."""
        return self._strings("text") if self.inputs.text else [""] * len(self)

    @cached_property
    def languages(self) -> list[str]:
        """ISO 639-1 codes."""
        return self._strings("language")

    @cached_property
    def clusters(self) -> list[str]:
        """What is resampled together by the bootstrap."""
        return self._strings("cluster")

    @cached_property
    def all_image_rows(self) -> NDArray[np.int64]:
        """Rows in ``store.images``, -1 where there is no image; whatever the protocol shows."""
        return self._numbers("image")

    @cached_property
    def image_rows(self) -> NDArray[np.int64]:
        """As ``all_image_rows``, but -1 throughout where the protocol shows no images."""
        return self.all_image_rows if self.inputs.image else np.full(len(self), -1)

    def labels(self, task: str) -> NDArray[np.int64]:
        """Class indices of a task ``[n]``, -1 where there is no label."""
        return self._numbers(LABEL + task)

    def slice(self, name: str) -> list[str]:
        """Values of a slice column."""
        return self._strings(SLICE + name)

    def attribute(self, name: str) -> list[str]:
        """Values of an input beside image and text."""
        return self._strings(ATTRIBUTE + name)

    def class_counts(self) -> dict[str, tuple[int, ...]]:
        """Examples per class, by task."""
        return {
            task.name: tuple(np.bincount(labels[labels >= 0], minlength=len(task.classes)).tolist())
            for task in self.store.tasks
            for labels in [self.labels(task.name)]
        }

    def encoded_images(self, rows: Sequence[int] | NDArray[np.int64]) -> list[bytes | None]:
        """Encoded images of ``image_rows`` values; None for -1."""
        return [None if row < 0 else self.store.image(int(row)) for row in rows]

    def image_digests(self, rows: NDArray[np.int64]) -> list[str]:
        """SHA-256 of the encoded images of ``image_rows`` values; empty for -1."""
        known = iter(self.store.images["digest"].take(pa.array(rows[rows >= 0])).to_pylist())
        return [next(known) if row >= 0 else "" for row in rows]

    def _strings(self, column: str) -> list[str]:
        values: list[str] = self.table[column].to_pylist()
        return values

    def _numbers(self, column: str) -> NDArray[np.int64]:
        return np.asarray(self.table[column]).astype(np.int64)
