"""The Scores table: every metric per task, language, slice and training seed, with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.files import atomic_path
from mmeval.metrics.bootstrap import CONFIDENCE, RESAMPLES, Outcomes, Statistics, bootstrap_statistics
from mmeval.metrics.counts import FROM_COUNTS, grouped_counts
from mmeval.metrics.per_example import BUILT_IN
from mmeval.metrics.predictions import Predictions, read_table

ALL = "all"
"""In the columns ``language`` and ``slice``: all rows pooled."""
MACRO, WORST, GAP = "macro", "worst", "gap"
"""In the column ``language``: mean over languages, worst language, best minus worst language."""
MEAN = "mean"
"""In the column ``seed``: the mean over training seeds."""
METRICS = (*BUILT_IN, *FROM_COUNTS)
SCORE_ADVICE = "run `mmeval score` on the run folder to recreate it"

Values = NDArray[np.floating]
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("run", "model", "dataset", "split", "task", "language", "slice", "inputs")]
    + [("metric", pa.string()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
    + [("n", pa.int64()), ("seed", pa.string())]
)


@dataclass(frozen=True)
class RunColumns:
    """The columns of Scores that have the same value in every row of a run."""

    run: str
    model: str
    dataset: str
    split: str
    inputs: str


def score(
    run: RunColumns,
    predictions: Mapping[int, Predictions],
    metrics: Sequence[MetricSpec] = (),
    resamples: int = RESAMPLES,
    advance: Callable[[int], None] = lambda _: None,
) -> pa.Table:
    """Return Scores: each metric per task, slice, language and training seed, with its 95 % interval.

    Intervals are percentiles of a bootstrap over clusters, with the same resamples for all languages and seeds. The
    interval of a mean over seeds covers the choice of test examples, not the choice of seeds. The intervals of the
    worst language and of the gap belong to the languages that are worst and best in the sample: percentiles of the
    minimum over languages in each resample would lie below the score itself.

    Args:
        run: run, model, data set, split and inputs.
        predictions: predictions of the same examples, by training seed.
        metrics: per-example metrics beside the built-in ones, in the order given to ``read_predictions``.
        resamples: number of bootstrap resamples.
        advance: called with the number of resamples done, for a progress bar.
    """
    rows: list[dict[str, Any]] = []
    names = (*BUILT_IN, *(metric.name for metric in metrics), *FROM_COUNTS)
    first = next(iter(predictions.values()))
    lower_is_better = {metric.name for metric in metrics if not metric.higher_is_better}
    for task in first.tasks:
        per_seed = {str(s): _score_task(p, task.name, names, resamples, advance) for s, p in predictions.items()}
        if len(per_seed) > 1:
            per_seed[MEAN] = _mean_over_seeds(list(per_seed.values()))
        rows += [
            vars(run) | {"task": task.name, "seed": seed, **row}
            for seed, cells in per_seed.items()
            for row in _rows([*cells, *_across_languages(cells, lower_is_better)])
        ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def total_resamples(predictions: Mapping[int, Predictions], resamples: int = RESAMPLES) -> int:
    """Return the number of resamples that ``score`` reports to ``advance`` in total."""
    return resamples * sum(len(p.tasks) for p in predictions.values())


def write_scores(path: Path, table: pa.Table) -> None:
    """Write a Scores table as a Parquet file, atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(table, str(temporary), write_page_checksum=True)


def read_scores(path: Path) -> pa.Table:
    """Read a Scores table.

    Raises:
        RunFolderError: not a Parquet file with the columns of Scores.
    """
    return read_table(path, SCHEMA, "a Scores table", SCORE_ADVICE)


@dataclass(frozen=True)
class _Cell:
    """One score, with its value in each resample."""

    slice: str
    language: str
    metric: str
    n: int
    value: float
    samples: Values
    """Value in each resample, ``[resamples]``."""


def _score_task(
    predictions: Predictions, task: str, names: Sequence[str], resamples: int, advance: Callable[[int], None]
) -> list[_Cell]:
    outcomes = predictions.outcomes[task]
    known = np.flatnonzero(outcomes.true >= 0)
    outcomes = Outcomes(outcomes.true[known], outcomes.predicted[known], outcomes.values[known], outcomes.classes)
    languages, language = np.unique(np.asarray(predictions.languages), return_inverse=True)
    language = language[known]
    _, cluster = np.unique(np.asarray(predictions.clusters)[known], return_inverse=True)
    slices = list(_slices(predictions, known))
    groups = [rows[language[rows] == code] for _, rows in slices for code in range(len(languages))]

    observed = _observed(outcomes, groups)
    blocks: list[list[list[Values]]] = []
    for statistics in bootstrap_statistics(outcomes, groups, cluster, resamples) if len(known) else []:
        blocks.append([_evaluate(of_slice) for of_slice in _by_slice(statistics, len(languages))])
        advance(len(statistics[0].size))
    cells = []
    for number, (slice_, rows) in enumerate(slices):
        sizes = [len(groups[number * len(languages) + code]) for code in range(len(languages))]
        sized_languages = [*zip(languages.tolist(), sizes, strict=True), (ALL, len(rows))]
        samples = [np.concatenate(parts) for parts in zip(*(block[number] for block in blocks), strict=True)]
        values = _evaluate(_by_slice(observed, len(languages))[number])
        for row, (label, n) in enumerate(sized_languages):
            for column, metric in enumerate(names):
                sample = samples[row][:, column] if samples else np.zeros(0)
                cells.append(_Cell(slice_, label, metric, n, float(values[row][0, column]), sample))
    return cells


