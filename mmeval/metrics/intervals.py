"""95 % intervals of proportions, means and bootstrapped scores, for few rows, few clusters and several seeds, too."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv, expit, logit, ndtri, stdtrit

from mmeval.metrics.moments import Floats, Layout, Moments, Variance, correction, moments, two_way
from mmeval.metrics.row import NO_INTERVAL, Interval

CONFIDENCE = 0.95
"""Confidence level of all intervals."""
TAIL = (1 - CONFIDENCE) / 2
FEW_ROWS = 30
"""Intervals of fewer rows are marked as not reliable."""
FEW_CLUSTERS = 10
"""With fewer clusters the variance over clusters can't be estimated; Kish's effective size replaces it."""
LISTED_ROWS = 10
"""Rows that a class needs in the test split, all languages together, to be on the class list."""
CLASS_ROWS = 5
"""Rows that each averaged class needs in a language for the interval of its macro-F1 to hold."""
FEW_RESAMPLES = 200
"""Fewer resamples don't determine the 2.5 % quantiles."""
UNRELIABLE_SEEDS = (2,)
"""Numbers of training seeds whose variance is too uncertain: between two seeds it has one degree of freedom."""
FINITE = 0.95
"""Share of the resamples in which a score must exist."""

RARE_CLASSES = "rare-classes"
"""Method of a missing interval: F1 of classes with few rows is biased by more than any interval can correct."""

METHODS = {
    "wilson": "Wilson interval of a proportion, on the number of rows divided by the design effect of the clusters",
    "wilson-kish": "Wilson interval on Kish's effective number of rows, as if the rows of a cluster were copies of one "
    "row: used for fewer than 10 clusters and where all rows are right or all are wrong",
    "wilson-seeds": "Wilson interval on the number of rows that has the variance over clusters and training seeds",
    "clustered-t": "mean plus and minus t times its standard error over clusters",
    "clustered-t-seeds": "mean plus and minus t times its standard error over clusters and training seeds",
    "clustered-t-floor": "all values are alike: the standard error assumes a row that differs by the size of the mean",
    "basic-bootstrap": "bootstrap over clusters, reflected at the value on the logit scale: t times its standard error "
    "around the value without its bias",
    "basic-bootstrap-seeds": "the same with a bootstrap over clusters and training seeds",
    "basic-bootstrap-floor": "all resamples are alike: the standard error of a proportion with four rows more",
    "languages-t": "weighted mean of languages plus and minus t times its standard error; the variance of a language "
    "with few rows is at least that with four rows more, two right and two wrong",
    "simultaneous-t": "bounds of the lowest language, or largest difference, from intervals that hold for all "
    "languages, or pairs of languages, at once",
    "jackknife": "value plus and minus t times its standard error, from leaving out each of 20 parts of the clusters",
    "logit-t": "t interval of the mean average precision on the logit scale, from the influence of each cluster",
    "logit-t-seeds": "the same over clusters and training seeds",
    "logit-t-floor": "no cluster has an influence: the standard error of a proportion with four rows more",
    RARE_CLASSES: "no interval: a class that the value averages has too few rows for an interval to hold",
    NO_INTERVAL: "the value has no interval that can be relied on",
}
"""Explanation of each method, by its name in the column ``method`` of Scores."""


# Proportions


class Proportions(NamedTuple):
    """Proportion of each language with its effective number of rows, arrays ``[languages]``."""

    value: Floats
    size: Floats
    """Number of independent rows that would have the same variance."""
    one_seed: Floats
    """Effective number of rows of one training seed, if this is smaller: the mean over seeds is as skewed as it."""
    variance: Variance
    """Variance of each proportion; its degrees of freedom are infinite where no design effect was estimated."""
    kish: NDArray[np.bool_]
    """Where Kish's effective size stands for the variance over clusters."""


