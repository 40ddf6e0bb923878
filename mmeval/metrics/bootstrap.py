"""The cluster bootstrap: counts per class of many groups of examples in every resample."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.counts import Counts
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions
from mmeval.metrics.row import ALL

RESAMPLES = 1000
"""Bootstrap resamples of a run's scores."""
CONFIDENCE = 0.95
"""Confidence level of every interval."""
MOST_BLOCK, BLOCK_BYTES = 40, 2**29
"""A thread computes this many resamples at once, or fewer where the weights of all threads would take more bytes."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups that scores are given for: each slice, in each language and in all languages pooled.

    Groups overlap. ``atoms`` are the disjoint sets of rows that they are made of: rows with the same language and the
    same value in every slice column.
    """

    slices: tuple[str, ...]
    """``all``, then each value of each slice column as ``source=admin``."""
    languages: tuple[str, ...]
    atoms: NDArray[np.int32]
    """The atom of each row, ``[n]``."""
    members: Any
    """Sparse matrix ``[groups, atoms]``: 1 where a group contains an atom. Group ``s * (languages + 1) + l`` is
    language ``l`` of slice ``s``; the last group of each slice has all languages."""

    @classmethod
    def of(cls, languages: Codes, slices: dict[str, Codes]) -> Groups:
        """Return the groups of examples with these languages and slices."""
        from scipy.sparse import csr_array

        columns = [languages.codes, *(column.codes for column in slices.values())]
        key = np.zeros(len(languages), np.int64)
        for codes in columns:
            _, key = np.unique(key * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
        count = int(key.max(initial=-1)) + 1
        first = np.empty(count, np.int64)
        first[key[::-1]] = np.arange(len(key))[::-1]
        names, masks = [ALL], [np.ones(count, bool)]
        for name, column in slices.items():
            for code, value in enumerate(column.names):
                mask = column.codes[first] == code
                if mask.any():
                    names.append(f"{name}={value}")
                    masks.append(mask)
        language = languages.codes[first]
        total = len(languages.names)
        rows = [mask & (language == code if code < total else True) for mask in masks for code in range(total + 1)]
        members = csr_array(np.stack(rows).astype(np.float32)) if count else csr_array((len(rows), 0), dtype=np.float32)
        return cls(tuple(names), languages.names, key.astype(np.int32), members)

    @classmethod
    def of_predictions(cls, predictions: Predictions, rows: NDArray[np.integer]) -> Groups:
        """Return the groups of some rows of a predictions file."""
        slices = {name: column.take(rows) for name, column in predictions.slices.items()}
        return cls.of(predictions.languages.take(rows), slices)

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.slices) * (len(self.languages) + 1)

    def sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the sum of values ``[n]`` over the rows of each group, ``[groups]``."""
        by_atom = np.bincount(self.atoms, values, minlength=self.members.shape[1])
        sums: NDArray[np.float64] = self.members.astype(np.float64) @ by_atom
        return sums

    def by_slice(self, values: NDArray[Any]) -> NDArray[Any]:
        """Reshape ``[groups, ...]`` to ``[slices, languages + 1, ...]``."""
        return values.reshape(len(self.slices), len(self.languages) + 1, *values.shape[1:])


class ClassCounts:
    """Counts of a task's classes in every group, for the examples or for resamples of their clusters."""

    def __init__(self, outcomes: Outcomes, groups: Groups, clusters: NDArray[np.integer]) -> None:
        """Prepare the counts.

        Args:
            outcomes: the examples, all labelled.
            groups: the groups of the same examples.
            clusters: cluster of each example, from 0, ``[n]``.
        """
        from scipy.sparse import coo_array

        self.groups, self.classes = groups, outcomes.classes
        self.clusters = int(clusters.max(initial=-1)) + 1
        # Three disjoint kinds of entries instead of hits, true and predicted, so that a hit is stored once.
        hit = outcomes.hits
        cell = groups.atoms.astype(np.int64) * 3
        entries = [
            ((cell[hit]) * outcomes.classes + outcomes.true[hit], clusters[hit]),
            ((cell[~hit] + 1) * outcomes.classes + outcomes.true[~hit], clusters[~hit]),
            ((cell[~hit] + 2) * outcomes.classes + outcomes.predicted[~hit], clusters[~hit]),
        ]
        rows, columns = (np.concatenate([entry[part] for entry in entries]) for part in (0, 1))
        shape = (groups.members.shape[1] * 3 * outcomes.classes, self.clusters)
        matrix = coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        self.matrix = matrix.tocsr()
        """Number of examples of each atom, kind and class in each cluster, ``[atoms * 3 * classes, clusters]``."""

    def observed(self) -> Counts:
        """Return the counts of the examples themselves, arrays ``[groups, classes]``."""
        counts = self.weighted(np.ones((self.clusters, 1), np.float32))
        return Counts(*(part[..., 0].astype(np.float64) for part in counts))

    def weighted(self, weights: NDArray[np.float32]) -> Counts:
        """Return the counts with each cluster taken as often as it was drawn.

        Args:
            weights: ``[clusters, resamples]``.

        Returns:
            Arrays ``[groups, classes, resamples]``, float32, which holds whole numbers exactly up to 2**24.
        """
        by_atom = (self.matrix @ weights).reshape(self.groups.members.shape[1], -1)
        counts = (self.groups.members @ by_atom).reshape(len(self.groups), 3, self.classes, weights.shape[1])
        hits = counts[:, 0]
        return Counts(hits, hits + counts[:, 1], hits + counts[:, 2])


def resampled(counts: Sequence[ClassCounts], resamples: int, seed: int = 0) -> Iterator[list[Counts]]:
    """Draw bootstrap resamples and yield the counts of each training seed, one block of resamples at a time.

    Whole clusters are drawn with replacement from all clusters of the split (Field and Welsh 2007): examples that
    share an image are not independent, neither within a language nor across languages. The same ``seed`` draws the
    same clusters for every training seed and model.

    Args:
        counts: counts of the same examples, one per training seed.
        resamples: number of resamples.
        seed: seed of the random number generator.

    Yields:
        For each training seed the counts ``[groups, classes, block]``.
    """
    clusters = counts[0].clusters
    threads = min(os.cpu_count() or 1, 8)
    block = max(1, min(MOST_BLOCK, BLOCK_BYTES // max(4 * clusters * threads, 1)))
    starts = range(0, resamples, block)

    def compute(start: int) -> list[Counts]:
        weights = _draw(clusters, range(start, min(start + block, resamples)), seed)
        return [each.weighted(weights) for each in counts]

    # NumPy and SciPy release the interpreter lock in the slow operations. Each resample has its own generator, so
    # neither the number of threads nor the size of a block changes the result.
    with ThreadPoolExecutor(threads) as pool:
        # Submitting a few blocks at a time bounds the memory of finished blocks that wait to be taken.
        for first in range(0, len(starts), threads):
            yield from pool.map(compute, starts[first : first + threads])


def _draw(clusters: int, resamples: range, seed: int) -> NDArray[np.float32]:
    """Return how often each cluster is drawn in each resample, ``[clusters, resamples]``."""
    weights = np.empty((clusters, len(resamples)), np.float32)
    for column, number in enumerate(resamples):
        generator = np.random.default_rng([seed, number])
        weights[:, column] = np.bincount(
            generator.integers(clusters, size=clusters, dtype=np.int32), minlength=clusters
        )
    return weights
