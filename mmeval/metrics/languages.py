"""Comparison of languages: their mean, the worst one, the gap, and the test that all have the same score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtr

from mmeval.metrics.intervals import (
    FEW_CLUSTERS,
    FEW_RESAMPLES,
    FEW_ROWS,
    FINITE,
    TAIL,
    UNRELIABLE_SEEDS,
    effective_proportions,
    exact,
    mean_variance,
    pseudo_variance,
)
from mmeval.metrics.moments import Floats, Ints, Layout, Moments, Units, Variance, correction, moments, two_way
from mmeval.metrics.row import GAP, MACRO, WEIGHTED, WORST, Interval, ScoreRow

DRAWS = 10_000
"""Normal draws that determine critical values of simultaneous intervals; their error is below 2 % of the 5 %."""
TINY = 1e-12
"""Least variance, as a share of the largest one, that normal draws are divided by."""
PERMUTATIONS = 1_999
FEW_UNITS = 300
"""Up to so many rows that differ within their cluster, languages are permuted; above, chi-square approximates it."""


class Estimate(NamedTuple):
    """A value with its interval."""

    value: float = math.nan
    interval: Interval = Interval()


@dataclass(frozen=True)
class LanguageSummary:
    """Summary of one metric over the languages that have a score; NaN without interval where it does not apply."""

    mean: Estimate
    """Unweighted mean over languages."""
    weighted: Estimate
    """Mean weighted by precision: ``weights``."""
    weights: Floats
    """Weight of each language, its effective number of rows, scaled to sum 1; 0 for an omitted one: ``[languages]``."""
    worst: Estimate
    """Score of the worst language; NaN for fewer than two languages."""
    worst_languages: tuple[int, ...]
    """Index of the worst language; of all of them if several are tied."""
    gap: Estimate
    """Best minus worst language; NaN for fewer than two languages."""
    best_languages: tuple[int, ...]
    """Index of the best language, or of all that are tied."""
    p: float
    """p of the test that all languages have the same score; NaN for fewer than two languages."""
    test: str
    """Name of this test, see ``TESTS``."""
    omitted: tuple[int, ...]
    """Indices of the languages without a score; nothing else here covers them."""


TESTS = {
    "permutation": "languages permuted within clusters, clusters of one language with clusters of the same size",
    "chi-square": "the chi-square approximation of that permutation; it is Cochran's Q test if every cluster has every "
    "language once",
    "max-t": "largest difference of two languages over its standard error, corrected for the number of pairs",
    "": "fewer than two languages have a score",
}
"""Explanation of each test that all languages have the same score, by its name."""


def summarize_proportions(
    hits: ArrayLike, languages: ArrayLike, clusters: ArrayLike, count: int, layout: Layout | None = None
) -> LanguageSummary:
    """Summarize a proportion, such as top-1 accuracy, over languages.

    Args:
        hits: 0 or 1 for each row ``[n]``, or for each training seed and row ``[S, n]``.
        languages: index of the language of each row, ``[n]``.
        clusters: index of the cluster of each row, ``[n]``.
        count: number of languages, with or without rows.
        layout: ``Layout(languages, clusters, count)``, if several metrics share it.
    """
    layout = layout or Layout(languages, clusters, count)
    parts = moments(hits, layout)
    test = language_test(np.atleast_2d(np.asarray(hits, np.float64)).mean(0), layout)
    return summarize_moments(parts, layout, test)


def summarize_values(
    values: ArrayLike,
    languages: ArrayLike,
    clusters: ArrayLike,
    count: int,
    higher_is_better: bool = True,
    layout: Layout | None = None,
) -> LanguageSummary:
    """Summarize a mean over rows that is no proportion, such as log loss, over languages.

    Args:
        values: values of each row ``[n]``, or of each training seed and row ``[S, n]``.
        languages: index of the language of each row, ``[n]``.
        clusters: index of the cluster of each row, ``[n]``.
        count: number of languages, with or without rows.
        higher_is_better: False if the worst language is that with the largest mean.
        layout: ``Layout(languages, clusters, count)``, if several metrics share it.
    """
    layout = layout or Layout(languages, clusters, count)
    parts = moments(values, layout)
    test = language_test(np.atleast_2d(np.asarray(values, np.float64)).mean(0), layout)
    return summarize_moments(parts, layout, test, False, higher_is_better)


def summary_rows(metric: str, slice_: str, summary: LanguageSummary, rows: Ints) -> Iterator[ScoreRow]:
    """Yield the rows of mean, weighted mean, worst language and gap; a single language has no worst one and no gap.

    Args:
        metric: name of the metric.
        slice_: name of the slice.
        summary: the summary of the metric over the languages of the slice.
        rows: number of rows of each language, ``[languages]``.
    """
    total = int(rows.sum())
    yield ScoreRow(metric, summary.mean.value, total, MACRO, slice_, interval=summary.mean.interval)
    yield ScoreRow(metric, summary.weighted.value, total, WEIGHTED, slice_, interval=summary.weighted.interval)
    if len(rows) < 2:
        return
    worst, best = summary.worst_languages[:1], summary.best_languages[:1]
    for language, estimate, of in ((WORST, summary.worst, worst), (GAP, summary.gap, {*worst, *best})):
        n = int(rows[list(of)].sum())
        yield ScoreRow(metric, estimate.value, n, language, slice_, interval=estimate.interval, p=summary.p)


class _Languages(NamedTuple):
    """Scores of languages with everything that intervals of their weighted sums need; arrays of L languages."""

    value: Floats
    corrected: Floats
    """Scores without their bootstrap bias, on which intervals are built; else the scores."""
    variance: Floats
    """Variance of each score, at least its floor."""
    df: Floats
    """Degrees of freedom of these variances over clusters, infinite where they follow from the score."""
    clusters: Ints
    """Number of clusters of each language."""
    cluster: Floats
    """Covariance over clusters, ``[L, L]``."""
    seed: Floats
    """Covariance over seeds, ``[L, L]``."""
    cell: Floats
    """Covariance of the interaction of clusters and seeds, ``[L, L]``."""
    extra: Floats
    """By how much the floor exceeds the estimated variance."""
    precision: Floats
    """Effective number of rows or clusters of each language: proportional to 1 / SE^2 if all had the pooled score.

    With the SE of each language's own score, languages that are better by chance would weigh more.
    """
    seeds: int
    total_clusters: int
    bounded: bool
    """Whether scores lie in [0, 1]."""
    bonferroni: bool = False
    """Whether pairs of languages are corrected by their number, which is larger than the largest normal error needs."""

    def contrasts(self, weights: Floats, df: Floats) -> Variance:
        """Return the variances of weighted sums of languages.

        Args:
            weights: ``[K, L]``.
            df: degrees of freedom of the variance of each language, ``[L]``.
        """
        parts = [np.einsum("kl,lm,km->k", weights, part, weights) for part in (self.cluster, self.seed, self.cell)]
        squares = weights**2
        # Rounding errors may leave a tiny negative variance, for example where two languages have the same samples.
        parts[0] = np.maximum(parts[0], 0) + squares @ self.extra
        # Languages that agree in every cluster would have no variance: as for a proportion (Agresti and Coull 1998), it
        # is at least that with four clusters more, here of independent rows.
        unseen = 4 * squares @ (self.variance * self.precision) / (self.total_clusters + 4) ** 2
        parts[0] = np.maximum(parts[0], unseen)
        # Satterthwaite over languages as if they were independent; shared clusters only give it fewer degrees.
        own = squares * self.variance
        combined = own.sum(1) ** 2 / np.maximum((own**2 / df).sum(1), 1e-300)
        combined = np.minimum(combined, max(self.total_clusters - 1, 1))
        return two_way(parts[0], parts[1], parts[2], combined, self.seeds)


def summarize_moments(
    parts: Moments, layout: Layout, test: tuple[float, str], bounded: bool = True, higher_is_better: bool = True
) -> LanguageSummary:
    """Summarize means whose covariances are known over languages, or over other groups of rows.

    Args:
        parts: the means and their covariances.
        layout: the rows; its ``kish`` is the effective number of rows of each mean.
        test: p and name of the test that all means are the same; p is NaN for that of the largest difference.
        bounded: whether the means are proportions.
        higher_is_better: False if the worst language is that with the largest mean.
    """
    present = np.flatnonzero(layout.rows > 0)
    if not len(present):
        return _empty(layout.count)
    if bounded:
        shares = effective_proportions(parts, layout)
        size, df = shares.size, shares.variance.df
        floor = pseudo_variance(parts.value, size)
        own = np.divide(parts.value * (1 - parts.value), size, out=np.zeros_like(size), where=size > 0)
        floor = np.maximum(floor, own)
    else:
        estimate, floored = mean_variance(parts, layout)
        pooled, df = _pooled_floor(parts, layout), estimate.df
        # The floor of values that are all alike is needed only if those of all languages are.
        floor = np.maximum(pooled, np.where(floored & (pooled > 0), 0, estimate.total))
        size = effective_size(parts, layout)
    cut = np.ix_(present, present)
    factor = float(correction(layout.total_clusters))
    cluster, seed, cell = parts.cluster[cut] * factor, parts.seed[cut], parts.cell[cut] * factor
    estimated = two_way(np.diag(cluster), np.diag(seed), np.diag(cell), np.inf, parts.seeds).total
    extra = np.maximum(floor[present] - estimated, 0)
    scores = _Languages(
        value=parts.value[present],
        corrected=parts.value[present],
        variance=np.maximum(floor[present], estimated),
        df=df[present],
        clusters=layout.clusters[present],
        cluster=cluster,
        seed=seed,
        cell=cell,
        extra=extra,
        precision=size[present],
        seeds=parts.seeds,
        total_clusters=layout.total_clusters,
        bounded=bounded,
    )
    few = (layout.rows[present] < FEW_ROWS) | (layout.clusters[present] < FEW_CLUSTERS)
    enough = layout.total_clusters >= FEW_CLUSTERS and layout.rows[present].sum() >= FEW_ROWS
    reliable = bool(enough and (bounded or not few.any()))
    reliable = reliable and parts.seeds not in UNRELIABLE_SEEDS
    return _assemble(scores, size[present], present, layout.count, *test, reliable, higher_is_better)


def _pooled_floor(parts: Moments, layout: Layout) -> Floats:
    """Return a floor of the variance of each mean: that with four rows more, which have the variance of all languages.

    The spread of a few rows is often far too small by chance, or zero; that of all languages together is known.
    """
    rows = layout.rows.astype(np.float64)
    own = np.where(rows > 0, parts.unclustered * rows * np.maximum(rows - 1, 1), 0)
    pooled = own.sum() / max(rows.sum() - np.count_nonzero(rows), 1)
    size = effective_size(parts, layout)
    spread = np.divide(own, rows, out=np.zeros_like(own), where=rows > 0)
    floor: Floats = (spread * size + 4 * pooled) / (size + 4) ** 2
    return floor


def effective_size(parts: Moments, layout: Layout) -> Floats:
    """Return rows over their design effect, or Kish's size for fewer than 10 clusters or values that are all alike."""
    cluster = np.diag(parts.cluster) * correction(layout.clusters)
    many = (layout.clusters >= FEW_CLUSTERS) & (cluster > 0)
    deff = np.maximum(np.divide(cluster, parts.unclustered, out=np.ones_like(cluster), where=parts.unclustered > 0), 1)
    size: Floats = np.where(many, layout.rows / deff, layout.kish)
    return size


