"""The bootstrap over clusters of examples, for counts and means of many groups at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.counts import Counts

BLOCK = 40
"""Resamples under way at once in a thread; bounds the memory to about ``8 * BLOCK * examples`` bytes each."""


class Judged(NamedTuple):
    """What scores need to know of ``n`` examples of one task, under one training seed."""

    true: NDArray[np.int64]
    """Class indices ``[n]``."""
    predicted: NDArray[np.int64]
    """Most probable classes ``[n]``."""
    values: NDArray[np.float64]
    """Per-example metrics ``[n, metrics]``."""
    classes: int


class Statistics(NamedTuple):
    """Additive statistics of one group in ``resamples`` resamples; those of disjoint groups add up."""

    counts: Counts
    """Arrays ``[resamples, classes]``."""
    sums: NDArray[np.floating]
    """Sums of the per-example metrics, ``[resamples, metrics]``."""
    size: NDArray[np.floating]
    """Examples drawn, ``[resamples]``."""

    def __add__(self, other: Statistics) -> Statistics:  # type: ignore[override]
        """The statistics of both groups together."""
        counts = Counts(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))
        return Statistics(counts, self.sums + other.sums, self.size + other.size)


def resampled(
    judged: Judged, groups: Sequence[NDArray[np.int64]], clusters: NDArray[np.int64], resamples: int, seed: int = 0
) -> Iterator[list[Statistics]]:
    """Yield, block of resamples by block, the statistics of each group of rows.

    Whole clusters are drawn with replacement from all clusters of the split (Field and Welsh 2007): examples that
    share an image are not independent, neither within a language nor between two. The same ``seed`` draws the same
    clusters, so that seeds and models can be paired.

    Args:
        judged: the examples.
        groups: rows of each group (each language, say).
        clusters: cluster index of each row ``[n]``, from 0.
        resamples: how many.
        seed: of the generator.
    """
    layouts = [_Layout(judged, rows, clusters) for rows in groups]
    units = int(np.max(clusters)) + 1 if len(clusters) else 0
    sizes = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]

    def block(number: int) -> list[Statistics]:
        weights = _draw(units, sizes[number], np.random.default_rng([seed, number]))
        return [layout.statistics(weights) for layout in layouts]

    # NumPy lets go of the interpreter lock in all that takes time here. Each block has a generator of its own, so
    # that the number of threads changes nothing.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        yield from pool.map(block, range(len(sizes)))


def _draw(units: int, resamples: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """How often each unit is drawn: ``[units, resamples]``."""
    weights = np.empty((resamples, units), np.float32)
    for row in weights:
        row[:] = np.bincount(generator.integers(units, size=units), minlength=units)
    return np.ascontiguousarray(weights.T)


class _Layout:
    """A group's rows, ordered by class, so that counting is adding up runs of neighbouring rows."""

    def __init__(self, judged: Judged, rows: NDArray[np.int64], clusters: NDArray[np.int64]) -> None:
        rows = rows[np.argsort(judged.true[rows], kind="stable")]
        true, predicted = judged.true[rows], judged.predicted[rows]
        self.classes = judged.classes
        self.units = clusters[rows]
        self.values = judged.values[rows].T.astype(np.float32)  # [metrics, n]
        self.hits = np.flatnonzero(true == predicted)
        self.by_predicted = np.argsort(predicted, kind="stable")
        self.true, self.predicted = true, predicted[self.by_predicted]

    def statistics(self, weights: NDArray[np.float32]) -> Statistics:
        own = weights[self.units]  # [n, resamples]; float32 holds whole numbers exactly up to 2**24
        counts = Counts(
            _runs(own[self.hits], self.true[self.hits], self.classes),
            _runs(own, self.true, self.classes),
            _runs(own[self.by_predicted], self.predicted, self.classes),
        )
        return Statistics(counts, (self.values @ own).T, own.sum(0, dtype=np.float64))


def _runs(weights: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Sum the rows of each label; ``labels`` is sorted. ``[n, resamples]`` -> ``[resamples, classes]``."""
    out = np.zeros((weights.shape[1], classes), np.float32)
    if len(labels):
        starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
        out[:, labels[starts]] = np.add.reduceat(weights, starts, axis=0).T
    return out
