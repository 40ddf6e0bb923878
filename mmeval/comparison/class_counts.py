"""Paired differences of metrics that are computed from counts of classes: macro-F1, weighted F1, balanced accuracy."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval.comparison.alignment import CountMetric, count_metrics
from mmeval.comparison.cells import Cells
from mmeval.comparison.paired import (
    Difference,
    LanguageDifference,
    PairedDifferences,
    RunValues,
    StandardError,
    discordant_rows,
    floor_of,
    t_p,
    t_quantile,
)
from mmeval.metrics.catalogue import title
from mmeval.metrics.counts import Counts

RESAMPLES = 1000
"""Bootstrap resamples, and random flips of a pair of runs."""
LEAST_ROWS = 10
"""Means over classes are compared on the classes with at least this many rows; of rarer ones no interval holds."""
_BLOCK = 40

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Entries = tuple[NDArray[np.integer], ...]


@dataclass(frozen=True, eq=False)
class _Matrices:
    """Sparse matrices ``[languages * classes, cells]`` with the rows of each class, language and cell."""

    hits: Any
    predicted: Any


@dataclass(frozen=True, eq=False)
class _Counter:
    """Builds the counts of classes of a run and computes the metric from them."""

    function: CountMetric
    cells: Cells
    of_class: Ints
    """Number of each class in the list of classes, -1 for the others ``[all classes]``."""
    classes: int
    true: Any
    """Sparse matrix of the true classes, ``[languages * classes, cells]``."""
    sets: NDArray[np.bool_] | None
    """Multi-label tasks: the labels of each set ``[sets, labels]``."""

    @property
    def languages(self) -> int:
        return len(self.cells.rows)

    def matrices(self, true: Ints, predicted: Ints) -> _Matrices:
        hits: Entries
        if self.sets is None:
            hit = np.flatnonzero(true == predicted)
            hits = hit, true[hit]
        else:
            hits = np.nonzero(self.sets[true] & self.sets[predicted])
        matrix = partial(_matrix, cells=self.cells, of_class=self.of_class, classes=self.classes)
        return _Matrices(matrix(hits), matrix(_entries(predicted, self.sets)))

    def metric(self, hits: NDArray[np.floating], predicted: NDArray[np.floating], true: NDArray[np.floating]) -> Floats:
        """Return the metric of each language and resample ``[L, R]`` from counts ``[L * classes, R]``."""
        shape = (self.languages, self.classes, -1)
        counts = Counts(hits.reshape(shape), true.reshape(shape), predicted.reshape(shape))
        return np.asarray(self.function(counts, 1), np.float64)


def _entries(labels: Ints, sets: NDArray[np.bool_] | None) -> Entries:
    """Return row and class of each label; of a multi-label task of each label in the sets."""
    return np.nonzero(sets[labels]) if sets is not None else (np.arange(len(labels)), labels)


def _matrix(entries: Entries, cells: Cells, of_class: Ints, classes: int) -> Any:  # noqa: ANN401 - a sparse matrix
    """Return the number of entries (row, class) of each class and cell: ``[languages * classes, cells]``."""
    from scipy.sparse import coo_array

    rows, number = entries[0], of_class[entries[1]]
    rows, number = rows[number >= 0], number[number >= 0]
    cell = cells.of_row[rows]
    at = cells.language[cell] * classes + number
    shape = (len(cells.rows) * classes, len(cells.size))
    return coo_array((np.ones(len(rows), np.float32), (at, cell)), shape=shape).tocsr()


def compare_counts(
    metric: str,
    true: Ints,
    predicted: Sequence[Ints],
    classes: int,
    cells: Cells,
    pairs: Sequence[tuple[int, int]],
    resamples: int = RESAMPLES,
    sets: NDArray[np.bool_] | None = None,
) -> tuple[list[PairedDifferences], list[NDArray[np.floating]], str]:
    """Compare pairs of runs by a metric of class counts.

    Intervals are basic ones of a bootstrap that draws whole clusters, the same for all runs: 2 * difference minus the
    quantiles of the resampled differences, since percentiles of F1 are off centre. p comes from exchanging the
    predictions of the two runs in randomly chosen clusters, (1 + as large differences) / (1 + exchanges). Several
    seeds widen the interval by the variance of the runs' means over seeds, and p is at least that of the t-test.

    Args:
        metric: ``macro_f1``, ``weighted_f1`` or ``balanced_accuracy``; of a multi-label task ``micro_f1``, too.
        true: true classes ``[n]``.
        predicted: for each run the predicted classes ``[S, n]``.
        classes: number of classes.
        cells: the rows by language and cluster.
        pairs: numbers of the runs A and B of each pair.
        resamples: number of resamples, and of exchanges.
        sets: multi-label tasks, whose classes are sets of labels: the labels of each set ``[classes, labels]``.

    Returns:
        The differences of each pair, the metric of each run by language ``[L]``, and a sentence about left-out classes.
    """
    counter, note = _counter(metric, true, classes, cells, sets)
    runs = [[counter.matrices(true, seed) for seed in run] for run in predicted]
    whole = np.ones((len(cells.size), 1), np.float32)
    true_counts = counter.true @ whole
    observed = [
        np.stack([counter.metric(s.hits @ whole, s.predicted @ whole, true_counts)[:, 0] for s in run]) for run in runs
    ]
    samples = _bootstrap(counter, runs, resamples)
    hits = [RunValues.of((run == true).astype(np.float64), cells) for run in predicted]
    results = []
    for a, b in pairs:
        estimates, mean, weighted = _estimates(counter, runs, observed, samples, a, b, resamples)
        only_a, only_b = discordant_rows(cells, hits[a], hits[b])
        discordant = _discordant(cells, predicted[a], predicted[b])
        languages = tuple(
            LanguageDifference(
                rows=int(cells.rows[language]),
                clusters=int(cells.bounds[language + 1] - cells.bounds[language]),
                only_a=float(only_a[language]),
                only_b=float(only_b[language]),
                discordant=int(discordant[language]),
                estimate=estimate,
            )
            for language, estimate in enumerate(estimates)
        )
        results.append(PairedDifferences(languages, mean, weighted))
    return results, [run.mean(0) for run in observed], note


def undefined_languages(
    metric: str,
    true: Ints,
    classes: int,
    language: NDArray[np.integer],
    languages: int,
    sets: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return which languages have no row of a class that the metric averages, so that it has no value there, ``[L]``.

    Args:
        metric: a metric of class counts, see :func:`compare_counts`.
        true: true classes ``[n]``.
        classes: number of classes.
        language: language of each row ``[n]``, numbers from 0.
        languages: number of languages.
        sets: multi-label tasks: the labels of each set ``[classes, labels]``.
    """
    rows, labels = _entries(true, sets)
    classes = classes if sets is None else sets.shape[1]
    kept, _ = _class_list(metric, (rows, labels), classes)
    return np.asarray(np.bincount(language[rows[np.isin(labels, kept)]], minlength=languages) == 0)