def _assemble(
    scores: _Languages,
    size: Floats,
    present: Ints,
    count: int,
    p: float,
    test: str,
    reliable: bool,
    higher_is_better: bool,
) -> LanguageSummary:
    many = len(present)
    equal = np.full(many, 1 / many)
    precision = scores.precision / scores.precision.sum()
    weights = np.zeros(count)
    weights[present] = precision
    omitted = tuple(np.setdiff1d(np.arange(count), present).tolist())
    mean, weighted = (_weighted(scores, w, reliable) for w in (equal, precision))
    if many < 2:
        return LanguageSummary(mean, weighted, weights, Estimate(), (), Estimate(), (), math.nan, "", omitted)
    # Means over seeds that are equal may differ in the last digit.
    tolerance = 1e-12 * np.abs(scores.value).max()
    lowest, highest = (
        np.flatnonzero(np.abs(scores.value - end) <= tolerance) for end in (scores.value.min(), scores.value.max())
    )
    errors = _errors(scores)
    gap, largest = _gap(scores, errors)
    # A test within clusters takes the training seeds as given; with several, differences must exceed their noise, too.
    if math.isnan(p):
        p = largest
    elif scores.seeds > 1:
        p = max(p, largest)
    if p >= 2 * TAIL:
        gap = (gap[0], 0.0, gap[2])
    interval = Interval(gap[1], gap[2], "simultaneous-t", reliable)
    worst, best = (lowest, highest) if higher_is_better else (highest, lowest)
    return LanguageSummary(
        mean=mean,
        weighted=weighted,
        weights=weights,
        worst=_worst(scores, errors, size, reliable, higher_is_better),
        worst_languages=tuple(present[worst].tolist()),
        gap=Estimate(gap[0], interval),
        best_languages=tuple(present[best].tolist()),
        p=p,
        test=test,
        omitted=omitted,
    )