def effective_proportions(parts: Moments, layout: Layout) -> Proportions:
    """Return proportions and effective sizes: rows over the design effect, or Kish's size where it can't be estimated.

    The design effect is the clustered variance over that of independent rows, at least 1. With fewer than 10 clusters,
    or if all rows are alike, the rows of a cluster count as copies of one row (Kish 1965: (sum m)^2 / sum m^2 over
    cluster sizes m).
    """
    value, rows = parts.value, layout.rows
    spread = value * (1 - value)
    kish = (layout.clusters < FEW_CLUSTERS) | (parts.unclustered <= 0)
    cluster = np.maximum(np.diag(parts.cluster) * correction(layout.clusters), parts.unclustered)
    scale = correction(rows)
    cluster = np.where(kish, spread * scale / np.maximum(layout.kish, 1e-300), cluster)
    # Without shared clusters no design effect is estimated; the proportion determines the variance.
    estimated = ~kish & (layout.clusters < rows)
    cell = np.where(kish, 0, np.diag(parts.cell) * correction(layout.clusters))
    variance = two_way(
        cluster, np.diag(parts.seed), cell, np.where(estimated, layout.clusters - 1.0, np.inf), parts.seeds
    )
    size = np.divide(spread * scale, variance.total, out=layout.kish.copy(), where=(variance.total > 0) & (spread > 0))
    one_seed = size
    if parts.seeds > 1:
        single = np.diag(parts.cluster) * correction(layout.clusters) + (parts.seeds - 1) * cell
        single = np.maximum(single, (parts.by_seed * (1 - parts.by_seed)).mean(0) * scale / np.maximum(rows, 1))
        own = np.divide(spread * scale, single, out=size.copy(), where=single > 0)
        one_seed = np.where(kish, size, np.minimum(size, own))
    return Proportions(value, size, one_seed, variance, kish)


def wilson(value: ArrayLike, size: ArrayLike, quantile: ArrayLike) -> tuple[Floats, Floats]:
    """Return both ends of the score interval of a proportion (Wilson 1927); ``size`` needn't be an integer."""
    p, n, z = (np.asarray(part, np.float64) for part in (value, size, quantile))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    return np.minimum(low, p), np.maximum(high, p)


def exact(value: ArrayLike, size: ArrayLike, quantile: ArrayLike, tail: float) -> tuple[Floats, Floats]:
    """Return both ends of the exact interval of a proportion (Clopper and Pearson 1934) on an effective size.

    Its error in each tail is at most ``tail``, also for small ones, at which Wilson's interval fails near 0 and 1. The
    size is reduced by the squared ratio of the normal to the t quantile (Korn and Graubard 1998).

    Args:
        value: proportions.
        size: effective numbers of rows.
        quantile: quantiles that the size is worth: t quantiles of estimated design effects, else the normal one.
        tail: probability of each tail.
    """
    p = np.asarray(value, np.float64)
    n = np.asarray(size, np.float64) * (ndtri(tail) / np.asarray(quantile, np.float64)) ** 2
    hits, misses = p * n, (1 - p) * n
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1e-300), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betainccinv(hits + 1, np.maximum(misses, 1e-300), tail), 1.0)
    return np.minimum(low, p), np.maximum(high, p)


def proportions(hits: ArrayLike, layout: Layout) -> list[Interval]:
    """Return the interval of the proportion of each language, as ``proportion`` does; no interval without rows."""
    return proportions_of(moments(hits, layout), layout)


def proportions_of(parts: Moments, layout: Layout) -> list[Interval]:
    """Return the interval of each proportion from its moments."""
    found = effective_proportions(parts, layout)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = wilson(found.value, found.one_seed, found.variance.quantile(TAIL))
        shrink = np.sqrt(found.one_seed / found.size)
        low, high = found.value - shrink * (found.value - low), found.value + shrink * (high - found.value)
    names = np.where(found.kish, "wilson-kish", "wilson-seeds" if parts.seeds > 1 else "wilson")
    return _intervals(low, high, names, layout, parts.seeds)


def proportion(hits: ArrayLike, clusters: ArrayLike) -> Interval:
    """Return the interval of a proportion over rows in clusters, of one training seed or as the mean over several.

    It is Wilson's score interval on the effective number of rows, with the t quantile of G - 1 degrees of freedom where
    a design effect was estimated over G clusters. Several seeds add their variance, with S - 1 degrees of freedom.
    Fewer than 30 rows, fewer than 10 clusters (the interval then rests on Kish's assumption) and two seeds are marked
    as not reliable.

    Args:
        hits: 0 or 1 for each row ``[n]``, or for each training seed and row ``[S, n]``.
        clusters: index of the cluster of each row, ``[n]``.
    """
    return proportions(hits, _single(clusters))[0]


