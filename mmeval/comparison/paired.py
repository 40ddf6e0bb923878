"""Paired differences of two runs: per language, their mean over languages, and their precision-weighted mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmeval.comparison.cells import Cells
from mmeval.comparison.flips import exact_p, random_p

CONFIDENCE = 0.95
"""Confidence level of the intervals."""
_NEGLIGIBLE = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A difference A - B with its standard error, interval and p-value."""

    difference: float
    se: float
    low: float
    high: float
    p: float
    df: float
    """Degrees of freedom of the t distribution behind the interval."""

    @property
    def negated(self) -> Difference:
        """The difference B - A."""
        return Difference(-self.difference, self.se, -self.high, -self.low, self.p, self.df)


@dataclass(frozen=True)
class LanguageDifference:
    """The difference of two runs in one language."""

    rows: int
    clusters: int
    only_a: float
    """Rows that only A got right; with several seeds the mean over all pairs of seeds, so that it may be a fraction.
    For values other than 0 and 1 the number of rows in which the mean value of A is higher."""
    only_b: float
    """Rows that only B got right, likewise."""
    discordant: int
    """Clusters whose sums differ; the sign-flip test knows nothing else."""
    estimate: Difference


@dataclass(frozen=True)
class PairedDifferences:
    """The differences of two runs."""

    languages: tuple[LanguageDifference, ...]
    mean: Difference
    """The mean over languages, each with the same weight."""
    weighted_mean: Difference
    """The mean over languages, each weighted by 1 / SE^2, so that small languages count less."""


@dataclass(frozen=True)
class RunValues:
    """The metric values of a run, one row per training seed, with the sums that all of its comparisons need."""

    values: NDArray[np.floating]
    """Value of each row ``[S, n]``."""
    sums: Floats
    """Sum of each cell ``[S, C]``."""
    centred: Floats
    """Contribution of each cell to the error of its language's mean, ``[S, C]``; the cells of a language sum to 0."""
    means: Floats
    """Mean of each language ``[S, L]``."""
    binary: bool
    """Whether every value is 0 or 1."""
    range: tuple[float, float]
    """The smallest and the largest value."""

    @classmethod
    def of(cls, values: NDArray[np.floating], cells: Cells) -> RunValues:
        """Prepare values ``[S, n]``."""
        sums = cells.sums(values)
        means = np.add.reduceat(sums, cells.bounds[:-1], axis=1) / cells.rows
        centred = (sums - means[:, cells.language] * cells.size) / cells.rows[cells.language]
        binary = bool(((values == 0) | (values == 1)).all())
        return cls(values, sums, centred, means, binary, (float(values.min()), float(values.max())))


def paired_differences(
    a: ArrayLike, b: ArrayLike, language: ArrayLike, cluster: ArrayLike, languages: int | None = None
) -> PairedDifferences:
    """Compare two runs on the same rows by the mean of a value per row.

    - One language: SE = sqrt(G / (G - 1) * sum over clusters of (sum of d - mean d)^2) / n, with d = A - B and ``G``
      clusters; interval from t with G - 1 degrees of freedom (Miller 2024, arXiv 2411.00640, eq. 4); p from the exact
      sign-flip test of whole clusters.
    - Mean over languages: the same over the influences of all clusters, so that a cluster with rows in several
      languages counts once; p from t.
    - Several seeds: a run's value is its mean over seeds, and SE^2 = max(V_cluster + V_seed - V_cell, V_cluster,
      V_seed). V_seed is the variance of both runs' means over seeds (seeds are not paired); V_cell is the part of
      V_cluster that seeds cause, their interaction with clusters. Degrees of freedom after Satterthwaite (1946). A
      language's p is the larger of sign-flip test and t-test, as the flips know nothing of other seeds.
    - Without any variance (one cluster, or the same difference in every row) SE is that of two further clusters of
      usual size that disagree in opposite directions, sqrt(2 * sum m^2 / G) / n; the interval is then cut at the
      largest possible differences.

    Args:
        a: values of A, ``[n]`` or ``[seeds, n]``.
        b: values of B on the same rows.
        language: language of each row ``[n]``, numbers from 0.
        cluster: cluster of each row ``[n]``, whole numbers.
        languages: number of languages; by default the largest number of a language plus 1.

    Raises:
        ValueError: a language has no rows.
    """
    codes = np.asarray(language, np.int64)
    count = int(codes.max(initial=-1)) + 1 if languages is None else languages
    cells = Cells.of(codes, np.asarray(cluster, np.int64), count)
    both = [RunValues.of(np.atleast_2d(np.asarray(values, np.float64)), cells) for values in (a, b)]
    return compare_pairs(cells, both, [(0, 1)])[0]