def _empty(count: int) -> LanguageSummary:
    nothing = Estimate()
    return LanguageSummary(
        nothing, nothing, np.zeros(count), nothing, (), nothing, (), math.nan, "", tuple(range(count))
    )


def _weighted(scores: _Languages, weights: Floats, reliable: bool) -> Estimate:
    value = float(weights @ scores.value)
    if scores.bounded:
        value = min(max(value, 0.0), 1.0)  # weights add up to 1 but for rounding
    # A language of a few clusters may rule the variance of the mean, which is then as uncertain as its own.
    variance = scores.contrasts(weights[None], np.maximum(scores.clusters - 1.0, 1))
    half = float(variance.quantile(TAIL)[0]) * math.sqrt(float(variance.total[0]))
    centre = float(weights @ scores.corrected)
    low, high = min(centre - half, value), max(centre + half, value)
    if scores.bounded:
        low, high = min(max(low, 0.0), value), max(min(high, 1.0), value)
    return Estimate(value, Interval(low, high, "languages-t", reliable))


@lru_cache(maxsize=8)
def _normals(dimensions: int) -> NDArray[np.float32]:
    draws = np.random.default_rng(0).standard_normal((DRAWS, dimensions), np.float32)
    draws.setflags(write=False)
    return draws


_Errors = tuple[NDArray[np.float32], Floats]