# Means


def means(values: ArrayLike, layout: Layout) -> list[Interval]:
    """Return the interval of the mean of each language, as ``mean`` does; no interval without rows."""
    parts = moments(values, layout)
    variance, floored = mean_variance(parts, layout)
    half = variance.quantile(TAIL) * np.sqrt(variance.total)
    names = np.where(floored, "clustered-t-floor", "clustered-t-seeds" if parts.seeds > 1 else "clustered-t")
    intervals = _intervals(parts.value - half, parts.value + half, names, layout, parts.seeds)
    return [i._replace(reliable=i.reliable and not bad) for i, bad in zip(intervals, floored.tolist(), strict=True)]


def mean_variance(parts: Moments, layout: Layout) -> tuple[Variance, NDArray[np.bool_]]:
    """Return the variance of the mean of each language, and where it had to be given a floor.

    If the values of a language are all alike, the floor assumes that one of Kish's effective number of rows plus one
    differs by the size of the mean, or by 1 if this is larger. A single cluster counts as one row.
    """
    cluster = np.diag(parts.cluster) * correction(layout.clusters)
    size = np.maximum(layout.kish, 1)
    # One cluster, or clusters whose deviations cancel: the rows' own spread, as if a cluster's rows were copies.
    cancelled = (cluster <= 1e-12 * parts.unclustered) | (parts.unclustered <= 0)
    cluster = np.where(cancelled, parts.unclustered * layout.rows / size, cluster)
    cell = np.where(cancelled, 0, np.diag(parts.cell) * correction(layout.clusters))
    df = np.maximum(layout.clusters - 1.0, 1)
    variance = two_way(cluster, np.diag(parts.seed), cell, df, parts.seeds)
    floored = variance.total <= (1e-12 * np.abs(parts.value)) ** 2  # up to rounding errors
    floor = (np.maximum(np.abs(parts.value), 1) / (size + 1)) ** 2
    return variance._replace(total=np.where(floored, floor, variance.total)), floored


def mean(values: ArrayLike, clusters: ArrayLike) -> Interval:
    """Return the interval of a mean over rows in clusters, of one training seed or as the mean over several.

    It is the mean plus and minus t times the clustered standard error, with G - 1 degrees of freedom for G clusters (as
    ``cov_type="cluster"`` and ``use_t=True`` of statsmodels). Several seeds add their variance, see ``two_way``. Where
    all values are alike, a floor keeps the interval from having width zero, see ``mean_variance``.

    Args:
        values: values of each row ``[n]``, or of each training seed and row ``[S, n]``.
        clusters: index of the cluster of each row, ``[n]``.
    """
    return means(values, _single(clusters))[0]


# Bootstrapped scores


