"""The cluster bootstrap: counts and sums of many groups of examples in every resample."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.counts import Counts

RESAMPLES = 1000
"""Bootstrap resamples of a run's scores."""
CONFIDENCE = 0.95
"""Confidence level of the percentile intervals."""
BLOCK = 40
"""Resamples that a thread computes at once: it uses about ``8 * BLOCK * examples`` bytes."""


class Outcomes(NamedTuple):
    """True classes, predicted classes and metric values of ``n`` examples, for one task and one training seed."""

    true: NDArray[np.int64]
    """Indices of the true classes, ``[n]``."""
    predicted: NDArray[np.int64]
    """Indices of the most probable classes, ``[n]``."""
    values: NDArray[np.float64]
    """Values of the per-example metrics, ``[n, metrics]``."""
    classes: int
    """Number of classes of the task."""


class Statistics(NamedTuple):
    """Additive statistics of one group of examples in each resample; the sum of two disjoint groups is their union."""

    counts: Counts
    """Counts per class, arrays ``[resamples, classes]``."""
    sums: NDArray[np.floating]
    """Sums of the per-example metrics, ``[resamples, metrics]``."""
    size: NDArray[np.floating]
    """Number of examples drawn, ``[resamples]``."""

    def __add__(self, other: Statistics) -> Statistics:  # type: ignore[override]
        """Return the statistics of the union of two disjoint groups."""
        counts = Counts(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))
        return Statistics(counts, self.sums + other.sums, self.size + other.size)


def bootstrap_statistics(
    outcomes: Outcomes, groups: Sequence[NDArray[np.int64]], clusters: NDArray[np.int64], resamples: int, seed: int = 0
) -> Iterator[list[Statistics]]:
    """Draw bootstrap resamples and yield the statistics of each group of rows, one block of resamples at a time.

    Whole clusters are drawn with replacement from all clusters of the split (Field and Welsh 2007): examples that
    share an image are not independent, neither within a language nor across languages. The same ``seed`` draws the
    same clusters, so training seeds and models can be compared in pairs.

    Args:
        outcomes: the examples.
        groups: the row numbers of each group, for example of each language.
        clusters: cluster index of each row ``[n]``, from 0.
        resamples: number of resamples.
        seed: seed of the random number generator.
    """
    layouts = [_Layout(outcomes, rows, clusters) for rows in groups]
    total = int(np.max(clusters)) + 1 if len(clusters) else 0
    sizes = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]

    def block(number: int) -> list[Statistics]:
        weights = _draw(total, sizes[number], np.random.default_rng([seed, number]))
        return [layout.statistics(weights) for layout in layouts]

    # NumPy releases the interpreter lock in every slow operation here. Each block has its own generator, so the number
    # of threads does not change the result.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        yield from pool.map(block, range(len(sizes)))


def _draw(clusters: int, resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return how often each cluster is drawn in each resample, ``[clusters, resamples]``."""
    weights = np.empty((resamples, clusters), np.float32)
    for row in weights:
        row[:] = np.bincount(generator.integers(clusters, size=clusters), minlength=clusters)
    return np.ascontiguousarray(weights.T)


class _Layout:
    """The rows of a group, sorted by class: the count of a class is the sum over a run of neighbouring rows."""

    def __init__(self, outcomes: Outcomes, rows: NDArray[np.int64], clusters: NDArray[np.int64]) -> None:
        rows = rows[np.argsort(outcomes.true[rows], kind="stable")]
        true, predicted = outcomes.true[rows], outcomes.predicted[rows]
        self.classes = outcomes.classes
        self.clusters = clusters[rows]
        self.values = outcomes.values[rows].T.astype(np.float32)  # [metrics, n]
        self.hits = np.flatnonzero(true == predicted)
        self.by_predicted = np.argsort(predicted, kind="stable")
        self.true, self.predicted = true, predicted[self.by_predicted]

    def statistics(self, weights: NDArray[np.float32]) -> Statistics:
        own = weights[self.clusters]  # [n, resamples]; float32 holds whole numbers exactly up to 2**24
        counts = Counts(
            _sums_by_label(own[self.hits], self.true[self.hits], self.classes),
            _sums_by_label(own, self.true, self.classes),
            _sums_by_label(own[self.by_predicted], self.predicted, self.classes),
        )
        return Statistics(counts, (self.values @ own).T, own.sum(0, dtype=np.float64))


def _sums_by_label(weights: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Sum the rows of each label: ``[n, resamples]`` to ``[resamples, classes]``; ``labels`` must be sorted."""
    out = np.zeros((weights.shape[1], classes), np.float32)
    if len(labels):
        starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
        out[:, labels[starts]] = np.add.reduceat(weights, starts, axis=0).T
    return out