def _errors(scores: _Languages) -> _Errors:
    """Return normal draws with a covariance that is proportional to that of the scores ``[L, draws]``, and it."""
    covariance = scores.cluster + scores.seed + np.diag(scores.extra)
    covariance /= np.diag(covariance).max()
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
    errors: NDArray[np.float32] = root @ _normals(len(values)).T
    return errors, covariance


def _simultaneous_tail(largest: NDArray[np.float32]) -> float:
    """Return the tail probability of each of several intervals that hold all at once, from the largest normal errors.

    Each interval then takes the t quantile of its own degrees of freedom at this probability (a Gaussian copula).
    """
    return float(ndtr(-np.quantile(largest, 1 - 2 * TAIL)))


def _worst(scores: _Languages, normal: _Errors, size: Floats, reliable: bool, higher_is_better: bool) -> Estimate:
    """Return the lowest score with the lowest bounds of intervals that hold for all languages at once."""
    sign = 1 if higher_is_better else -1
    errors, covariance = normal
    scale = 1 / np.sqrt(np.maximum(np.diag(covariance), TINY)).astype(np.float32)
    largest = np.abs(errors * scale[:, None]).max(0)
    own = two_way(
        np.diag(scores.cluster) + scores.extra, np.diag(scores.seed), np.diag(scores.cell), scores.df, scores.seeds
    )
    level = _simultaneous_tail(largest)
    critical = own.quantile(level)
    if scores.bounded:
        low, high = exact(np.clip(scores.corrected, 0, 1), size, critical, level)
    else:
        half = critical * np.sqrt(scores.variance)
        low, high = scores.corrected - half, scores.corrected + half
    value = float((sign * scores.value).min()) * sign
    least, most = (low.min(), high.min()) if higher_is_better else (low.max(), high.max())
    return Estimate(value, Interval(min(float(least), value), max(float(most), value), "simultaneous-t", reliable))


