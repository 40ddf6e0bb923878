"""The examples of one split, with only the inputs that the protocol allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.data.labels import count_classes, has_label, labels_of
from mmeval.data.store import ATTRIBUTE, LABEL, SLICE, Store
from mmeval.protocol import Inputs


def rows_of(store: Store, split: str, limit: int | None = None) -> NDArray[np.int64]:
    """Return the rows of a split in ``store.examples``, ascending; ``limit`` draws that many, always the same."""
    rows = np.flatnonzero(np.asarray(pc.equal(store.examples["split"], split)))
    if limit is not None and limit < len(rows):
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:limit])
    return rows


class Examples:
    """The examples of one split, in the Store's order.

    Models may read ``texts``, ``languages``, ``image_rows``, ``attribute`` and, in training, ``labels``. Ids, clusters
    and slices are for the protocol and the scores.
    """

    def __init__(self, store: Store, split: str, inputs: Inputs = Inputs.IMAGE_TEXT, limit: int | None = None) -> None:
        """Select ``split``; ``limit`` draws that many of its examples at random, always the same ones."""
        self.store, self.split, self.inputs = store, split, inputs
        self.table = store.examples.take(pa.array(rows_of(store, split, limit)))

    @classmethod
    def of_rows(cls, store: Store, rows: NDArray[np.int64], name: str, inputs: Inputs = Inputs.IMAGE_TEXT) -> Examples:
        """Return any rows of the Store as a split called ``name``, for example for cross-validation."""
        return cls.of_table(store, store.examples.take(pa.array(rows)), name, inputs)

    @classmethod
    def of_table(cls, store: Store, table: pa.Table, name: str, inputs: Inputs = Inputs.IMAGE_TEXT) -> Examples:
        """Return a table with the columns of ``store.examples`` as a split called ``name``."""
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
        """Texts; all empty if the protocol hides them."""
        return self._strings("text") if self.inputs.text else [""] * len(self)

    @cached_property
    def languages(self) -> list[str]:
        """ISO 639-1 codes."""
        return self._strings("language")

    @cached_property
    def clusters(self) -> list[str]:
        """Names of the clusters; the bootstrap resamples the examples of a cluster together."""
        return self._strings("cluster")

    @cached_property
    def all_image_rows(self) -> NDArray[np.int64]:
        """Rows in ``store.images``, -1 without an image; also if the protocol hides images."""
        return self._numbers("image")

    @cached_property
    def image_rows(self) -> NDArray[np.int64]:
        """Rows in ``store.images``, -1 without an image; all -1 if the protocol hides images."""
        return self.all_image_rows if self.inputs.image else np.full(len(self), -1)

    def labels(self, task: str) -> NDArray[Any]:
        """Return the labels of a task.

        Returns:
            Class indices, int64 ``[n]``, -1 without a label. For a multi-label task int8 ``[n, classes]``: 1 for the
            classes of an example, 0 for the others, and -1 in the whole row of an example without a label.
        """
        (own,) = (known for known in self.store.tasks if known.name == task)
        return labels_of(self.table[LABEL + task], own)

    def slice(self, name: str) -> list[str]:
        """Return the values of a slice column."""
        return self._strings(SLICE + name)

    def attribute(self, name: str) -> list[str]:
        """Return the values of an attribute, an input beside image and text."""
        return self._strings(ATTRIBUTE + name)

    def class_counts(self) -> dict[str, tuple[int, ...]]:
        """Return the number of examples of each class, by task."""
        return {
            task.name: tuple(count_classes(self.labels(task.name), len(task.classes)).tolist())
            for task in self.store.tasks
        }

    def labelled_counts(self) -> dict[str, int]:
        """Return the number of examples with a label, by task."""
        return {task.name: int(has_label(self.labels(task.name)).sum()) for task in self.store.tasks}

    def encoded_images(self, rows: Sequence[int] | NDArray[np.int64]) -> list[bytes | None]:
        """Return the encoded images at ``rows`` of ``store.images``; None for -1."""
        return [None if row < 0 else self.store.image(int(row)) for row in rows]

    def image_digests(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the digests of the images at ``rows`` of ``store.images``; empty for -1."""
        digests = iter(self.store.images["digest"].take(pa.array(rows[rows >= 0])).to_pylist())
        return [next(digests) if row >= 0 else "" for row in rows]

    def _strings(self, column: str) -> list[str]:
        values: list[str] = self.table[column].to_pylist()
        return values

    def _numbers(self, column: str) -> NDArray[np.int64]:
        return np.asarray(self.table[column]).astype(np.int64)