def compare_pairs(
    cells: Cells,
    runs: Sequence[RunValues],
    pairs: Sequence[tuple[int, int]],
    advance: Callable[[], object] = lambda: None,
) -> list[PairedDifferences]:
    """Compare pairs of runs on the same rows, see :func:`paired_differences`.

    Args:
        cells: the rows.
        runs: the values of each run.
        pairs: numbers of the runs A and B of each pair.
        advance: called after each pair.
    """
    p = _flip_p(cells, runs, pairs)
    differences = []
    for number, (a, b) in enumerate(pairs):
        differences.append(_compare(cells, runs[a], runs[b], p[number]))
        advance()
    return differences


def _flip_p(cells: Cells, runs: Sequence[RunValues], pairs: Sequence[tuple[int, int]]) -> Floats:
    """Return p of the sign-flip test of each pair and language ``[pairs, L]``."""
    p = np.ones((len(pairs), len(cells.rows)))
    for language, (start, stop) in enumerate(zip(cells.bounds[:-1], cells.bounds[1:], strict=True)):
        fractions: list[int] = []
        for number, (a, b) in enumerate(pairs):
            if runs[a].binary and runs[b].binary:
                p[number, language] = exact_p(_whole_sums(runs[a].sums[:, start:stop], runs[b].sums[:, start:stop]))
            else:
                fractions.append(number)
        if fractions:
            sums = [
                runs[a].sums[:, start:stop].mean(0) - runs[b].sums[:, start:stop].mean(0)
                for a, b in (pairs[number] for number in fractions)
            ]
            p[fractions, language] = random_p(np.stack(sums))
    return p