def _slices(predictions: Predictions, known: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield name and row numbers of each slice: all rows, then each value of each slice column (``flags=flag``)."""
    yield ALL, np.arange(len(known))
    for name, values in predictions.slices.items():
        column = np.asarray(values)[known]
        for value in np.unique(column):
            yield f"{name}={value}", np.flatnonzero(column == value)


def _observed(outcomes: Outcomes, groups: Sequence[NDArray[np.int64]]) -> list[Statistics]:
    """Return the statistics of the sample itself: each group as a single resample."""
    rows = np.concatenate(groups) if groups else np.zeros(0, np.int64)
    group = np.repeat(np.arange(len(groups)), [len(rows_of_group) for rows_of_group in groups])
    counts = grouped_counts(outcomes.true[rows], outcomes.predicted[rows], group, len(groups), outcomes.classes)
    sums: Values = np.stack([np.bincount(group, v[rows], minlength=len(groups)) for v in outcomes.values.T], axis=1)
    sizes = np.bincount(group, minlength=len(groups)).astype(np.float64)
    return [
        Statistics(type(counts)(*(part[i : i + 1] for part in counts)), sums[i : i + 1], sizes[i : i + 1])
        for i in range(len(groups))
    ]


def _by_slice(statistics: list[Statistics], languages: int) -> list[list[Statistics]]:
    return [statistics[start : start + languages] for start in range(0, len(statistics), languages)]


def _evaluate(languages: list[Statistics]) -> list[Values]:
    """Return the metrics ``[resamples, metrics]`` of each language, then of all rows pooled."""
    pooled = languages[0]
    for statistics in languages[1:]:
        pooled = pooled + statistics
    return [*map(_metrics, languages), _metrics(pooled)]


def _metrics(statistics: Statistics) -> Values:
    size = statistics.size[:, None]
    means = np.divide(statistics.sums, size, out=np.full(statistics.sums.shape, np.nan), where=size > 0)
    return np.concatenate([means, *(f(statistics.counts)[:, None] for f in FROM_COUNTS.values())], axis=1)


def _mean_over_seeds(seeds: list[list[_Cell]]) -> list[_Cell]:
    return [
        replace(
            cells[0],
            value=float(np.mean([cell.value for cell in cells])),
            samples=np.mean([cell.samples for cell in cells], axis=0),
        )
        for cells in zip(*seeds, strict=True)
    ]


def _across_languages(cells: list[_Cell], lower_is_better: Collection[str]) -> Iterator[_Cell]:
    """Yield the mean over languages, the worst language and the gap of each slice and metric.

    A data set of one language gets a mean only.
    """
    groups: dict[tuple[str, str], list[_Cell]] = {}
    for cell in cells:
        if cell.language != ALL:
            groups.setdefault((cell.slice, cell.metric), []).append(cell)
    for (slice_, metric), languages in groups.items():
        # A language without labelled examples has no score; keep one cell if no language has one.
        scored = [cell for cell in languages if np.isfinite(cell.value)] or languages[:1]
        high, low = max(scored, key=lambda cell: cell.value), min(scored, key=lambda cell: cell.value)
        worst = high if metric in lower_is_better else low
        mean = float(np.mean([cell.value for cell in scored]))
        samples = np.mean([cell.samples for cell in scored], axis=0)
        yield _Cell(slice_, MACRO, metric, sum(cell.n for cell in scored), mean, samples)
        if len(languages) < 2:
            continue
        yield _Cell(slice_, WORST, metric, worst.n, worst.value, worst.samples)
        yield _Cell(slice_, GAP, metric, low.n + high.n, high.value - low.value, high.samples - low.samples)


def _rows(cells: list[_Cell]) -> Iterator[dict[str, Any]]:
    tail = (1 - CONFIDENCE) / 2
    for cell in cells:
        samples = cell.samples[np.isfinite(cell.samples)]
        low, high = np.quantile(samples, [tail, 1 - tail]).tolist() if len(samples) else (np.nan, np.nan)
        yield {
            "slice": cell.slice,
            "language": cell.language,
            "metric": cell.metric,
            "value": cell.value,
            "low": low,
            "high": high,
            "n": cell.n,
        }
