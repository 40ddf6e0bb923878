"""The Scores table: every metric per task, language, slice and training seed, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.files import atomic_path
from mmeval.metrics.bootstrap import RESAMPLES, ClassCounts, Groups, resampled
from mmeval.metrics.counts import FROM_COUNTS
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.predictions import read_table
from mmeval.metrics.row import ALL, GAP, MACRO, MEAN, WORST, Interval, ScoreRow

METRICS = ("top1", "top5", "macro_f1", "weighted_f1")
SCORE_ADVICE = "run `mmeval score` on the run folder to recreate it"

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("run", "model", "dataset", "split", "task", "language", "slice", "inputs")]
    + [("metric", pa.string()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
    + [("n", pa.int64()), ("seed", pa.string()), ("class", pa.string()), ("method", pa.string())]
    + [("reliable", pa.bool_()), ("p", pa.float64())]
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

    Args:
        run: run, model, data set, split and inputs.
        predictions: predictions of the same examples, by training seed.
        metrics: per-example metrics beside the built-in ones, in the order given to ``read_predictions``.
        resamples: number of bootstrap resamples.
        advance: called with the number of resamples done, for a progress bar.
    """
    rows: list[dict[str, Any]] = []
    lower_is_better = {metric.name for metric in metrics if not metric.higher_is_better} | {"log_loss", "brier"}
    first = next(iter(predictions.values()))
    for task in first.tasks:
        per_seed = {str(s): _score_task(p, task.name, resamples, advance) for s, p in predictions.items()}
        if len(per_seed) > 1:
            per_seed[MEAN] = _mean_over_seeds(list(per_seed.values()))
        rows += [
            vars(run) | {"task": task.name, "seed": seed, **_columns(cell)}
            for seed, cells in per_seed.items()
            for cell in [*cells, *_across_languages(cells, lower_is_better)]
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

    row: ScoreRow
    samples: NDArray[np.floating]


def _score_task(predictions: Predictions, task: str, resamples: int, advance: Callable[[int], None]) -> list[_Cell]:
    known = np.flatnonzero(predictions.outcomes[task].true >= 0)
    outcomes = predictions.outcomes[task].take(known)
    groups = Groups.of_predictions(predictions, known)
    _, clusters = np.unique(predictions.clusters.codes[known], return_inverse=True)
    sizes = groups.sums(np.ones(len(known)))
    counts = ClassCounts(outcomes, groups, clusters)
    observed = {name: function(counts.observed()) for name, function in FROM_COUNTS.items()}
    blocks: dict[str, list[NDArray[np.floating]]] = {name: [] for name in FROM_COUNTS}
    for (block,) in resampled([counts], resamples) if len(known) else []:
        for name, function in FROM_COUNTS.items():
            blocks[name].append(function(block, 1))
        advance(block.hits.shape[-1])
    names = (*groups.languages, ALL)
    cells = []
    for number in range(len(groups)):
        slice_, language = groups.slices[number // len(names)], names[number % len(names)]
        n = int(sizes[number])
        for metric, values in outcomes.values.items():
            sums = groups.sums(values)
            value = float(sums[number] / n) if n else float("nan")
            cells.append(_Cell(ScoreRow(metric, value, n, language, slice_), np.full(2, value)))
        for metric, of_groups in observed.items():
            samples = np.concatenate([b[number] for b in blocks[metric]]) if blocks[metric] else np.zeros(0)
            cells.append(_Cell(ScoreRow(metric, float(of_groups[number]), n, language, slice_), samples))
    return cells


def _mean_over_seeds(seeds: list[list[_Cell]]) -> list[_Cell]:
    return [
        _Cell(
            replace(cells[0].row, value=float(np.mean([cell.row.value for cell in cells]))),
            np.mean([cell.samples for cell in cells], axis=0),
        )
        for cells in zip(*seeds, strict=True)
    ]


def _across_languages(cells: Iterable[_Cell], lower_is_better: Collection[str]) -> Iterator[_Cell]:
    """Yield the mean over languages, the worst language and the gap of each slice and metric."""
    groups: dict[tuple[str, str], list[_Cell]] = {}
    for cell in cells:
        if cell.row.language != ALL:
            groups.setdefault((cell.row.slice, cell.row.metric), []).append(cell)
    for (slice_, metric), languages in groups.items():
        scored = [cell for cell in languages if np.isfinite(cell.row.value)] or languages[:1]
        high, low = max(scored, key=lambda cell: cell.row.value), min(scored, key=lambda cell: cell.row.value)
        worst = high if metric in lower_is_better else low
        mean = float(np.mean([cell.row.value for cell in scored]))
        samples = np.mean([cell.samples for cell in scored], axis=0)
        yield _Cell(ScoreRow(metric, mean, sum(cell.row.n for cell in scored), MACRO, slice_), samples)
        if len(languages) < 2:
            continue
        yield _Cell(replace(worst.row, language=WORST), worst.samples)
        gap = high.row.value - low.row.value
        yield _Cell(ScoreRow(metric, gap, low.row.n + high.row.n, GAP, slice_), high.samples - low.samples)


def _columns(cell: _Cell) -> dict[str, Any]:
    samples = cell.samples[np.isfinite(cell.samples)]
    low, high = np.quantile(samples, [0.025, 0.975]).tolist() if len(samples) else (np.nan, np.nan)
    row = replace(cell.row, interval=Interval(low, high, "percentile", reliable=False))
    return {
        "slice": row.slice,
        "language": row.language,
        "metric": row.metric,
        "value": row.value,
        "low": row.interval.low,
        "high": row.interval.high,
        "n": row.n,
        "class": row.klass,
        "method": row.interval.method,
        "reliable": row.interval.reliable,
        "p": row.p,
    }