def _class_list(metric: str, entries: Entries, classes: int) -> tuple[NDArray[np.integer], str]:
    """Return the classes that the metric averages, and a sentence about the others."""
    sizes = np.bincount(entries[1], minlength=classes)
    kept = np.flatnonzero(sizes >= LEAST_ROWS)
    if metric in ("weighted_f1", "micro_f1"):
        return np.arange(classes), ""
    if not len(kept):
        return np.arange(
            classes
        ), f"No class has {LEAST_ROWS} rows: the intervals of {title(metric)} can't be relied on."
    if len(kept) < classes:
        return kept, f"{title(metric)} is over the {len(kept)} of {classes} classes with at least {LEAST_ROWS} rows."
    return kept, ""


def _counter(
    metric: str, true: Ints, classes: int, cells: Cells, sets: NDArray[np.bool_] | None
) -> tuple[_Counter, str]:
    """Return the counter for the classes that can be compared, and a sentence about the others."""
    entries = _entries(true, sets)
    classes = classes if sets is None else sets.shape[1]
    kept, note = _class_list(metric, entries, classes)
    of_class = np.full(classes, -1, np.int32)
    of_class[kept] = np.arange(len(kept))
    function = count_metrics(multilabel=sets is not None)[metric]
    true_matrix = _matrix(entries, cells, of_class, len(kept))
    return _Counter(function, cells, of_class, len(kept), true_matrix, sets), note


