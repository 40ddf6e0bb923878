"""95 % intervals of proportions, means and bootstrapped scores that hold for few rows, few clusters and several seeds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv, stdtrit

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
FEW_RESAMPLES = 200
"""Fewer resamples don't determine the 2.5 % quantiles."""
FINITE = 0.95
"""Share of the resamples in which a score must exist."""

METHODS = {
    "wilson": "Wilson interval of a proportion, on the number of rows divided by the design effect of the clusters",
    "wilson-kish": "Wilson interval on Kish's effective number of rows, as if the rows of a cluster were copies of one row: "
    "used for fewer than 10 clusters and where all rows are right or all are wrong",
    "wilson-seeds": "Wilson interval on the effective number of rows that has the variance over clusters and training seeds",
    "clustered-t": "mean plus and minus t times its standard error over clusters",
    "clustered-t-seeds": "mean plus and minus t times its standard error over clusters and training seeds",
    "clustered-t-floor": "all values are alike: the standard error is that of a row that differs by the size of the mean",
    "logit-t": "t interval of the mean average precision on the logit scale, from the influence of each cluster",
    "logit-t-seeds": "the same over clusters and training seeds",
    "logit-t-floor": "no cluster has an influence: the standard error is that of a proportion with four rows more",
    "basic-bootstrap": "quantiles of a bootstrap over clusters, reflected at the value",
    "basic-bootstrap-seeds": "quantiles of a bootstrap over clusters and training seeds, reflected at the value",
    "basic-bootstrap-floor": "all resamples are alike: the standard error is that of a proportion with four rows more",
    "languages-t": "weighted mean of languages plus and minus t times its standard error; the variance of a language with "
    "few rows is at least that with four pseudo-rows",
    "simultaneous-t": "lowest and highest bound of intervals that hold for all languages, or all pairs of languages, at once",
    NO_INTERVAL: "the value has no interval that can be relied on",
}
"""Explanation of each method, by its name in the column ``method`` of Scores."""


def t_quantile(df: ArrayLike, tail: ArrayLike = TAIL) -> Floats:
    """Return the quantile that Student's t exceeds with probability ``tail``; infinite ``df``: the normal one."""
    quantile: Floats = -stdtrit(df, tail)
    return quantile


# Proportions


class Proportions(NamedTuple):
    """Proportion of each language with its effective number of rows, arrays ``[languages]``."""

    value: Floats
    size: Floats
    """Number of independent rows that would have the same variance."""
    df: Floats
    """Degrees of freedom of the variance; infinite where it follows from the proportion and Kish's size."""
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
    return Proportions(value, size, variance.df, kish)


def wilson(value: ArrayLike, size: ArrayLike, quantile: ArrayLike) -> tuple[Floats, Floats]:
    """Return both ends of the score interval of a proportion (Wilson 1927); ``size`` needn't be an integer."""
    p, n, z = (np.asarray(part, np.float64) for part in (value, size, quantile))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    return np.minimum(low, p), np.maximum(high, p)


def exact(value: ArrayLike, size: ArrayLike, df: ArrayLike, tail: ArrayLike) -> tuple[Floats, Floats]:
    """Return both ends of the exact interval of a proportion (Clopper and Pearson 1934) on an effective size.

    Its error in each tail is at most ``tail``, also for small ones, at which Wilson's interval fails near 0 and 1. The
    size is reduced by the squared ratio of the normal to the t quantile (Korn and Graubard 1998).

    Args:
        value: proportions.
        size: effective numbers of rows.
        df: degrees of freedom of the design effect, infinite if it is known.
        tail: probability of each tail.
    """
    p = np.asarray(value, np.float64)
    n = np.asarray(size, np.float64) * (t_quantile(np.inf, tail) / t_quantile(df, tail)) ** 2
    hits, misses = p * n, (1 - p) * n
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1e-300), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betainccinv(hits + 1, np.maximum(misses, 1e-300), tail), 1.0)
    return np.minimum(low, p), np.maximum(high, p)


def proportions(hits: ArrayLike, layout: Layout) -> list[Interval]:
    """Return the interval of the proportion of each language, as ``proportion`` does; no interval without rows."""
    parts = moments(hits, layout)
    found = effective_proportions(parts, layout)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = wilson(found.value, found.size, t_quantile(found.df))
    names = np.where(found.kish, "wilson-kish", "wilson-seeds" if parts.seeds > 1 else "wilson")
    return _intervals(low, high, names, layout)