def _gap(scores: _Languages, normal: _Errors) -> tuple[tuple[float, float, float], float]:
    """Return the gap with its simultaneous interval, and p of the largest standardised difference of two languages."""
    first, second = np.triu_indices(len(scores.value), 1)
    weights = np.zeros((len(first), len(scores.value)))
    weights[np.arange(len(first)), first], weights[np.arange(len(first)), second] = 1, -1
    variance = scores.contrasts(weights, scores.df)
    value = float(np.ptp(scores.value))
    difference = np.abs(scores.corrected[first] - scores.corrected[second])
    smallest = variance.tail(difference)
    if scores.bonferroni:
        tail, p = TAIL / len(first), min(2 * smallest * len(first), 1.0)
    else:
        largest = _largest_differences(*normal)
        tail = min(_simultaneous_tail(largest), TAIL)  # languages that are always equal need that of one pair
        p = (1 + np.count_nonzero(ndtr(-largest) <= smallest)) / (1 + len(largest))
    half = variance.quantile(tail) * np.sqrt(variance.total)
    low, high = float((difference - half).max()), max(float((difference + half).max()), value)
    if scores.bounded:
        high = min(high, 1.0)
    return (value, min(max(low, 0.0), value), high), p


def _largest_differences(errors: NDArray[np.float32], covariance: Floats) -> NDArray[np.float32]:
    """Return the largest standardised difference of two languages in normal draws, ``[draws]``."""
    own = np.diag(covariance)
    scale = 1 / np.sqrt(np.maximum(own[:, None] + own - 2 * covariance, TINY)).astype(np.float32)
    largest = np.zeros(errors.shape[1], np.float32)
    for language in range(len(own) - 1):
        differences = errors[language + 1 :] - errors[language]
        np.abs(differences, out=differences)
        differences *= scale[language, language + 1 :, None]
        np.maximum(largest, differences.max(0), out=largest)
    return largest


# The test that all languages have the same score