def basic(
    value: ArrayLike,
    samples: ArrayLike,
    clusters: int,
    low: float = 0.0,
    high: float = 1.0,
    enough: bool = True,
    widen: float = 1.0,
) -> Interval:
    """Return the basic bootstrap interval of a score that is no mean over rows, such as F1.

    The distribution of the resamples is reflected at the value (Davison and Hinkley 1997, section 5.2), on the logit
    scale of ``[low, high]``: by as much as resampling lowers macro-F1, the interval lies above it. On this scale the
    centre is twice the value less the mean of the resamples, and half the width is their standard deviation times the
    t quantile of G - 1 degrees of freedom for G clusters. Several training seeds are drawn together with the clusters
    (the pigeonhole bootstrap, Owen 2007), their part inflated by S / (S - 1).

    The interval contains the value, lies in ``[low, high]`` and has positive width. It is marked as not reliable if
    there are fewer than 200 resamples, if the score exists in fewer than 95 % of them, if there are fewer than 30
    clusters, or for two seeds.

    Args:
        value: the score, or that of each seed ``[S]``.
        samples: score of each resample ``[R]``, or of each seed and resample ``[S, R]`` with the same draws of clusters
            for all seeds; NaN where the score does not exist.
        clusters: number of clusters of the rows.
        low: lowest possible score.
        high: highest possible score, infinite (no logit scale) if there is none.
        enough: False marks the interval as not reliable, see ``enough_rows``.
        widen: factor of the standard deviation, see ``widening``.
    """
    values, drawn = np.atleast_1d(np.asarray(value, np.float64)), np.atleast_2d(np.asarray(samples, np.float64))
    centre, seeds = float(values.mean()), len(values)
    if not math.isfinite(centre):
        return Interval()
    scale = _Scale(low, high, clusters)
    values, drawn = scale.to(values), scale.to(drawn)
    deviations, finite = pigeonhole(values, drawn)
    reliable = (
        bool(enough and np.count_nonzero(finite) >= FEW_RESAMPLES and finite.mean() >= FINITE and clusters >= FEW_ROWS)
        and seeds not in UNRELIABLE_SEEDS
    )
    deviations = deviations[finite]
    deviation = float(deviations.std()) if len(deviations) > 1 else 0.0
    if deviation <= 1e-9:
        return _floored(centre, clusters, low, high)
    quantile = float(bootstrap_variance(values, drawn, deviation**2, clusters).quantile(TAIL))
    middle, half = values.mean() - deviations.mean(), quantile * deviation * widen
    ends = scale.back(np.array([middle - half, middle + half]))
    name = "basic-bootstrap-seeds" if seeds > 1 else "basic-bootstrap"
    return Interval(min(max(float(ends[0]), low), centre), max(min(float(ends[1]), high), centre), name, reliable)


def _floored(value: float, clusters: int, low: float, high: float) -> Interval:
    """Return the interval of a score that all resamples have: that of a proportion with four rows more, per cluster."""
    extent = high - low if math.isfinite(high - low) else max(abs(value), 1.0)
    share = min(max((value - low) / extent, 0.0), 1.0) if math.isfinite(low) else 0.0
    quantile = -float(stdtrit(max(clusters - 1, 1), TAIL))
    half = extent * quantile * math.sqrt(float(pseudo_variance(share, clusters)))
    return Interval(max(value - half, min(low, value)), min(value + half, max(high, value)), "basic-bootstrap-floor")


class _Scale(NamedTuple):
    """The logit scale of scores between two bounds; no change without bounds."""

    low: float
    high: float
    clusters: int

    def to(self, scores: Floats) -> Floats:
        """Transform scores; those within half a cluster of a bound count as this far from it."""
        if not math.isfinite(self.high - self.low):
            return scores
        margin = 1 / (2 * max(self.clusters, 2))
        transformed: Floats = logit(np.clip((scores - self.low) / (self.high - self.low), margin, 1 - margin))
        return transformed

    def back(self, scores: Floats) -> Floats:
        if not math.isfinite(self.high - self.low):
            return scores
        original: Floats = self.low + (self.high - self.low) * expit(scores)
        return original


def bootstrap_variance(values: Floats, samples: Floats, total: float, clusters: int) -> Variance:
    """Return the variance of a bootstrapped score with the share of the training seeds.

    Args:
        values: score of each seed, ``[S]``.
        samples: score of each seed and resample, ``[S, R]``.
        total: variance over resamples of clusters and seeds.
        clusters: number of clusters.
    """
    seeds, df = len(values), np.asarray(max(clusters - 1.0, 1.0))
    if seeds == 1:
        return Variance(np.asarray(total), np.asarray(0.0), df, 1)
    over_clusters = float(np.nanvar(samples.mean(0)))
    share = min(max(1 - over_clusters / total, 0.0), 1.0)
    return Variance(np.asarray(total), np.asarray(share), df, seeds)