def proportion(hits: ArrayLike, clusters: ArrayLike) -> Interval:
    """Return the interval of a proportion over rows in clusters, of one training seed or as the mean over several.

    It is Wilson's score interval on the effective number of rows, with the t quantile of G - 1 degrees of freedom where
    a design effect was estimated over G clusters. Several seeds add their variance, with S - 1 degrees of freedom.
    Fewer than 30 rows, or 10 clusters, are marked as not reliable: the interval then rests on Kish's assumption.

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
    half = t_quantile(variance.df) * np.sqrt(variance.total)
    names = np.where(floored, "clustered-t-floor", "clustered-t-seeds" if parts.seeds > 1 else "clustered-t")
    intervals = _intervals(parts.value - half, parts.value + half, names, layout)
    return [i._replace(reliable=i.reliable and not bad) for i, bad in zip(intervals, floored.tolist(), strict=True)]


def mean_variance(parts: Moments, layout: Layout) -> tuple[Variance, NDArray[np.bool_]]:
    """Return the variance of the mean of each language, and where it had to be given a floor.

    If the values of a language are all alike, the floor assumes that one of Kish's effective number of rows plus one
    differs by the size of the mean, or by 1 if this is larger. A single cluster counts as one row.
    """
    cluster = np.diag(parts.cluster) * correction(layout.clusters)
    size = np.maximum(layout.kish, 1)
    # One cluster, or clusters whose deviations cancel: the rows' own spread, as if a cluster's rows were copies.
    cancelled = cluster <= 1e-12 * parts.unclustered
    cluster = np.where(cancelled, parts.unclustered * layout.rows / size, cluster)
    cell = np.where(cancelled, 0, np.diag(parts.cell) * correction(layout.clusters))
    df = np.maximum(layout.clusters - 1.0, 1)
    variance = two_way(cluster, np.diag(parts.seed), cell, df, parts.seeds)
    floored = variance.total <= 0
    floor = (np.maximum(np.abs(parts.value), 1) / (size + 1)) ** 2
    return Variance(np.where(floored, floor, variance.total), variance.df), floored


def mean(values: ArrayLike, clusters: ArrayLike) -> Interval:
    """Return the interval of a mean over rows in clusters, of one training seed or as the mean over several.

    It is the mean plus and minus t times the clustered standard error, G - 1 degrees of freedom (as ``cov_type="cluster"``
    of statsmodels). Several seeds add their variance (two-way, Satterthwaite's degrees of freedom). Where all values are
    alike, a floor keeps the interval from having width zero, see ``mean_variance``.

    Args:
        values: values of each row ``[n]``, or of each training seed and row ``[S, n]``.
        clusters: index of the cluster of each row, ``[n]``.
    """
    return means(values, _single(clusters))[0]


# Bootstrapped scores


def basic(
    value: ArrayLike, samples: ArrayLike, clusters: int, low: float = 0.0, high: float = 1.0, seed: int = 0
) -> Interval:
    """Return the basic bootstrap interval of a score that is no mean over rows, such as F1.

    The quantiles of the resamples are reflected at the value (Davison and Hinkley 1997, equation 5.6): a score that
    resampling biases downwards, as it does macro-F1, is corrected upwards. Deviations are widened by the t quantile over the normal
    one. Several seeds are drawn together with the clusters (the pigeonhole bootstrap, Owen 2007), their part inflated by
    S / (S - 1). The interval contains the value, lies in ``[low, high]`` and has positive width. Too few resamples, or
    too few in which the score exists, are marked as not reliable.

    Args:
        value: the score, or that of each seed ``[S]``.
        samples: score of each resample ``[R]``, or of each seed and resample ``[S, R]`` with the same draws of clusters
            for all seeds; NaN where the score does not exist.
        clusters: number of clusters of the rows.
        low: lowest possible score.
        high: highest possible score.
        seed: seed of the draws of training seeds.
    """
    values, drawn = np.atleast_1d(np.asarray(value, np.float64)), np.atleast_2d(np.asarray(samples, np.float64))
    centre, seeds = float(values.mean()), len(values)
    if not math.isfinite(centre):
        return Interval()
    deviations, finite = pigeonhole(values, drawn, seed)
    deviations = deviations[finite]
    name = "basic-bootstrap-seeds" if seeds > 1 else "basic-bootstrap"
    reliable = bool(len(deviations) >= FEW_RESAMPLES and finite.mean() >= FINITE and clusters >= FEW_ROWS)
    if len(deviations) < 2 or np.ptp(deviations) <= 1e-12:
        half = float(t_quantile(max(clusters - 1, 1))) * math.sqrt(float(pseudo_variance(centre, clusters)))
        return _clipped(centre, centre - half, centre + half, low, high, "basic-bootstrap-floor", False)
    widen = float(t_quantile(_bootstrap_df(values, drawn, clusters)) / t_quantile(np.inf))
    upper, lower = np.quantile(deviations, [1 - TAIL, TAIL]) * widen
    return _clipped(centre, centre - float(upper), centre - float(lower), low, high, name, reliable)


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


def _bootstrap_df(values: Floats, samples: Floats, clusters: int) -> float:
    """Return Satterthwaite's degrees of freedom of a score over clusters and seeds."""
    seeds, df = len(values), max(clusters - 1, 1)
    if seeds == 1:
        return float(df)
    over_clusters = float(np.nanvar(samples.mean(0)))
    over_seeds = float(np.var(values, ddof=1)) / seeds
    share = over_seeds / (over_seeds + over_clusters) if over_seeds > 0 else 0.0
    return 1 / (share**2 / (seeds - 1) + (1 - share) ** 2 / df)


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


def _single(clusters: ArrayLike) -> Layout:
    codes = np.asarray(clusters, np.int64)
    return Layout(np.zeros(len(codes), np.int64), codes, 1)


def _intervals(low: Floats, high: Floats, names: NDArray[np.str_], layout: Layout) -> list[Interval]:
    reliable = (layout.rows >= FEW_ROWS) & (layout.clusters >= FEW_CLUSTERS)
    columns = zip(low.tolist(), high.tolist(), names.tolist(), reliable.tolist(), layout.rows.tolist(), strict=True)
    return [Interval(a, b, name, ok) if rows else Interval() for a, b, name, ok, rows in columns]


def _clipped(value: float, low: float, high: float, least: float, most: float, name: str, reliable: bool) -> Interval:
    """Return an interval that contains its value, lies between the bounds and has positive width."""
    return Interval(min(max(low, least), value), max(min(high, most), value), name, reliable)