def _blocks(clusters: int, resamples: int, purpose: int) -> Iterator[tuple[int, np.random.Generator, int]]:
    for number, first in enumerate(range(0, resamples, _BLOCK)):
        yield first, np.random.default_rng([purpose, clusters, number]), min(_BLOCK, resamples - first)


def _bootstrap(counter: _Counter, runs: Sequence[Sequence[_Matrices]], resamples: int) -> list[Floats]:
    """Return the mean over seeds of the metric of each run in each resample, ``[L, R]``; NaN without rows."""
    cells = counter.cells

    def block(task: tuple[int, np.random.Generator, int]) -> list[Floats]:
        _, generator, size = task
        weights = np.empty((size, cells.clusters), np.float32)
        for row in weights:
            row[:] = np.bincount(generator.integers(cells.clusters, size=cells.clusters), minlength=cells.clusters)
        of_cells = np.ascontiguousarray(weights.T)[cells.cluster]
        true = counter.true @ of_cells
        return [
            np.mean([counter.metric(seed.hits @ of_cells, seed.predicted @ of_cells, true) for seed in run], axis=0)
            for run in runs
        ]

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        blocks = list(pool.map(block, _blocks(cells.clusters, resamples, 0)))
    return [np.concatenate([each[run] for each in blocks], axis=1) for run in range(len(runs))]


def _exchanges(counter: _Counter, a: Sequence[_Matrices], b: Sequence[_Matrices], resamples: int) -> Floats:
    """Return A - B of each language with the runs' predictions exchanged in random clusters, ``[L, 1 + R]``.

    The first column is the difference without exchanges. Seeds are exchanged with each other in their order; of a run
    with fewer seeds some stand several times.
    """
    cells, seeds = counter.cells, max(len(a), len(b))
    whole = np.ones((len(cells.size), 1), np.float32)
    true = counter.true @ whole
    both = [(a[seed % len(a)], b[seed % len(b)]) for seed in range(seeds)]
    moved = [(_without_zeros(y.hits - x.hits), _without_zeros(y.predicted - x.predicted)) for x, y in both]
    totals = [[(m.hits @ whole, m.predicted @ whole) for m in pair] for pair in both]

    def difference(of_cells: NDArray[np.float32]) -> Floats:
        total = np.zeros((counter.languages, of_cells.shape[1]))
        for (hits, predicted), (x, y) in zip(moved, totals, strict=True):
            hits_moved, predicted_moved = hits @ of_cells, predicted @ of_cells
            total += counter.metric(x[0] + hits_moved, x[1] + predicted_moved, _like(true, of_cells))
            total -= counter.metric(y[0] - hits_moved, y[1] - predicted_moved, _like(true, of_cells))
        return total / seeds

    def block(task: tuple[int, np.random.Generator, int]) -> Floats:
        _, generator, size = task
        exchanged = generator.integers(0, 2, (cells.clusters, size), np.int8).astype(np.float32)
        return difference(exchanged[cells.cluster])

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        blocks = list(pool.map(block, _blocks(cells.clusters, resamples, 1)))
    return np.concatenate([difference(np.zeros((len(cells.size), 1), np.float32)), *blocks], axis=1)


def _like(column: NDArray[np.floating], weights: NDArray[np.float32]) -> NDArray[np.floating]:
    return np.broadcast_to(column, (len(column), weights.shape[1]))


def _without_zeros(matrix: Any) -> Any:  # noqa: ANN401 - a sparse matrix
    matrix.eliminate_zeros()
    return matrix