def language_test(values: ArrayLike, layout: Layout, strata: ArrayLike | None = None) -> tuple[float, str]:
    """Return p and name of the permutation test that all languages have the same mean; NaN for one language.

    Within each cluster of several languages, its rows are exchanged; clusters of one language are exchanged with
    those of the same number of rows. The statistic is the quadratic form T' (V + c I)^-1 T of the differences T between
    the sum of each language and its expectation, V their exact permutation covariance (as in the generalised
    Cochran-Mantel-Haenszel test). c, the largest squared deviation of a unit, keeps languages of a few rows from
    ruling the result. Where every cluster has every language once this is Cochran's Q test.

    p comes from 1,999 random permutations (fixed seed) if up to 300 units can change the result, otherwise from the
    chi-square approximation with three moments (Imhof 1961), which is exact for Cochran's Q.

    Args:
        values: values of each row (the mean over training seeds), ``[n]``.
        layout: languages and clusters of the rows.
        strata: index of the stratum of each row ``[n]``, such as its class, the same within a cluster. Clusters of one
            language are then exchanged only with those of the same stratum.
    """
    if np.count_nonzero(layout.rows) < 2:
        return math.nan, ""
    units = layout.units if strata is None else Units(layout, np.asarray(strata, np.int64))
    value = units.values(np.asarray(values, np.float64))
    squares = np.bincount(units.stratum, value**2)
    active = (squares > 0)[units.stratum]
    if not active.any():
        return 1.0, "permutation"
    # Each stratum has the covariance of sampling without replacement: s^2 (diag(a) - a a' / m), a units per language.
    spread = squares / np.maximum(units.size - 1, 1)
    cells = units.layout
    covariance = np.diag(cells.language_sums(spread[cells.cell_cluster] * cells.cell_size))
    covariance -= cells.cross_products(np.sqrt(spread / units.size)[cells.cell_cluster] * cells.cell_size)
    damping = float((value**2).max())
    inverse = np.linalg.inv(covariance + damping * np.eye(layout.count))
    observed = np.bincount(cells.language, value, minlength=layout.count)
    statistic = float(observed @ inverse @ observed)
    if np.count_nonzero(active) <= FEW_UNITS:
        p = _permuted(value[active], cells.language[active], units.stratum[active], inverse, statistic)
        return p, "permutation"
    eigenvalues = np.linalg.eigvalsh(covariance)
    eigenvalues = eigenvalues[eigenvalues > 1e-9 * eigenvalues.max()]
    return _imhof(statistic, eigenvalues / (eigenvalues + damping)), "chi-square"


def _permuted(
    value: Floats,
    language: NDArray[np.integer],
    stratum: NDArray[np.integer],
    inverse: NDArray[np.floating],
    statistic: float,
) -> float:
    value, language, stratum = _canonical(np.round(value, 12), language, stratum)
    one_hot = np.zeros((len(value), len(inverse)))
    one_hot[np.arange(len(value)), language] = 1
    rng = np.random.default_rng(0)
    beyond, block = 0, 256
    for start in range(0, PERMUTATIONS, block):
        keys = rng.random((min(block, PERMUTATIONS - start), len(value))) + stratum
        sums = value[np.argsort(keys, axis=1)] @ one_hot
        drawn = np.einsum("rl,lk,rk->r", sums, inverse, sums)
        # Equal statistics may differ by rounding errors.
        beyond += int(np.count_nonzero(drawn >= statistic * (1 - 1e-9) - 1e-9))
    return (1 + beyond) / (1 + PERMUTATIONS)


def _canonical(
    value: Floats, language: NDArray[np.integer], stratum: NDArray[np.integer]
) -> tuple[Floats, NDArray[np.integer], NDArray[np.integer]]:
    """Sort units so that neither the order of rows nor the numbers of clusters change which permutations are drawn.

    Units are sorted by stratum, language and value; strata by their size and by two sums over their units.
    """
    order = np.lexsort((value, language, stratum))
    value, language, stratum = value[order], language[order], stratum[order]
    size = np.bincount(stratum)
    sums = [np.round(np.bincount(stratum, value**power * (language + 1)), 9) for power in (1, 2)]
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((sums[1], sums[0], size))] = np.arange(len(size))
    order = np.argsort(rank[stratum], kind="stable")
    return value[order], language[order], rank[stratum[order]]


def _imhof(statistic: float, weights: Floats) -> float:
    """Return P(sum of weighted squared normals >= statistic) by a chi-square with the same three moments."""
    first, second, third = (float((weights**power).sum()) for power in (1, 2, 3))
    df = second**3 / third**2
    return float(chdtrc(df, max((statistic - first) * math.sqrt(df / second) + df, 0.0)))


# Bootstrapped scores


