"""Paired differences against statsmodels, SciPy, and the formulas of their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmeval.comparison.equivalence import equivalence_p
from mmeval.comparison.flips import exact_p, random_p, smallest_p
from mmeval.comparison.paired import PairedDifferences, paired_differences

Ints = NDArray[np.int64]


def sample(seed: int, rows: int = 400, languages: int = 3, clusters: int = 120) -> tuple[Ints, Ints, Ints, Ints]:
    """Return hits of two runs, languages and clusters; clusters span languages."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, clusters, rows)
    language = rng.integers(0, languages, rows)
    difficulty = rng.normal(size=clusters)[cluster]
    a, b = ((difficulty + rng.normal(size=rows) > shift).astype(int) for shift in (-0.6, -0.3))
    return a, b, language, cluster


def clustered_ols(d: Ints, cluster: Ints) -> tuple[float, float, float]:
    """Return SE and interval of a mean by statsmodels."""
    sm = pytest.importorskip("statsmodels.api")
    groups = np.unique(cluster, return_inverse=True)[1]
    # statsmodels' factor is G / (G - 1) * (n - 1) / (n - k); k = 1 leaves G / (G - 1).
    fit = sm.OLS(d, np.ones(len(d))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    low, high = fit.conf_int()[0]
    return float(fit.bse[0]), float(low), float(high)


def test_se_and_interval_of_a_language_equal_those_of_statsmodels() -> None:
    a, b, language, cluster = sample(1)
    result = paired_differences(a, b, language, cluster)
    for code, each in enumerate(result.languages):
        rows = language == code
        se, low, high = clustered_ols((a - b)[rows], cluster[rows])
        estimate = each.estimate
        assert estimate.difference == pytest.approx((a - b)[rows].mean(), abs=1e-12)
        assert (estimate.se, estimate.low, estimate.high) == pytest.approx((se, low, high), abs=1e-9)
        assert (each.rows, each.clusters) == (rows.sum(), len(set(cluster[rows])))
        assert (each.only_a, each.only_b) == (((a > b) & rows).sum(), ((b > a) & rows).sum())


def test_p_with_one_row_per_cluster_is_the_exact_test_of_mcnemar() -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    a, b, _, _ = sample(2)
    result = paired_differences(a, b, np.zeros(len(a), int), np.arange(len(a)))
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    oracle = contingency.mcnemar([[0, only_a], [only_b, 0]], exact=True)
    assert result.languages[0].estimate.p == pytest.approx(oracle.pvalue, abs=1e-9)


def test_p_of_clusters_counts_every_pattern_of_signs() -> None:
    rng = np.random.default_rng(3)
    sums = rng.integers(-3, 5, 12)
    patterns = np.array(list(itertools.product((-1, 1), repeat=12)))
    expected = np.mean(np.abs(patterns @ np.abs(sums)) >= abs(sums.sum()))
    assert exact_p(sums) == pytest.approx(expected, abs=1e-12)
    assert random_p(sums[None].astype(float))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(6, 6), (300, 290), (3000, 1400), (20_000, 10_200), (20_000, 12_500)])
def test_p_keeps_its_precision_for_small_probabilities_and_many_clusters(n: int, k: int) -> None:
    sums = np.repeat([1, -1], [k, n - k])
    expected = scipy.stats.binomtest(k, n).pvalue
    assert exact_p(sums) == pytest.approx(expected, rel=1e-8, abs=1e-50)


def test_random_signs_come_near_the_exact_p() -> None:
    sums = np.random.default_rng(4).integers(-4, 5, 300)
    assert random_p(sums[None] * 0.1)[0] == pytest.approx(exact_p(sums), abs=0.02)


def test_a_test_gets_the_same_random_signs_whatever_is_tested_beside_it() -> None:
    rng = np.random.default_rng(5)
    short, long = np.r_[rng.normal(0.2, 1, 40), np.zeros(60)], rng.normal(size=100)
    assert random_p(np.stack([short, long]))[0] == random_p(short[None])[0]


def test_the_mean_over_languages_uses_the_influence_of_clusters() -> None:
    a, b, language, cluster = sample(6)
    mean = paired_differences(a, b, language, cluster).mean
    d = (a - b).astype(float)
    means = np.array([d[language == code].mean() for code in range(3)])
    sizes = np.bincount(language)
    influence = np.bincount(cluster, (d - means[language]) / sizes[language] / 3)
    used = np.unique(cluster)
    g = len(used)
    se = np.sqrt(g / (g - 1) * (influence[used] ** 2).sum())
    t = scipy.stats.t(g - 1)
    assert (mean.difference, mean.se) == pytest.approx((means.mean(), se), abs=1e-12)
    assert (mean.low, mean.high) == pytest.approx(
        (means.mean() - t.ppf(0.975) * se, means.mean() + t.ppf(0.975) * se), abs=1e-9
    )
    assert mean.p == pytest.approx(2 * t.sf(abs(means.mean() / se)), abs=1e-9)