def _estimates(
    counter: _Counter,
    runs: Sequence[Sequence[_Matrices]],
    observed: Sequence[Floats],
    samples: Sequence[Floats],
    a: int,
    b: int,
    resamples: int,
) -> tuple[list[Difference], Difference, Difference]:
    """Return the differences of each language, of their mean, and of their precision-weighted mean."""
    cells = counter.cells
    resampled = samples[a] - samples[b]
    exchanged = _exchanges(counter, runs[a], runs[b], resamples)
    floors = np.array([floor_of(cells.size[i:j]) for i, j in zip(cells.bounds[:-1], cells.bounds[1:], strict=True)])
    languages = [
        _estimate(observed[a][:, each], observed[b][:, each], resampled[each], exchanged[each], cells, each, floors)
        for each in range(counter.languages)
    ]
    # A resample that lacks a language says nothing of it: it keeps its own difference.
    difference = observed[a].mean(0) - observed[b].mean(0)
    filled = np.where(np.isfinite(resampled), resampled, difference[:, None])
    precision = np.array([language.se for language in languages]) ** -2.0
    equal = np.full(counter.languages, 1 / counter.languages)
    mean, weighted = (
        _estimate(
            observed[a] @ w,
            observed[b] @ w,
            w @ filled,
            w @ exchanged,
            cells,
            None,
            np.array([np.linalg.norm(w * floors)]),
        )
        for w in (equal, precision / precision.sum())
    )
    return languages, mean, weighted


def _estimate(
    a: Floats, b: Floats, resampled: Floats, exchanged: Floats, cells: Cells, language: int | None, floors: Floats
) -> Difference:
    """Return a difference with its interval and p.

    Args:
        a: values of A by seed ``[S]``.
        b: values of B by seed.
        resampled: resampled differences ``[R]``, NaN where a resample has no rows.
        exchanged: the difference without exchanges, then with exchanged predictions ``[1 + R]``.
        cells: the rows.
        language: the language; None: all of them.
        floors: SE without any variance, of each language, or one number for all.
    """
    difference = float(a.mean() - b.mean())
    clusters = cells.clusters if language is None else int(cells.bounds[language + 1] - cells.bounds[language])
    floor = float(floors[language or 0])
    known = resampled[np.isfinite(resampled)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    constant = clusters < 2 or spread < 1e-9
    of_clusters = floor**2 if constant else spread**2
    of_seeds = sum(float(each.var(ddof=1)) / len(each) for each in (a, b) if len(each) > 1)
    total = of_clusters + of_seeds
    df = float(max(clusters - 1, 1))
    if of_seeds:
        parts = of_clusters**2 / df
        parts += sum((float(x.var(ddof=1)) / len(x)) ** 2 / (len(x) - 1) for x in (a, b) if len(x) > 1)
        df = total**2 / parts
    error = StandardError(math.sqrt(total), df, is_floor=constant)
    p = float((1 + np.count_nonzero(np.abs(exchanged[1:]) >= abs(exchanged[0]) - 1e-9)) / len(exchanged))
    lower, upper = (difference - np.quantile(known, [0.975, 0.025])).tolist() if len(known) else (0.0, 0.0)
    # With few rows nearly all resamples may be alike, and their quantiles equal.
    if constant or upper - lower < 1e-9:
        half = t_quantile(df) * error.se
        low, high = max(difference - half, -1), min(difference + half, 1)
    else:
        # Seeds widen both sides in proportion.
        wider = t_quantile(df) / t_quantile(max(clusters - 1, 1)) * error.se / spread if of_seeds else 1.0
        low, high = difference + min(lower, 0) * wider, difference + max(upper, 0) * wider
    if max(len(a), len(b)) > 1:
        p = max(p, t_p(difference, error))
    return Difference(difference, error.se, low, high, p, error.df)


def _discordant(cells: Cells, a: Ints, b: Ints) -> NDArray[np.int64]:
    """Return the clusters of each language in which the predictions of two runs differ."""
    seeds = max(len(a), len(b))
    differ = np.any([a[seed % len(a)] != b[seed % len(b)] for seed in range(seeds)], axis=0)
    cells_that_differ = np.bincount(cells.of_row, differ, minlength=len(cells.size)) > 0
    return np.add.reduceat(cells_that_differ.astype(np.int64), cells.bounds[:-1])
