"""The Scores table: every metric per task, language, slice and training seed, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.api.spec import MetricSpec
from mmeval.api.task import Task
from mmeval.files import atomic_path
from mmeval.metrics import multilabel_scores
from mmeval.metrics.bootstrap import RESAMPLES, ClassCounts, Groups, resampled
from mmeval.metrics.catalogue import is_proportion, lower_is_better
from mmeval.metrics.counts import FROM_COUNTS, LISTED, Counts, macro_f1
from mmeval.metrics.evaluate import Labelled, evaluate, mean_over_seeds
from mmeval.metrics.fairness import fairness_rows
from mmeval.metrics.hierarchy import ClassPath, Hierarchy, hierarchy_of
from mmeval.metrics.intervals import (
    LISTED_ROWS,
    RARE_CLASSES,
    basic,
    class_list,
    enough_rows,
    means,
    proportions,
    widening,
)
from mmeval.metrics.languages import (
    summarize_proportions,
    summarize_samples,
    summarize_values,
    summary_rows,
)
from mmeval.metrics.moments import Layout
from mmeval.metrics.outcomes import Outcomes, Predictions
from mmeval.metrics.predictions import read_table
from mmeval.metrics.row import ALL, GAP, MACRO, MEAN, WEIGHTED, WORST, Interval, ScoreRow
from mmeval.metrics.validation import Calibrated

CONFORMAL = "conformal_"
"""Metrics of conformal sets begin with this."""
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
    validation: Mapping[int, Mapping[str, Calibrated]] | None = None,
    paths: Mapping[str, Mapping[str, ClassPath]] | None = None,
) -> pa.Table:
    """Return Scores: each metric per task, slice, language and training seed, with its 95 % interval.

    With several training seeds, rows with the seed ``mean`` have the mean over seeds; their intervals cover the choice
    of test examples and of seeds. ``docs/evaluation.md`` explains every metric and interval.

    Args:
        run: run, model, data set, split and inputs.
        predictions: predictions of the same examples, by training seed.
        metrics: metrics beside the built-in ones, as given to ``read_predictions``.
        resamples: number of bootstrap resamples.
        advance: called with the number of resamples done, for a progress bar.
        validation: thresholds from validation, by training seed and task.
        paths: paths of the classes, by task and class; tasks without any have them if class names are paths.

    Raises:
        PluginError: a metric of a plugin fails.
    """
    rows: list[dict[str, Any]] = []
    reversed_metrics = {metric.name for metric in metrics if not metric.higher_is_better}
    first = next(iter(predictions.values()))
    for task in first.tasks:
        hierarchy = hierarchy_of(task, paths or {})
        scored = _ScoredTask(task, list(predictions.values()), resamples, advance, hierarchy)
        evaluated = [
            evaluate(labelled, (validation or {}).get(seed, {}).get(task.name), hierarchy, metrics)
            for seed, labelled in zip(predictions, scored.labelled, strict=True)
        ]
        seeds: dict[str, list[int]] = {str(seed): [number] for number, seed in enumerate(predictions)}
        if len(predictions) > 1:
            seeds[MEAN] = list(range(len(predictions)))
        for seed, numbers in seeds.items():
            fixed = vars(run) | {"task": task.name, "seed": seed}
            rows += [fixed | _columns(row) for row in _rows(scored, numbers, reversed_metrics)]
            others = evaluated[numbers[0]] if len(numbers) == 1 else mean_over_seeds([evaluated[n] for n in numbers])
            rows += [fixed | _columns(row) for row in others]
    by_seed = {str(seed): each for seed, each in predictions.items()}
    for task_name in first.multilabel:
        for seed, row in multilabel_scores.rows(by_seed, task_name, resamples, advance):
            rows.append(vars(run) | {"task": task_name, "seed": seed} | _columns(row))
    if first.order:
        rows.sort(key=lambda row: first.order.index(row["task"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def total_resamples(predictions: Mapping[int, Predictions], resamples: int = RESAMPLES) -> int:
    """Return the number of resamples that ``score`` reports to ``advance`` in total."""
    first = next(iter(predictions.values()))
    return resamples * (len(first.tasks) + len(first.multilabel))


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


class _Slice(NamedTuple):
    """The rows of a slice, counted by language and all together."""

    name: str
    rows: NDArray[np.int32]
    languages: Layout
    pooled: Layout

    @property
    def sizes(self) -> list[int]:
        """Number of rows of each language, then of all."""
        return [*self.languages.rows.tolist(), len(self.rows)]

    @property
    def clusters(self) -> list[int]:
        """Number of clusters of each language, then of all."""
        return [*self.languages.clusters.tolist(), self.pooled.total_clusters]


class _ScoredTask:
    """The labelled examples of a task with their outcomes for each training seed, and what all metrics share."""

    def __init__(
        self,
        task: Task,
        predictions: Sequence[Predictions],
        resamples: int,
        advance: Callable[[int], None],
        hierarchy: Hierarchy | None,
    ) -> None:
        self.labelled = Labelled.of_seeds(predictions, task)
        self.outcomes: list[Outcomes] = [each.outcomes for each in self.labelled]
        if hierarchy is not None:
            self.outcomes = [
                replace(each, values={**each.values, **hierarchy.accuracies(each.true, each.predicted)})
                for each in self.outcomes
            ]
        first = self.labelled[0]
        self.groups = Groups.of(first.languages, dict(first.slices))
        self.languages = first.languages.codes
        self.slice_columns = tuple(first.slices)
        _, clusters = np.unique(first.clusters.codes, return_inverse=True)
        self.clusters = clusters.astype(np.int32)
        self.counts = [ClassCounts(outcomes, self.groups, self.clusters) for outcomes in self.outcomes]
        self.resamples, self.advance = resamples, advance

    @property
    def names(self) -> list[str]:
        """The languages, then ``all``."""
        return [*self.groups.languages, ALL]

    @cached_property
    def slices(self) -> list[_Slice]:
        """The slices, the one of all rows first."""
        count = len(self.groups.languages)
        slices = []
        for number, name in enumerate(self.groups.slices):
            member = self.groups.members[[number * (count + 1) + count]].toarray()[0] > 0
            rows = np.zeros(0, np.int32)
            if len(self.languages):
                rows = np.flatnonzero(member[self.groups.atoms]).astype(np.int32)
            clusters = self.clusters[rows]
            languages = Layout(self.languages[rows], clusters, count)
            slices.append(_Slice(name, rows, languages, Layout(np.zeros(len(rows), np.int32), clusters, 1)))
        return slices

    @cached_property
    def class_counts(self) -> Counts:
        """Counts of classes, arrays ``[seeds, slices, languages + 1, classes]``."""
        counts = [each.observed() for each in self.counts]
        return Counts(*(np.stack([self.groups.by_slice(each[part]) for each in counts]) for part in range(3)))

    @cached_property
    def listed(self) -> NDArray[np.bool_]:
        """The class list of ``macro_f1_listed``: the classes with at least 10 labelled rows, all languages together."""
        return class_list(self.class_counts.true[0, 0, -1])

    @cached_property
    def functions(self) -> dict[str, Callable[[Counts, int], NDArray[np.floating]]]:
        """Metrics that are computed from counts of classes, by name; each takes the axis of the classes."""
        functions: dict[str, Callable[[Counts, int], NDArray[np.floating]]] = dict(FROM_COUNTS)
        if self.listed.any():
            functions[LISTED] = partial(macro_f1, classes=self.listed)
        return functions

    @cached_property
    def observed(self) -> dict[str, NDArray[np.floating]]:
        """Metrics from counts of classes, ``[seeds, slices, languages + 1]`` by name."""
        return {name: function(self.class_counts, -1) for name, function in self.functions.items()}

    @cached_property
    def samples(self) -> dict[str, NDArray[np.floating]]:
        """The same metrics in every resample, ``[seeds, slices, languages + 1, resamples]`` by name."""
        blocks: dict[str, list[NDArray[np.floating]]] = {name: [] for name in self.functions}
        for block in resampled(self.counts, self.resamples) if len(self.languages) else []:
            for name, function in self.functions.items():
                blocks[name].append(np.stack([self.groups.by_slice(function(each, 1)) for each in block]))
            self.advance(block[0].hits.shape[-1])
        empty = np.zeros((len(self.counts), len(self.groups.slices), len(self.groups.languages) + 1, 0))
        return {name: np.concatenate(of_metric, axis=-1) if of_metric else empty for name, of_metric in blocks.items()}

    def averaged_classes(self, metric: str, counts: Counts) -> NDArray[np.bool_] | None:
        """Return the classes that a metric averages with equal weights, ``[classes]``; None for ``weighted_f1``.

        A rare class has as much weight in such a mean as a frequent one, and so decides whether its interval holds.

        Args:
            metric: a metric from counts of classes.
            counts: counts of the group, ``[classes]``.
        """
        if metric == "weighted_f1":
            return None
        if metric == LISTED:
            return self.listed
        occurring: NDArray[np.bool_] = counts.true > 0
        return occurring if metric == "balanced_accuracy" else occurring | (counts.predicted > 0)


def _rows(task: _ScoredTask, seeds: Sequence[int], reversed_metrics: Collection[str]) -> Iterator[ScoreRow]:
    """Yield the rows of one training seed, or of the mean over several: ``seeds`` are positions."""
    if not len(task.languages):
        summaries = (MACRO, WEIGHTED, WORST, GAP) if len(task.groups.languages) > 1 else (MACRO, WEIGHTED)
        for metric in (*task.outcomes[0].values, *FROM_COUNTS):
            yield from (ScoreRow(metric, np.nan, 0, name) for name in (*task.names, *summaries))
        return
    # First, because it needs most memory; the counts of all slices are made after it.
    hits = np.stack([task.outcomes[seed].hits for seed in seeds])
    true, classes = task.outcomes[0].true, task.outcomes[0].classes
    fairness = list(
        fairness_rows(hits, true, task.languages, task.clusters, task.groups.languages, classes, task.slice_columns)
    )
    del hits
    for number, slice_ in enumerate(task.slices):
        for metric in task.outcomes[0].values:
            if number and metric.startswith(CONFORMAL):
                continue  # calibrated for languages; on slices it would cost as much as all other metrics together
            values = np.stack([task.outcomes[seed].values[metric][slice_.rows] for seed in seeds])
            higher_is_better = not lower_is_better(metric) and metric not in reversed_metrics
            yield from _mean_rows(task, slice_, metric, values, higher_is_better)
        counts = Counts(*(part[seeds, number].mean(0) for part in task.class_counts))
        for metric, observed in task.observed.items():
            samples = task.samples[metric][seeds, number]
            yield from _sample_rows(task, slice_, metric, observed[seeds, number], samples, counts)
    yield from fairness


def _mean_rows(
    task: _ScoredTask, slice_: _Slice, metric: str, values: NDArray[Any], higher_is_better: bool
) -> Iterator[ScoreRow]:
    """Yield the rows of a metric that is a mean over examples; ``values``: ``[seeds, n]``."""
    function = proportions if is_proportion(metric) else means
    intervals = [*function(values, slice_.languages), *function(values, slice_.pooled)]
    over_seeds = values.mean(0)
    sums = [*np.bincount(slice_.languages.language, over_seeds, slice_.languages.count).tolist(), over_seeds.sum()]
    for name, n, total, interval in zip(task.names, slice_.sizes, sums, intervals, strict=True):
        yield ScoreRow(metric, total / n if n else np.nan, n, name, slice_.name, interval=interval)
    languages = slice_.languages
    if is_proportion(metric):
        summary = summarize_proportions(values, task.languages[slice_.rows], [], languages.count, layout=languages)
    else:
        summary = summarize_values(
            values, task.languages[slice_.rows], [], languages.count, higher_is_better, layout=languages
        )
    yield from summary_rows(metric, slice_.name, summary, languages.rows)


def _sample_rows(
    task: _ScoredTask,
    slice_: _Slice,
    metric: str,
    observed: NDArray[np.floating],
    samples: NDArray[np.floating],
    counts: Counts,
) -> Iterator[ScoreRow]:
    """Yield the rows of a bootstrapped metric.

    Args:
        task: the task.
        slice_: the slice.
        metric: its name.
        observed: its value, ``[seeds, languages + 1]``.
        samples: its value in each resample, ``[seeds, languages + 1, resamples]``.
        counts: counts of classes, the mean over seeds, ``[languages + 1, classes]``.
    """
    widen, enough = [], True
    places = zip(task.names, slice_.sizes, slice_.clusters, strict=True)
    for place, (name, n, clusters) in enumerate(places):
        own = Counts(*(part[place] for part in counts))
        classes = task.averaged_classes(metric, own)
        widen.append(1.0 if classes is None else widening(*own, classes, clusters))
        interval = Interval()
        if n and (classes is None or enough_rows(own.true, classes)):
            interval = basic(observed[:, place], samples[:, place], clusters, widen=widen[place])
        elif n:
            interval = Interval(method=RARE_CLASSES)
        if n and name != ALL and classes is not None:
            enough &= enough_rows(own.true, classes, LISTED_ROWS)
        yield ScoreRow(metric, float(observed[:, place].mean()), n, name, slice_.name, interval=interval)
    summary = summarize_samples(
        observed[:, :-1],
        np.moveaxis(samples[:, :-1], 1, 2),
        slice_.languages.clusters,
        slice_.pooled.total_clusters,
        widen=widen[:-1],
    )
    for row in summary_rows(metric, slice_.name, summary, slice_.languages.rows):
        yield row if enough else replace(row, interval=Interval(method=RARE_CLASSES), p=np.nan)


def _columns(row: ScoreRow) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in ("slice", "language", "metric", "value", "n", "p")}
    return columns | {"class": row.klass} | row.interval._asdict()