def summarize_samples(
    value: ArrayLike,
    samples: ArrayLike,
    clusters: ArrayLike,
    total_clusters: int,
    higher_is_better: bool = True,
    enough: bool = True,
    widen: ArrayLike = 1.0,
) -> LanguageSummary:
    """Summarize a bootstrapped score in [0, 1], such as macro-F1, over languages.

    Covariances are those of the resamples. Intervals are built on scores that are corrected by their bootstrap bias.
    The test of equal languages is that of the largest standardised difference, corrected by the number of pairs:
    scores with rare classes have heavier tails than normal ones. Variances get the whole correction of ``widening``.

    Args:
        value: score of each language ``[L]``, or of each seed and language ``[S, L]``; NaN where there is none.
        samples: score in each resample ``[R, L]`` or ``[S, R, L]``, with the same draws for all languages and seeds.
        clusters: number of clusters of each language, ``[L]``.
        total_clusters: number of clusters of all languages together.
        higher_is_better: False if the worst language is that with the highest score.
        enough: False marks all intervals as not reliable, see ``mmeval.metrics.intervals.enough_rows``.
        widen: factor of the standard deviation of each language, ``[L]``, see ``mmeval.metrics.intervals.widening``.
    """
    by_seed = np.atleast_2d(np.asarray(value, np.float64))
    drawn = np.asarray(samples, np.float64)
    drawn = drawn[None] if drawn.ndim == 2 else drawn
    count = by_seed.shape[1]
    present = np.flatnonzero(np.isfinite(by_seed).all(0))
    if not len(present):
        return _empty(count)
    by_seed, own = by_seed[:, present], np.asarray(clusters, np.int64)[present]
    drawn, seeds = np.moveaxis(drawn[:, :, present], 1, 2), len(by_seed)  # [S, L, R]
    score, mean = np.asarray(by_seed.mean(0)), np.asarray(drawn.mean(0))
    finite = np.isfinite(mean)
    pairs = np.maximum(finite.astype(np.float64) @ finite.T - 1, 1)
    cluster = _covariance(np.where(finite, mean, np.nan), pairs)
    factor = np.broadcast_to(np.asarray(widen, np.float64), count)[present]
    cluster *= np.outer(factor, factor) ** 2  # ``widening`` has a half of the correction
    nothing = np.zeros_like(cluster)
    seed, cell = nothing, nothing
    if seeds > 1:
        centred = by_seed - score
        seed = centred.T @ centred / (seeds * (seeds - 1))
        cell = sum((_covariance(part - mean, pairs) for part in drawn), nothing) / (seeds * (seeds - 1))
    estimated = two_way(np.diag(cluster), np.diag(seed), np.diag(cell), np.inf, seeds).total
    floor = pseudo_variance(score, own)
    floored = ((own < FEW_ROWS) & (floor > estimated)) | (estimated <= 0)
    variance = np.where(floored, floor, estimated)
    spread = score * (1 - score)
    size = np.where(spread > 0, spread / variance, own)
    scores = _Languages(
        value=score,
        corrected=2 * score - np.where(finite.any(1), _nanmean(mean)[:, 0], score),
        variance=variance,
        df=np.maximum(own - 1.0, 1),
        clusters=own,
        cluster=cluster,
        seed=seed,
        cell=cell,
        extra=variance - estimated,
        precision=own.astype(np.float64),
        seeds=seeds,
        total_clusters=total_clusters,
        bounded=True,
        bonferroni=True,
    )
    reliable = (
        bool(enough and drawn.shape[2] >= FEW_RESAMPLES and finite.mean(1).min() >= FINITE and own.min() >= FEW_ROWS)
        and seeds not in UNRELIABLE_SEEDS
    )
    return _assemble(scores, size, present, count, math.nan, "max-t", reliable, higher_is_better)


def _covariance(samples: Floats, pairs: Floats) -> Floats:
    """Return the covariance of the rows of ``samples`` ``[L, R]``; NaN is left out."""
    centred = np.nan_to_num(samples - _nanmean(samples))
    covariance: Floats = centred @ centred.T / pairs
    return (covariance + covariance.T) / 2


def _nanmean(values: Floats) -> Floats:
    """Return the mean of the finite values of each row ``[K, R]`` as ``[K, 1]``; 0 without any."""
    finite = np.isfinite(values)
    sums: Floats = np.where(finite, values, 0).sum(1, keepdims=True) / np.maximum(finite.sum(1, keepdims=True), 1)
    return sums