def pigeonhole(values: Floats, samples: Floats, seed: int = 0) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the deviation of each resample from the value, training seeds drawn as well, and where it is finite.

    Args:
        values: score of each seed, ``[S, ...]``.
        samples: score of each seed and resample, ``[S, ..., R]``.
        seed: seed of the draws of training seeds.
    """
    seeds, mean = len(values), samples.mean(0)
    deviations = mean - values.mean(0)[..., None]
    if seeds > 1:
        resamples = samples.shape[-1]
        chosen = np.random.default_rng([seed, seeds]).integers(seeds, size=(seeds, resamples))
        counts = np.zeros((seeds, resamples))
        np.add.at(counts, (chosen, np.arange(resamples)), 1)
        own = np.einsum("s...r,sr->...r", samples, counts) / seeds
        deviations = deviations + math.sqrt(seeds / (seeds - 1)) * (own - mean)
    return deviations, np.isfinite(deviations)


def pseudo_variance(value: ArrayLike, size: ArrayLike) -> Floats:
    """Return the variance of a proportion after two rows that are right and two that are wrong were added.

    This is the interval of Agresti and Coull (1998); unlike p (1 - p) / n it is never zero.
    """
    n = np.asarray(size, np.float64) + 4
    p = (np.asarray(value, np.float64) * (n - 4) + 2) / n
    variance: Floats = p * (1 - p) / n
    return variance


# Class lists of F1


def class_list(true_counts: ArrayLike) -> NDArray[np.bool_]:
    """Return the classes with at least 10 rows in the test split, all languages together: ``[classes]``.

    Args:
        true_counts: number of rows of each true class, ``[..., classes]``; leading axes are added up.
    """
    counts = np.asarray(true_counts)
    mask: NDArray[np.bool_] = counts.reshape(-1, counts.shape[-1]).sum(0) >= LISTED_ROWS
    return mask


def enough_rows(true_counts: ArrayLike, classes: ArrayLike, rows: int = CLASS_ROWS) -> bool:
    """Return whether the interval of macro-F1 over some classes can hold: each of them has at least 5 rows.

    Summaries over languages need 10 rows of each class in each language (``LISTED_ROWS``): they add up the bias.

    F1 of a class with fewer rows is biased by more than resampling corrects. Of 98 classes in 572 rows, no interval of
    macro-F1 over all classes covers (simulated: .8 %).

    Args:
        true_counts: number of rows of each true class in the rows of the interval, ``[classes]``.
        classes: mask of the classes that macro-F1 averages, ``[classes]``: the class list, or all classes that are
            true or predicted in the rows of the interval.
        rows: rows that each class needs.
    """
    mask = np.asarray(classes, np.bool_)
    return bool(mask.any() and (np.asarray(true_counts)[mask] >= rows).all())


def widening(hits: ArrayLike, true: ArrayLike, predicted: ArrayLike, classes: ArrayLike, clusters: int) -> float:
    """Return the factor by which resamples of macro-F1 vary too little, because its classes have few clusters.

    Resampling g clusters of a class shrinks its variance by (g - 1) / g. With variances of classes proportional to
    1 / g, that of macro-F1 shrinks by sum 1 / g over sum 1 / (g - 1). The square root of this correction, by simulation
    (``benchmarks/coverage.py``), is the factor of the variance. g is estimated by the rows in which a class is true or
    predicted, times clusters over rows.

    Args:
        hits: number of rows of each class that were predicted correctly, ``[classes]``.
        true: number of rows of each true class, ``[classes]``.
        predicted: number of rows of each predicted class, ``[classes]``.
        classes: mask of the classes that macro-F1 averages, ``[classes]``.
        clusters: number of clusters of all rows.
    """
    of_hits, of_true, of_predicted = (np.asarray(part, np.float64) for part in (hits, true, predicted))
    rows = of_true.sum()
    own = (of_true + of_predicted - of_hits)[np.asarray(classes, np.bool_)]
    if not rows or not len(own):
        return 1.0
    groups = np.maximum(own * clusters / rows, 2)
    return float(((1 / (groups - 1)).sum() / (1 / groups).sum()) ** 0.25)


def _single(clusters: ArrayLike) -> Layout:
    codes = np.asarray(clusters, np.int64)
    return Layout(np.zeros(len(codes), np.int64), codes, 1)


def _intervals(low: Floats, high: Floats, names: NDArray[np.str_], layout: Layout, seeds: int) -> list[Interval]:
    reliable = (layout.rows >= FEW_ROWS) & (layout.clusters >= FEW_CLUSTERS) & (seeds not in UNRELIABLE_SEEDS)
    columns = zip(low.tolist(), high.tolist(), names.tolist(), reliable.tolist(), layout.rows.tolist(), strict=True)
    return [Interval(a, b, name, ok) if rows else Interval() for a, b, name, ok, rows in columns]
