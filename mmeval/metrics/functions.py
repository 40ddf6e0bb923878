"""Metrics of plugins that are functions of all labels and predictions, such as scikit-learn's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.errors import PluginError
from mmeval.metrics.by_language import language_rows, rows_by_language
from mmeval.metrics.outcomes import Codes, Outcomes
from mmeval.metrics.row import ALL, MACRO, Interval, ScoreRow

PARTS = 20
"""The jackknife leaves out one of this many parts of the clusters at a time; fewer clusters have no interval."""
RELIABLE_CLUSTERS = 100
"""Number of clusters from which the interval counts as reliable."""
MOST_ROWS = 250_000
"""With more rows there is no interval: the function would be called 20 times with all of them."""
METHOD = "jackknife"

Rows = NDArray[np.integer]


def function_rows(
    metric: MetricSpec,
    outcomes: Outcomes,
    languages: Codes,
    slices: Mapping[str, Codes],
    clusters: Codes,
    probabilities: NDArray[np.float32] | None = None,
) -> list[ScoreRow]:
    """Return a function metric of each slice and language, the means over languages, and of all rows pooled.

    Only the rows of the slice ``all`` have intervals, by a delete-a-group jackknife over clusters (Kott 2001): the
    function is computed without each of ``PARTS`` parts of the clusters in turn, and a t interval with ``PARTS - 1``
    degrees of freedom is laid around the value. It holds for smooth statistics of many clusters. A row has none where
    there are fewer than ``PARTS`` clusters, where the function is undefined without a part, or where all values are
    equal.

    Args:
        metric: a metric with a ``function``.
        outcomes: the examples, all labelled.
        languages: their languages.
        slices: their slice columns.
        clusters: their clusters.
        probabilities: ``[n, classes]``, needed if the metric uses probabilities.

    Raises:
        PluginError: the function fails for all examples together, or doesn't return a number.
    """
    function = _Function(metric, outcomes, probabilities)
    groups = rows_by_language(languages)
    values = function.values(groups)
    sizes = [len(rows) for rows in groups]
    rows = list(language_rows(metric.name, languages.names, values, sizes))
    if len(languages) <= MOST_ROWS:
        intervals = _intervals(function, groups, values, languages.names, clusters.codes)
        rows = [
            ScoreRow(row.metric, row.value, row.n, row.language, interval=intervals.get(row.language, Interval()))
            for row in rows
        ]
    for name, column in slices.items():
        for code, value in enumerate(column.names):
            of_slice = np.flatnonzero(column.codes == code)
            if len(of_slice):
                groups = [of_slice[part] for part in rows_by_language(languages.take(of_slice))]
                sizes = [len(part) for part in groups]
                values = function.values(groups)
                rows.extend(language_rows(metric.name, languages.names, values, sizes, f"{name}={value}"))
    return rows


class _Function:
    """The function of a metric, applied to some of the examples."""

    def __init__(self, metric: MetricSpec, outcomes: Outcomes, probabilities: NDArray[np.float32] | None) -> None:
        assert metric.function is not None
        self.metric, self.function, self.n = metric, metric.function, len(outcomes.true)
        self.true = outcomes.true.astype(np.int64)
        if metric.uses == "probabilities":
            assert probabilities is not None
            self.predictions: NDArray[np.generic] = probabilities
        else:
            self.predictions = outcomes.predicted.astype(np.int64)

    def values(self, groups: Sequence[Rows]) -> list[float]:
        """Return the value of each group; NaN where it has no rows or the function is undefined."""
        # All rows, which are last, come first: an error there is the function's own.
        return [self.value(rows) for rows in reversed(groups)][::-1]

    def value(self, rows: Rows) -> float:
        if not len(rows):
            return math.nan
        # Copies, so that the function can't change the input of the next call.
        true, predictions = self.true[rows], self.predictions[rows]
        try:
            value = np.asarray(self.function(true, predictions), np.float64)
        except Exception as error:
            if len(rows) < self.n:
                return math.nan
            raise PluginError(f"{self.metric.label} failed: {type(error).__name__}: {error}") from error
        if value.shape:
            raise PluginError(
                f"{self.metric.label} must return a number, but returned an array of shape {value.shape}."
            )
        if np.isinf(value):
            raise PluginError(f"{self.metric.label} must return a finite number, but returned {value}.")
        return float(value)


def _intervals(
    function: _Function, groups: Sequence[Rows], values: Sequence[float], languages: Sequence[str], clusters: Rows
) -> dict[str, Interval]:
    """Return the intervals of languages, of all rows and of the mean over languages, by the name of the row.

    Args:
        function: the metric.
        groups: row numbers of each language, then of all rows.
        values: the metric's value in each of these groups.
        languages: the languages.
        clusters: the cluster of each row.
    """
    present, codes = np.unique(clusters, return_inverse=True)
    part = (np.random.default_rng(0).permutation(len(present)) % PARTS)[codes]
    counts = [len(np.unique(codes[rows])) for rows in groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the function warned already, if at all, when it saw all rows of the group
        replicates = np.array(
            [[function.value(rows[part[rows] != left_out]) for rows in groups] for left_out in range(PARTS)]
        )
    intervals = {
        name: _t_interval(values[number], replicates[:, number], counts[number])
        for number, name in enumerate((*languages, ALL))
        if counts[number] >= PARTS
    }
    scored = [number for number in range(len(languages)) if np.isfinite(values[number])]
    if scored and counts[-1] >= PARTS:
        mean = float(np.mean([values[number] for number in scored]))
        fewest = min(counts[number] for number in scored)
        intervals[MACRO] = _t_interval(mean, replicates[:, scored].mean(1), fewest)
    return intervals


def _t_interval(value: float, replicates: NDArray[np.float64], clusters: int) -> Interval:
    """Return the interval around a value whose jackknife replicates are given; none if it would have no width."""
    spread = float(np.square(replicates - replicates.mean()).sum())
    if not spread > 0 or not math.isfinite(value):
        return Interval()
    from scipy.stats import t

    half = float(t.ppf(0.975, PARTS - 1)) * math.sqrt((PARTS - 1) / PARTS * spread)
    return Interval(value - half, value + half, METHOD, clusters >= RELIABLE_CLUSTERS)


def labelled_probabilities(batches: Iterable[NDArray[np.float32]], rows: Rows, classes: int) -> NDArray[np.float32]:
    """Return the probabilities of some rows as a matrix, ``[rows, classes]``, from consecutive batches of all rows.

    Args:
        batches: probabilities ``[n, classes]``.
        rows: ascending row numbers.
        classes: number of classes.
    """
    matrix = np.empty((len(rows), classes), np.float32)
    start, done = 0, 0
    for batch in batches:
        stop = int(np.searchsorted(rows, start + len(batch)))
        matrix[done:stop] = batch[rows[done:stop] - start]
        start, done = start + len(batch), stop
    return matrix