def test_the_weighted_mean_gives_small_languages_little_weight() -> None:
    a, b, language, cluster = sample(7)
    language[language == 2] = 0
    language[:9] = 2
    result = paired_differences(a, b, language, cluster)
    precision = np.array([each.estimate.se**-2 for each in result.languages])
    differences = np.array([each.estimate.difference for each in result.languages])
    expected = (precision * differences).sum() / precision.sum()
    assert result.weighted_mean.difference == pytest.approx(expected, abs=1e-12)
    assert result.weighted_mean.se < result.mean.se


def test_seeds_add_their_variance() -> None:
    """Two runs whose seeds differ by much: clusters alone would make the difference certain."""
    rng = np.random.default_rng(8)
    accuracies = np.array([[0.9, 0.6, 0.75], [0.7, 0.4, 0.55]])
    a, b = ((rng.random((3, 2000)) < each[:, None]).astype(float) for each in accuracies)
    rows, zero = np.arange(2000), np.zeros(2000, int)
    several = paired_differences(a, b, zero, rows).languages[0]
    d = a.mean(0) - b.mean(0)
    of_clusters = 2000 / 1999 * ((d - d.mean()) ** 2).sum() / 2000**2
    of_seeds = a.mean(1).var(ddof=1) / 3 + b.mean(1).var(ddof=1) / 3
    of_cells = sum(
        2000 / 1999 * (((x - x.mean(1)[:, None]) - (x - x.mean(1)[:, None]).mean(0)) ** 2).sum() / 2000**2 / 3 / 2
        for x in (a, b)
    )
    estimate = several.estimate
    assert estimate.difference == pytest.approx(d.mean(), abs=1e-12)
    assert estimate.se**2 == pytest.approx(max(of_clusters + of_seeds - of_cells, of_clusters, of_seeds), abs=1e-12)
    assert estimate.df < 5
    assert estimate.p > 0.05
    assert several.only_a - several.only_b == pytest.approx(2000 * d.mean(), abs=1e-6)
    one = paired_differences(a[0], b[0], zero, rows).languages[0].estimate
    assert one.p < 1e-9


def test_runs_may_have_different_numbers_of_seeds() -> None:
    a, b, language, cluster = sample(9)
    many = np.stack([b, 1 - b, b])
    result = paired_differences(np.stack([a, a]), many, language, cluster)
    assert result.mean.difference == pytest.approx(
        np.mean([(a - many.mean(0))[language == code].mean() for code in range(3)]), abs=1e-12
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
@pytest.mark.parametrize("value", [0, 1])
def test_an_interval_is_never_of_width_zero(rows: int, value: int) -> None:
    a, b = np.ones(rows, int), np.full(rows, 1 - value)
    result = paired_differences(a, b, np.zeros(rows, int), np.arange(rows))
    for estimate in (result.languages[0].estimate, result.mean, result.weighted_mean):
        assert estimate.difference == value
        assert -1 <= estimate.low <= value <= estimate.high <= 1
        assert estimate.low < estimate.high
        assert estimate.se > 0


def test_one_cluster_shows_nothing() -> None:
    result = paired_differences([1, 1, 1], [0, 0, 0], [0, 0, 0], [7, 7, 7])
    estimate = result.languages[0].estimate
    assert (estimate.p, estimate.low, estimate.high) == (1, -1, 1)


def test_a_tiny_language_without_variance_widens_the_mean() -> None:
    a, b, language, cluster = sample(10)
    alone = paired_differences(a, b, language, cluster).mean
    more = (np.r_[a, [1, 1]], np.r_[b, [1, 1]], np.r_[language, [3, 3]], np.r_[cluster, [500, 501]])
    result = paired_differences(*more)
    assert result.mean.se > 0.15 > alone.se
    assert result.weighted_mean.se < alone.se * 1.1


def test_cancelling_languages_leave_a_mean_with_a_width() -> None:
    result = paired_differences([1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1])
    assert result.mean.difference == 0
    assert result.mean.low < 0 < result.mean.high


def test_fewer_than_six_discordant_clusters_cannot_be_significant() -> None:
    assert smallest_p(5) > 0.05 > smallest_p(6)
    assert smallest_p(9) * 13 > 0.05 > smallest_p(10) * 13
    assert smallest_p(6) == exact_p(np.ones(6, int))


def numbers(result: PairedDifferences) -> NDArray[np.float64]:
    estimates = [*(each.estimate for each in result.languages), result.mean, result.weighted_mean]
    return np.array([[e.difference, e.se, e.low, e.high, e.p, e.df] for e in estimates])


@st.composite
def runs(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], Ints, Ints]:
    rows = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    if draw(st.booleans()):
        a, b = (rng.integers(0, 2, (draw(st.integers(1, 3)), rows)).astype(float) for _ in range(2))
    else:
        a, b = (rng.normal(size=(draw(st.integers(1, 2)), rows)).round(2) for _ in range(2))
    language = np.unique(rng.integers(0, draw(st.integers(1, 4)), rows), return_inverse=True)[1]
    return a, b, language, rng.integers(0, draw(st.integers(1, 40)), rows)