def _whole_sums(a: Floats, b: Floats) -> NDArray[np.int64]:
    """Return the differences of mean counts over seeds, times the least common multiple of the numbers of seeds."""
    factor = math.lcm(len(a), len(b))
    whole = np.rint(a).astype(np.int64).sum(0) * (factor // len(a))
    return np.asarray(whole - np.rint(b).astype(np.int64).sum(0) * (factor // len(b)))


def _compare(cells: Cells, a: RunValues, b: RunValues, p: Floats) -> PairedDifferences:
    # The largest possible difference: 1 for shares, and for other values their range in these runs.
    scale = 1.0 if a.binary and b.binary else max(a.range[1], b.range[1]) - min(a.range[0], b.range[0]) or 1.0
    differences = a.means.mean(0) - b.means.mean(0)
    bounds = list(zip(cells.bounds[:-1].tolist(), cells.bounds[1:].tolist(), strict=True))
    floors = scale * np.array([floor_of(cells.size[start:stop]) for start, stop in bounds])
    errors, estimates = [], []
    for language, (start, stop) in enumerate(bounds):
        error = standard_error(
            a.centred[:, start:stop],
            b.centred[:, start:stop],
            a.means[:, language],
            b.means[:, language],
            floor=float(floors[language]),
        )
        errors.append(error)
        difference, p_value = float(differences[language]), float(p[language])
        if max(len(a.means), len(b.means)) > 1:
            p_value = max(p_value, t_p(difference, error))
        estimates.append(_estimate(difference, error, scale, p_value))
    only_a, only_b = discordant_rows(cells, a, b)
    discordant = _discordant_clusters(cells, a, b)
    languages = tuple(
        LanguageDifference(
            rows=int(cells.rows[language]),
            clusters=stop - start,
            only_a=float(only_a[language]),
            only_b=float(only_b[language]),
            discordant=int(discordant[language]),
            estimate=estimates[language],
        )
        for language, (start, stop) in enumerate(bounds)
    )
    constant = np.array([error.is_floor for error in errors])
    equal = np.full(len(languages), 1 / len(languages))
    precision = np.array([error.se for error in errors]) ** -2.0
    mean, weighted = (
        _over_languages(cells, a, b, weights, floors, constant, scale)
        for weights in (equal, precision / precision.sum())
    )
    return PairedDifferences(languages, mean, weighted)


def _over_languages(
    cells: Cells, a: RunValues, b: RunValues, weights: Floats, floors: Floats, constant: NDArray[np.bool_], scale: float
) -> Difference:
    """Return the difference of a weighted mean over languages.

    Args:
        cells: the rows.
        a: the values of A.
        b: the values of B.
        weights: weight of each language ``[L]``; they sum to 1.
        floors: the SE that each language gets if it has no variance ``[L]``.
        constant: whether a language has no variance ``[L]``; its SE is then added, as if it were independent.
        scale: the largest possible difference.
    """
    # The influence of a cluster is the sum over its cells, weighted by language.
    of_cell = weights[cells.language]

    def influence(run: RunValues) -> Floats:
        seeds = [np.bincount(cells.cluster, of_cell * seed, minlength=cells.clusters) for seed in run.centred]
        return np.stack(seeds).astype(np.float64)

    means = a.means @ weights, b.means @ weights
    floor = float(np.linalg.norm(weights * floors))
    error = standard_error(influence(a), influence(b), means[0], means[1], floor)
    if not error.is_floor:
        unknown = float(np.linalg.norm((weights * floors)[constant]))
        error = StandardError(math.hypot(error.se, unknown), error.df, is_floor=False)
    difference = float(means[0].mean() - means[1].mean())
    return _estimate(difference, error, scale, t_p(difference, error))


@dataclass(frozen=True)
class StandardError:
    """A standard error and the degrees of freedom of its t distribution."""

    se: float
    df: float
    is_floor: bool
    """Whether the data has no variance, so that the error is an assumption."""


def standard_error(a: Floats, b: Floats, means_a: Floats, means_b: Floats, floor: float) -> StandardError:
    """Return the standard error of a difference over clusters and, if a run has several, over training seeds.

    Args:
        a: influence of each cluster on the mean of A for each seed, ``[S, G]``; each row sums to 0.
        b: the same of B, ``[T, G]``.
        means_a: the mean of A for each seed ``[S]``.
        means_b: the mean of B for each seed ``[T]``.
        floor: the standard error over clusters if the data has none.
    """
    clusters = a.shape[1]
    influence = a.mean(0) - b.mean(0)
    constant = clusters < 2 or float(np.abs(influence).max()) < _NEGLIGIBLE * (abs(floor) or 1)
    factor = clusters / max(clusters - 1, 1)
    of_clusters = floor**2 if constant else factor * float((influence**2).sum())
    of_seeds, of_cells, smallest = 0.0, 0.0, max(clusters - 1, 1)
    uncertainty = of_clusters**2 / max(clusters - 1, 1)
    for each, means in ((a, means_a), (b, means_b)):
        seeds = len(means)
        if seeds < 2:
            continue
        variance = float(means.var(ddof=1)) / seeds
        of_seeds += variance
        of_cells += factor * float(((each - each.mean(0)) ** 2).sum()) / (seeds * (seeds - 1))
        if variance > 0:
            uncertainty += variance**2 / (seeds - 1)
            smallest = min(smallest, seeds - 1)
    total = max(of_clusters + of_seeds - of_cells, of_clusters, of_seeds)
    df = total**2 / uncertainty if of_seeds and uncertainty else float(max(clusters - 1, 1))
    return StandardError(math.sqrt(total), max(df, float(smallest)), is_floor=constant)


def _estimate(difference: float, error: StandardError, scale: float, p: float) -> Difference:
    half = t_quantile(error.df) * error.se
    low, high = difference - half, difference + half
    if error.is_floor:
        low, high = max(low, -scale), min(high, scale)
    return Difference(difference, error.se, low, high, p, error.df)


def floor_of(sizes: Floats) -> float:
    """Return the SE of a mean without any variance: of two further clusters of usual size that disagree.

    sqrt(2 * mean of m^2) / n for clusters of the sizes m; the interval is about that of the rule of three, 3 / G.
    """
    return math.sqrt(2 * float((sizes**2).mean())) / float(sizes.sum())


def t_quantile(df: float) -> float:
    """Return the half width of a 95 % interval in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + CONFIDENCE) / 2))


def t_p(difference: float, error: StandardError) -> float:
    """Return the two-sided p of a t-test."""
    from scipy.special import stdtr

    if difference == 0:
        return 1.0
    return max(float(2 * stdtr(error.df, -abs(difference) / error.se)), float(np.finfo(np.float64).tiny))


def discordant_rows(cells: Cells, a: RunValues, b: RunValues) -> tuple[Floats, Floats]:
    """Return the number of rows of each language that only A and that only B got right."""
    mean_a, mean_b = a.values.mean(0, dtype=np.float64), b.values.mean(0, dtype=np.float64)
    language = cells.language[cells.of_row]
    if a.binary and b.binary:
        only = mean_a * (1 - mean_b), mean_b * (1 - mean_a)
    else:
        only = (mean_a > mean_b).astype(np.float64), (mean_b > mean_a).astype(np.float64)
    only_a, only_b = (np.bincount(language, each, minlength=len(cells.rows)).astype(np.float64) for each in only)
    return only_a, only_b


def _discordant_clusters(cells: Cells, a: RunValues, b: RunValues) -> NDArray[np.int64]:
    differ = np.abs(a.sums.mean(0) - b.sums.mean(0)) > _NEGLIGIBLE * cells.size
    return np.add.reduceat(differ.astype(np.int64), cells.bounds[:-1])
