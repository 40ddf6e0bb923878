"""The examples of a split as arrays: languages, clusters and slices as codes, and the outcomes of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.multilabel_outcomes import MultilabelOutcomes

TRANSIENT = pa.system_memory_pool()
"""Memory for tables of distinct names, which the system gets back after use; Arrow's default pool would keep it."""


@dataclass(frozen=True, eq=False)
class Codes:
    """A column of names, stored as a number per row: ten million rows of thirteen languages take 40 MB."""

    dictionary: pa.Array
    """The distinct names."""
    codes: NDArray[np.int32]
    """For each row the index of its name, ``[n]``."""

    @classmethod
    def of(cls, values: pa.ChunkedArray | pa.Array | Sequence[str], *, ordered: bool = True) -> Codes:
        """Encode a column of strings.

        Args:
            values: the column, without nulls.
            ordered: sort the distinct names; otherwise they stand in the order of their first row, which is faster for
                columns with many names.
        """
        if not isinstance(values, pa.ChunkedArray | pa.Array):
            values = pa.array(values, pa.string())
        if isinstance(values, pa.ChunkedArray):
            # One array, because encoded chunks would each hold all the names. 64-bit offsets allow more than 2 GiB.
            values = (values.cast(pa.large_string()) if values.nbytes >= 2**31 else values).combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = values.chunk(0) if values.num_chunks else pa.array([], pa.string())
        encoded = pc.dictionary_encode(values, memory_pool=TRANSIENT)
        dictionary, codes = encoded.dictionary, np.asarray(encoded.indices).astype(np.int32)
        if ordered:
            order = np.asarray(pc.sort_indices(dictionary)).astype(np.int64)
            rank = np.empty(len(order), np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            dictionary, codes = dictionary.take(pa.array(order)), rank[codes]
        return cls(dictionary, codes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The distinct names as Python strings."""
        return tuple(self.dictionary.to_pylist())

    def values(self) -> list[str]:
        """Return the name of each row."""
        values: list[str] = self.dictionary.take(pa.array(self.codes)).to_pylist()
        return values

    def take(self, rows: NDArray[np.integer]) -> Codes:
        """Return the column at some rows, with the same distinct names."""
        return Codes(self.dictionary, self.codes[rows])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """True classes, predicted classes and metric values of ``n`` examples, for one task and one training seed."""

    true: NDArray[np.int32]
    """Indices of the true classes, ``[n]``; -1 where an example has no label."""
    predicted: NDArray[np.int32]
    """Indices of the most probable classes, ``[n]``; among equal probabilities the lowest index."""
    values: Mapping[str, NDArray[np.float64] | NDArray[np.bool_]]
    """Values of the per-example metrics by name, each ``[n]``: Booleans for ``top1`` and ``top5``, numbers for
    ``log_loss``, ``brier`` and the metrics of plugins; meaningless in rows without a label."""
    classes: int
    """Number of classes of the task."""
    confidence: NDArray[np.float32] | None = None
    """Probability of the predicted class, ``[n]``; None where the predictions have no probabilities."""
    true_probability: NDArray[np.float32] | None = None
    """Probability of the true class, ``[n]``; None where the predictions have no probabilities."""

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the true class, ``[n]``."""
        hits: NDArray[np.bool_] = self.true == self.predicted
        return hits

    def take(self, rows: NDArray[np.integer]) -> Outcomes:
        """Return the outcomes of some rows, copied."""
        return Outcomes(
            self.true[rows],
            self.predicted[rows],
            {name: values[rows] for name, values in self.values.items()},
            self.classes,
            None if self.confidence is None else self.confidence[rows],
            None if self.true_probability is None else self.true_probability[rows],
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """The content of one predictions file, with probabilities reduced to metric values."""

    ids: pa.ChunkedArray | pa.Array
    """The ids as an Arrow column of strings, all different."""
    languages: Codes
    clusters: Codes
    slices: Mapping[str, Codes]
    tasks: tuple[Task, ...]
    """The tasks with one class per example; ``multilabel`` has the others."""
    outcomes: Mapping[str, Outcomes]
    """Outcomes by task."""
    multilabel: Mapping[str, MultilabelOutcomes] = field(default_factory=dict)
    """Outcomes by multi-label task."""
    order: tuple[str, ...] = ()
    """Names of all tasks in the order of the data set; empty if there are no multi-label tasks."""
    path: Path | None = None
    """The file, for metrics that read all probabilities again; None where the predictions were not read from a file."""

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.ids)
