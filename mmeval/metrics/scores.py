"""Scores: the one tidy table, with an interval beside every number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.files import atomic_path
from mmeval.metrics.bootstrap import Judged, Statistics, resampled
from mmeval.metrics.counts import FROM_COUNTS, grouped_counts
from mmeval.metrics.per_example import BUILT_IN
from mmeval.metrics.predictions import Predictions, read_table

ALL = "all"
"""In the columns language and slice: everything together."""
MACRO, WORST, GAP = "macro", "worst", "gap"
"""In the column language: mean over languages, the lowest language, best minus worst."""
MEAN = "mean"
"""In the column seed: the mean over training seeds."""
RESAMPLES, CONFIDENCE = 1000, 0.95
METRICS = (*BUILT_IN, *FROM_COUNTS)
SCORE_AGAIN = "`mmeval score` makes it again"

Values = NDArray[np.floating]
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("run", "model", "dataset", "split", "task", "language", "slice", "inputs")]
    + [("metric", pa.string()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
    + [("n", pa.int64()), ("seed", pa.string())]
)


@dataclass(frozen=True)
class Source:
    """Where scores come from; the same in every row."""

    run: str
    model: str
    dataset: str
    split: str
    inputs: str


def score(
    source: Source,
    predictions: Mapping[int, Predictions],
    metrics: Sequence[MetricSpec] = (),
    resamples: int = RESAMPLES,
    advance: Callable[[int], None] = lambda _: None,
) -> pa.Table:
    """Score the predictions of each training seed: every metric, task, slice and language, with its interval.

    Intervals are percentiles of a bootstrap over clusters, paired between languages and seeds; that of a mean over
    seeds speaks of other test examples, not of other seeds. Those of the worst language and of the gap are of the
    languages that are worst and best in the sample: percentiles of a minimum over resamples would lie below it.

    Args:
        source: run, model, data set, split and inputs.
        predictions: by training seed, of the same examples.
        metrics: per-example metrics beside the built-in ones, in the order given to ``read_predictions``.
        resamples: bootstrap resamples.
        advance: called with the number of resamples done, for a progress bar.
    """
    rows: list[dict[str, Any]] = []
    names = (*BUILT_IN, *(metric.name for metric in metrics), *FROM_COUNTS)
    first = next(iter(predictions.values()))
    lower_is_better = {metric.name for metric in metrics if not metric.higher_is_better}
    for task in first.tasks:
        per_seed = {str(s): _score_task(p, task.name, names, resamples, advance) for s, p in predictions.items()}
        if len(per_seed) > 1:
            per_seed[MEAN] = _mean(list(per_seed.values()))
        rows += [
            vars(source) | {"task": task.name, "seed": seed, **row}
            for seed, cells in per_seed.items()
            for row in _rows([*cells, *_across(cells, lower_is_better)])
        ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def passes(predictions: Mapping[int, Predictions], resamples: int = RESAMPLES) -> int:
    """How often ``score`` will call ``advance`` in resamples."""
    return resamples * sum(len(p.tasks) for p in predictions.values())


def write_scores(path: Path, table: pa.Table) -> None:
    """Write Scores as Parquet, atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(table, str(temporary), write_page_checksum=True)


def read_scores(path: Path) -> pa.Table:
    """Read Scores.

    Raises:
        RunFolderError: not a Parquet file with the columns of Scores.
    """
    return read_table(path, SCHEMA, "a Scores table", SCORE_AGAIN)


@dataclass(frozen=True)
class _Cell:
    """One number of the table before it is a row."""

    slice: str
    language: str
    metric: str
    n: int
    value: float
    resampled: Values


def _score_task(
    predictions: Predictions, task: str, names: Sequence[str], resamples: int, advance: Callable[[int], None]
) -> list[_Cell]:
    judged = predictions.judged[task]
    known = np.flatnonzero(judged.true >= 0)
    judged = Judged(judged.true[known], judged.predicted[known], judged.values[known], judged.classes)
    languages, language = np.unique(np.asarray(predictions.languages), return_inverse=True)
    language = language[known]
    _, cluster = np.unique(np.asarray(predictions.clusters)[known], return_inverse=True)
    sections = list(_sections(predictions, known))
    groups = [rows[language[rows] == one] for _, rows in sections for one in range(len(languages))]

    value = _observed(judged, groups)
    blocks: list[list[list[Values]]] = []
    for statistics in resampled(judged, groups, cluster, resamples) if len(known) else []:
        blocks.append([_evaluate(part) for part in _by_section(statistics, len(languages))])
        advance(len(statistics[0].size))
    cells = []
    for number, (section, rows) in enumerate(sections):
        sizes = [len(groups[number * len(languages) + one]) for one in range(len(languages))]
        labelled = [*zip(languages.tolist(), sizes, strict=True), (ALL, len(rows))]
        drawn = [np.concatenate(parts) for parts in zip(*(block[number] for block in blocks), strict=True)]
        point = _evaluate(_by_section(value, len(languages))[number])
        for row, (label, n) in enumerate(labelled):
            for column, metric in enumerate(names):
                sample = drawn[row][:, column] if drawn else np.zeros(0)
                cells.append(_Cell(section, label, metric, n, float(point[row][0, column]), sample))
    return cells


