"""Rows of Scores for metrics that are computed from the examples of each language as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.outcomes import Codes
from mmeval.metrics.row import ALL, MACRO, ScoreRow


def rows_by_language(languages: Codes) -> list[NDArray[np.int64]]:
    """Return the row numbers of each language, in the order of ``languages.names``, then those of all rows."""
    order = np.argsort(languages.codes, kind="stable")
    stops = np.cumsum(np.bincount(languages.codes, minlength=len(languages.names)))
    return [*np.split(order, stops[:-1]), np.arange(len(languages))] if len(stops) else [np.arange(0)]


def language_rows(
    metric: str, languages: Sequence[str], values: Sequence[float], sizes: Sequence[int], slice_: str = ALL
) -> Iterator[ScoreRow]:
    """Yield the rows of a metric: each language, the mean over languages, and all examples pooled.

    The mean leaves out languages in which the metric is undefined.

    Args:
        metric: name of the metric.
        languages: the languages.
        values: value in each language, then in all rows pooled; NaN where the metric is undefined.
        sizes: number of examples, in the same order.
        slice_: the slice.
    """
    scored = [number for number in range(len(languages)) if np.isfinite(values[number])]
    for number, language in enumerate(languages):
        yield ScoreRow(metric, float(values[number]), int(sizes[number]), language, slice_)
    mean = float(np.mean([values[number] for number in scored])) if scored else float("nan")
    yield ScoreRow(metric, mean, sum(int(sizes[number]) for number in scored), MACRO, slice_)
    yield ScoreRow(metric, float(values[-1]), int(sizes[-1]), ALL, slice_)