@settings(max_examples=40, deadline=None)
@given(runs())
def test_swapping_the_runs_negates_the_difference(data: tuple[NDArray[np.float64], ...]) -> None:
    a, b, language, cluster = data
    there, back = paired_differences(a, b, language, cluster), paired_differences(b, a, language, cluster)
    negated = numbers(back)
    negated[:, [0, 2, 3]] *= -1
    np.testing.assert_allclose(numbers(there), negated[:, [0, 1, 3, 2, 4, 5]], atol=1e-9)
    for one, other in zip(there.languages, back.languages, strict=True):
        assert (one.only_a, one.only_b) == pytest.approx((other.only_b, other.only_a))


@settings(max_examples=40, deadline=None)
@given(runs(), st.integers(0, 1000))
def test_row_order_and_cluster_names_do_not_matter(data: tuple[NDArray[np.float64], ...], seed: int) -> None:
    a, b, language, cluster = data
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(len(language)), rng.permutation(1000)
    changed = paired_differences(a[:, order], b[:, order], language[order], names[cluster][order])
    np.testing.assert_allclose(numbers(changed), numbers(paired_differences(a, b, language, cluster)), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(runs())
def test_a_run_does_not_differ_from_itself(data: tuple[NDArray[np.float64], ...]) -> None:
    a, _, language, cluster = data
    result = numbers(paired_differences(a, a, language, cluster))
    assert (result[:, 0] == 0).all()
    assert (result[:, 4] == 1).all()
    assert (result[:, 2] < 0).all()
    assert (result[:, 3] > 0).all()


@settings(max_examples=40, deadline=None)
@given(runs())
def test_an_interval_contains_its_value_and_has_a_width(data: tuple[NDArray[np.float64], ...]) -> None:
    result = numbers(paired_differences(*data))
    assert np.isfinite(result).all()
    assert (result[:, 2] <= result[:, 0]).all()
    assert (result[:, 0] <= result[:, 3]).all()
    assert (result[:, 2] < result[:, 3]).all()
    assert ((result[:, 4] > 0) & (result[:, 4] <= 1)).all()


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    a, b, language, cluster = sample(11)
    mean = paired_differences(a, b, language, cluster).mean
    below = scipy.stats.t(mean.df).cdf((mean.difference - 0.1) / mean.se)
    above = scipy.stats.t(mean.df).sf((mean.difference + 0.1) / mean.se)
    assert equivalence_p(mean, 0.1) == pytest.approx(max(below, above), abs=1e-12)
    assert equivalence_p(mean, 1.0) < 1e-9
    assert equivalence_p(mean.negated, 0.1) == pytest.approx(equivalence_p(mean, 0.1), abs=1e-12)


@pytest.mark.parametrize(("clusters", "rows"), [(100, 1), (60, 5), (30, 14)])
def test_false_positives_stay_below_five_percent(clusters: int, rows: int) -> None:
    rng = np.random.default_rng(clusters)
    cluster = np.repeat(np.arange(clusters), rows)
    zero = np.zeros(clusters * rows, int)
    rejected, covered, repetitions = 0, 0, 1500
    for _ in range(repetitions):
        difficulty = rng.normal(size=clusters)[cluster]
        # Two equally good models that disagree on whole clusters.
        a, b = (
            (difficulty + rng.normal(size=clusters)[cluster] + 0.5 * rng.normal(size=len(cluster)) > -0.5).astype(int)
            for _ in range(2)
        )
        estimate = paired_differences(a, b, zero, cluster).languages[0].estimate
        rejected += estimate.p < 0.05
        covered += estimate.low <= 0 <= estimate.high
    noise = 2 * np.sqrt(0.05 * 0.95 / repetitions)
    assert rejected / repetitions <= 0.05 + noise
    assert abs(covered / repetitions - 0.95) <= noise + 0.01


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=10))
def test_convolution_equals_enumeration(sums: list[int]) -> None:
    patterns = np.array(list(itertools.product((-1, 1), repeat=len(sums))))
    expected = np.mean(np.abs(patterns @ np.abs(sums)) >= abs(sum(sums)))
    assert exact_p(np.array(sums)) == pytest.approx(expected, abs=1e-12)
    assert random_p(np.array([sums], float))[0] == pytest.approx(expected, abs=1e-12)