def _sections(predictions: Predictions, known: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Rows of everything, then of each value of each slice column: ``("flags=flag", rows)``."""
    yield ALL, np.arange(len(known))
    for name, values in predictions.slices.items():
        column = np.asarray(values)[known]
        for one in np.unique(column):
            yield f"{name}={one}", np.flatnonzero(column == one)


def _observed(judged: Judged, groups: Sequence[NDArray[np.int64]]) -> list[Statistics]:
    """The statistics of the sample itself, each group as if it were one resample."""
    rows = np.concatenate(groups) if groups else np.zeros(0, np.int64)
    group = np.repeat(np.arange(len(groups)), [len(one) for one in groups])
    counts = grouped_counts(judged.true[rows], judged.predicted[rows], group, len(groups), judged.classes)
    sums: Values = np.stack([np.bincount(group, v[rows], minlength=len(groups)) for v in judged.values.T], axis=1)
    sizes = np.asarray([len(one) for one in groups], np.float64)
    return [
        Statistics(type(counts)(*(part[i : i + 1] for part in counts)), sums[i : i + 1], sizes[i : i + 1])
        for i in range(len(groups))
    ]


def _by_section(statistics: list[Statistics], languages: int) -> list[list[Statistics]]:
    return [statistics[start : start + languages] for start in range(0, len(statistics), languages)]


def _evaluate(languages: list[Statistics]) -> list[Values]:
    """Metrics ``[resamples, metrics]`` of each language, and of all together."""
    everything = languages[0]
    for one in languages[1:]:
        everything = everything + one
    return [*(_metrics(one) for one in languages), _metrics(everything)]


def _metrics(statistics: Statistics) -> Values:
    size = statistics.size[:, None]
    means = np.divide(statistics.sums, size, out=np.full(statistics.sums.shape, np.nan), where=size > 0)
    return np.concatenate([means, *(f(statistics.counts)[:, None] for f in FROM_COUNTS.values())], axis=1)


def _mean(seeds: list[list[_Cell]]) -> list[_Cell]:
    return [
        _Cell(
            same[0].slice,
            same[0].language,
            same[0].metric,
            same[0].n,
            float(np.mean([cell.value for cell in same])),
            np.mean([cell.resampled for cell in same], axis=0),
        )
        for same in zip(*seeds, strict=True)
    ]


def _across(cells: list[_Cell], lower_is_better: Collection[str]) -> Iterator[_Cell]:
    """The mean over languages, the worst language, and the gap, of each slice and metric.

    One language alone is neither the best nor the worst: it has no worst language and no gap.
    """
    groups: dict[tuple[str, str], list[_Cell]] = {}
    for cell in cells:
        if cell.language != ALL:
            groups.setdefault((cell.slice, cell.metric), []).append(cell)
    for (section, metric), languages in groups.items():
        # A language without examples has no score to be the worst with.
        scored = [cell for cell in languages if np.isfinite(cell.value)] or languages[:1]
        high, low = max(scored, key=lambda cell: cell.value), min(scored, key=lambda cell: cell.value)
        worst = high if metric in lower_is_better else low
        mean = float(np.mean([cell.value for cell in scored]))
        drawn = np.mean([cell.resampled for cell in scored], axis=0)
        yield _Cell(section, MACRO, metric, sum(cell.n for cell in scored), mean, drawn)
        if len(languages) < 2:
            continue
        yield _Cell(section, WORST, metric, worst.n, worst.value, worst.resampled)
        yield _Cell(section, GAP, metric, low.n + high.n, high.value - low.value, high.resampled - low.resampled)


def _rows(cells: list[_Cell]) -> Iterator[dict[str, Any]]:
    tail = (1 - CONFIDENCE) / 2
    for cell in cells:
        drawn = cell.resampled[np.isfinite(cell.resampled)]
        low, high = np.quantile(drawn, [tail, 1 - tail]).tolist() if len(drawn) else (np.nan, np.nan)
        yield {
            "slice": cell.slice,
            "language": cell.language,
            "metric": cell.metric,
            "value": cell.value,
            "low": low,
            "high": high,
            "n": cell.n,
        }
