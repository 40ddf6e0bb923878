"""The rows of Scores of a multi-label task: per language, pooled, and their mean, worst language and gap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.bootstrap import RESAMPLES, ClassCounts, Groups, resampled
from mmeval.metrics.counts import Counts, f1_per_class, macro_f1
from mmeval.metrics.intervals import (
    FEW_CLUSTERS,
    FEW_ROWS,
    LISTED_ROWS,
    TAIL,
    basic,
    mean_variance,
    proportions,
    pseudo_variance,
)
from mmeval.metrics.languages import summarize_proportions, summarize_samples, summary_rows
from mmeval.metrics.moments import Layout, moments
from mmeval.metrics.multilabel import (
    average_precision,
    mean_average_precision_influence,
    micro_f1,
    precision,
    predicted_classes,
    recall,
    subset_correct,
)
from mmeval.metrics.multilabel_outcomes import MultilabelOutcomes
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.row import ALL, GAP, MACRO, MEAN, WEIGHTED, WORST, Interval, ScoreRow

Floats = NDArray[np.floating]

METRICS = ("map", "micro_f1", "macro_f1", "subset_accuracy")
"""The metrics of a multi-label task; the first one selects the best epoch."""
F1 = {"micro_f1": micro_f1, "macro_f1": macro_f1}
PER_CLASS = {"precision": precision, "recall": recall, "f1": f1_per_class}
BLOCK_BYTES = 2**26
"""Normal draws for the mean average precision are made in blocks of about this size."""


def rows(
    predictions: Mapping[str, Predictions],
    task: str,
    resamples: int = RESAMPLES,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[tuple[str, ScoreRow]]:
    """Yield the training seed and the row of each score; with several seeds also those of their mean, ``mean``.

    Subset accuracy is a proportion, with Wilson's interval. F1 has the basic interval of a bootstrap over clusters. The
    mean average precision has a t interval, on the logit scale, from the influence of each cluster (see
    :func:`mean_average_precision_influence`). Intervals of the mean average precision and of macro-F1 are unreliable
    where a class has fewer than 10 examples.

    Args:
        predictions: predictions of the same examples, by training seed.
        task: the multi-label task.
        resamples: number of bootstrap resamples.
        advance: called with the number of resamples done, for a progress bar.
    """
    first = next(iter(predictions.values()))
    known = np.flatnonzero(first.multilabel[task].known)
    data = _Data.of(first, known)
    outcomes = [each.multilabel[task].take(known) for each in predictions.values()]
    if not len(known):
        yield from _undefined(list(predictions), data.groups.languages)
        return
    scored = _score(outcomes, data, resamples, advance)
    for number, seed in enumerate(predictions):
        yield from ((seed, row) for row in _rows(data, scored[number : number + 1]))
    if len(predictions) > 1:
        yield from ((MEAN, row) for row in _rows(data, scored))


def _undefined(seeds: Sequence[str], languages: Sequence[str]) -> Iterator[tuple[str, ScoreRow]]:
    """Yield the rows of a task without labels: no score is defined."""
    names = (*languages, ALL, MACRO, WEIGHTED, *((WORST, GAP) if len(languages) > 1 else ()))
    for seed in (*seeds, *([MEAN] if len(seeds) > 1 else [])):
        yield from ((seed, ScoreRow(metric, np.nan, 0, name)) for metric in METRICS for name in names)


@dataclass(frozen=True)
class _Data:
    """Groups, languages and clusters of ``n`` labelled examples."""

    groups: Groups
    rows: list[NDArray[np.int64]]
    """The rows of each group."""
    language: NDArray[np.int32]
    cluster: NDArray[np.int64]
    clusters: list[int]
    """Number of clusters of each group."""

    @classmethod
    def of(cls, predictions: Predictions, known: NDArray[np.int64]) -> _Data:
        groups = Groups.of_predictions(predictions, known)
        cluster = np.unique(predictions.clusters.codes[known], return_inverse=True)[1].astype(np.int64)
        members = groups.members.toarray() > 0
        of_groups = [np.flatnonzero(own[groups.atoms]) for own in members]
        counts = [len(np.unique(cluster[own])) for own in of_groups]
        return cls(groups, of_groups, predictions.languages.codes[known], cluster, counts)


@dataclass(frozen=True)
class _Scored:
    """The scores of one training seed, by metric."""

    values: dict[str, Floats]
    """``[groups]``."""
    samples: dict[str, Floats]
    """Scores of resamples, ``[groups, resamples]``; those of the mean average precision are draws of its normal
    approximation."""
    correct: Floats
    """1 for each example with exactly the predicted classes, else 0: ``[n]``."""
    influence: Sequence[Floats]
    """Influence of the rows of each group on its mean average precision."""
    counts: Counts
    """``[groups, classes]``."""
    average_precision: Floats
    """Of each class over all examples, ``[classes]``."""
    classes: tuple[str, ...]


class _LabelCounts(ClassCounts):
    """Counts of the classes in every group; an example may count for several classes, or for none."""

    def __init__(self, outcomes: MultilabelOutcomes, groups: Groups, clusters: NDArray[np.int64]) -> None:
        from scipy.sparse import coo_array

        self.groups, self.classes = groups, outcomes.true.shape[1]
        self.clusters = int(clusters.max(initial=-1)) + 1
        true, predicted = outcomes.true > 0, predicted_classes(outcomes.scores)
        cells, columns = [], []
        for kind, mask in enumerate((true & predicted, true & ~predicted, ~true & predicted)):
            row, label = np.nonzero(mask)
            cells.append((groups.atoms[row].astype(np.int64) * 3 + kind) * self.classes + label)
            columns.append(clusters[row])
        place = (np.concatenate(cells), np.concatenate(columns))
        shape = (groups.members.shape[1] * 3 * self.classes, self.clusters)
        self.matrix = coo_array((np.ones(len(place[0]), np.float32), place), shape=shape).tocsr()


def _score(
    outcomes: Sequence[MultilabelOutcomes], data: _Data, resamples: int, advance: Callable[[int], None]
) -> list[_Scored]:
    counts = [_LabelCounts(each, data.groups, data.cluster) for each in outcomes]
    f1: list[dict[str, list[Floats]]] = [{name: [] for name in F1} for _ in outcomes]
    for block in resampled(counts, resamples):
        for own, of_seed in zip(f1, block, strict=True):
            for name, function in F1.items():
                own[name].append(function(of_seed, 1))
        advance(block[0].hits.shape[-1])
    scored = []
    empty = np.zeros((len(data.groups), 0))
    for each, own_counts, own_f1 in zip(outcomes, counts, f1, strict=True):
        observed = own_counts.observed()
        correct = subset_correct(each.true > 0, predicted_classes(each.scores)).astype(np.float64)
        pairs = [
            mean_average_precision_influence(each.true[own] > 0, each.scores[own], corrected=True) for own in data.rows
        ]
        values = {name: function(observed) for name, function in F1.items()}
        values["map"] = np.array([value for value, _ in pairs])
        values["subset_accuracy"] = np.array([correct[own].mean() if len(own) else np.nan for own in data.rows])
        influence = [own for _, own in pairs]
        samples = {name: np.concatenate(parts, 1) if parts else empty for name, parts in own_f1.items()}
        samples["map"] = values["map"][:, None] + _normal_deviations(data, influence, resamples)
        of_classes = average_precision(each.true > 0, each.scores)
        scored.append(_Scored(values, samples, correct, influence, observed, of_classes, each.task.classes))
    return scored


def _normal_deviations(data: _Data, influence: Sequence[Floats], resamples: int) -> Floats:
    """Return normal deviations of the groups with the covariance over clusters, ``[groups, resamples]``.

    Every cluster has one draw per resample, with which its influence on each group is multiplied. The draws are the
    same for every training seed.
    """
    from scipy.sparse import coo_array

    total = int(data.cluster.max(initial=-1)) + 1
    group = np.repeat(np.arange(len(data.groups)), [len(own) for own in data.rows])
    cluster = np.concatenate([data.cluster[own] for own in data.rows])
    shape = (len(data.groups), total)
    matrix = coo_array((np.concatenate(influence), (group, cluster)), shape=shape).tocsr()
    scale = np.array([np.sqrt(count / (count - 1)) if count > 1 else 1.0 for count in data.clusters])
    rng, block = np.random.default_rng(0), max(1, BLOCK_BYTES // (8 * total))
    parts = [
        matrix @ rng.standard_normal((total, min(block, resamples - start))) for start in range(0, resamples, block)
    ]
    deviations: Floats = np.concatenate(parts, 1) * scale[:, None]
    return deviations


def _rows(data: _Data, seeds: Sequence[_Scored]) -> Iterator[ScoreRow]:
    """Yield the rows of one training seed, or of the mean over several."""
    names = (*data.groups.languages, ALL)
    for number, slice_ in enumerate(data.groups.slices):
        start = number * len(names)
        whole = data.rows[start + len(names) - 1]
        layout = Layout(data.language[whole], data.cluster[whole], len(names) - 1)
        pooled = Layout(np.zeros(len(whole), np.int64), data.cluster[whole], 1)
        correct = np.stack([seed.correct[whole] for seed in seeds])
        for metric in METRICS:
            values = np.stack([seed.values[metric][start : start + len(names)] for seed in seeds])  # [S, L + 1]
            if metric == "subset_accuracy":
                intervals = [*proportions(correct, layout), *proportions(correct, pooled)]
            elif metric == "map":
                pseudo, pseudo_pooled = _pseudo_values(data, seeds, start, len(names))
                intervals = [*_logit_intervals(pseudo, layout), *_logit_intervals(pseudo_pooled, pooled)]
            else:
                samples = np.stack([seed.samples[metric][start : start + len(names)] for seed in seeds])
                intervals = [
                    basic(values[:, at], samples[:, at], data.clusters[start + at]) for at in range(len(names))
                ]
            for at, language in enumerate(names):
                n = len(data.rows[start + at])
                interval = intervals[at] if n and np.isfinite(values[:, at]).all() else Interval()
                if metric in ("map", "macro_f1") and not _enough_of_each_class(seeds, start + at):
                    interval = interval._replace(reliable=False)
                yield ScoreRow(metric, float(values[:, at].mean()), n, language, slice_, interval=interval)
            if metric == "subset_accuracy":
                summary = summarize_proportions(correct, layout.language, data.cluster[whole], layout.count, layout)
            else:
                samples = np.stack([seed.samples[metric][start : start + layout.count].T for seed in seeds])
                clusters = np.array(data.clusters[start : start + layout.count])
                summary = summarize_samples(values[:, :-1], samples, clusters, layout.total_clusters)
            yield from summary_rows(metric, slice_, summary, layout.rows)
    yield from _class_rows(data, seeds)


def _pseudo_values(data: _Data, seeds: Sequence[_Scored], start: int, count: int) -> tuple[Floats, Floats]:
    """Return the pseudo-values of the mean average precision of a slice's rows, per language and pooled: ``[S, rows]``.

    A pseudo-value is the score plus n times the influence of the row: their mean is the score, and the standard
    error of the mean is that of the score.
    """
    whole = data.rows[start + count - 1]
    place = np.full(int(whole.max(initial=-1)) + 1, -1)
    place[whole] = np.arange(len(whole))
    per_language, pooled = np.zeros((len(seeds), len(whole))), np.zeros((len(seeds), len(whole)))
    for number, seed in enumerate(seeds):
        for group in range(start, start + count):
            own = data.rows[group]
            target = pooled if group == start + count - 1 else per_language
            target[number, place[own]] = np.nan_to_num(seed.values["map"][group]) + len(own) * seed.influence[group]
    return per_language, pooled


def _logit_intervals(pseudo: Floats, layout: Layout) -> list[Interval]:
    """Return the t interval of the mean of pseudo-values ``[S, n]`` of each language, computed on the logit scale.

    On that scale the interval of a score near 1 is not symmetric and stays below 1. The degrees of freedom are those
    of the variance of the clusters' influences, 2 G m2^2 / (m4 - m2^2) with their moments m2 and m4 and G clusters, but
    at most those of :func:`means`: a rare class gives few clusters a large influence. A score of 0 or 1, and one whose
    influences are all zero, gets the variance of a proportion with four rows more.
    """
    parts = moments(pseudo, layout)
    variance, floored = mean_variance(parts, layout)
    cells = layout.cell_sums(pseudo.mean(0) - np.nan_to_num(parts.value)[layout.language])
    count = np.maximum(layout.clusters, 1)
    m2, m4 = (layout.language_sums(cells**power) / count for power in (2, 4))
    df = np.minimum(variance.df, np.maximum(2 * count * m2**2 / np.maximum(m4 - m2**2, 1e-300), 1))
    value = np.nan_to_num(parts.value)
    # The value and influences of perfect predictions are exact only up to rounding.
    extreme = floored | (value <= 1e-9) | (value >= 1 - 1e-9) | (variance.total <= 1e-18)
    total = np.where(extreme, pseudo_variance(value, layout.clusters), variance.total)
    half = variance._replace(df=df).quantile(TAIL) * np.sqrt(total)
    inner = np.where(extreme, 0.5, value)
    logit, half_logit = np.log(inner / (1 - inner)), half / (inner * (1 - inner))
    low = np.where(extreme, np.maximum(value - half, 0), 1 / (1 + np.exp(half_logit - logit)))
    high = np.where(extreme, np.minimum(value + half, 1), 1 / (1 + np.exp(-half_logit - logit)))
    name = "logit-t-seeds" if len(pseudo) > 1 else "logit-t"
    names = np.where(extreme, "logit-t-floor", name)
    reliable = (layout.rows >= FEW_ROWS) & (layout.clusters >= FEW_CLUSTERS) & ~extreme
    columns = zip(low.tolist(), high.tolist(), names.tolist(), reliable.tolist(), strict=True)
    return [Interval(*column) for column in columns]


def _enough_of_each_class(seeds: Sequence[_Scored], group: int) -> bool:
    """Return whether every class that an example of the group has, or was predicted to have, has 10 examples in it."""
    return all(
        bool((seed.counts.true[group] >= LISTED_ROWS)[(seed.counts.true + seed.counts.predicted)[group] > 0].all())
        for seed in seeds
    )


def _class_rows(data: _Data, seeds: Sequence[_Scored]) -> Iterator[ScoreRow]:
    """Yield precision, recall, F1 and average precision of each class, over all examples and without intervals.

    ``n`` is the number of examples that have the class.
    """
    pooled = len(data.groups.languages)
    for label, name in enumerate(seeds[0].classes):
        n = int(seeds[0].counts.true[pooled, label])
        for metric, function in PER_CLASS.items():
            value = float(np.mean([function(seed.counts)[pooled, label] for seed in seeds]))
            yield ScoreRow(metric, value, n, klass=name)
        value = float(np.mean([seed.average_precision[label] for seed in seeds]))
        yield ScoreRow("average_precision", value, n, klass=name)
