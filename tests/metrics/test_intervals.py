"""Intervals of proportions, means and bootstrapped scores: they match references, and never have width zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import beta, t
from statsmodels.stats.proportion import proportion_confint

from mmeval.metrics.counts import Counts, macro_f1
from mmeval.metrics.intervals import (
    METHODS,
    basic,
    class_list,
    enough_rows,
    exact,
    mean,
    means,
    proportion,
    proportions,
    widening,
    wilson,
)
from mmeval.metrics.moments import Layout
from mmeval.metrics.row import Interval

FEW = settings(max_examples=60, deadline=None)


@st.composite
def seeded_rows(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return hits of up to three seeds ``[S, n]`` and clusters ``[n]``."""
    n = draw(st.integers(1, 40))
    seeds = draw(st.integers(1, 3))
    hits = draw(arrays(np.float64, (seeds, n), elements=st.sampled_from([0.0, 1.0])))
    return hits, draw(arrays(np.int64, n, elements=st.integers(0, 25)))


def test_without_shared_clusters_it_is_the_wilson_interval() -> None:
    hits = np.arange(200) < 143
    interval = proportion(hits, np.arange(200))
    assert interval[:2] == pytest.approx(proportion_confint(143, 200, method="wilson"), abs=1e-9)
    assert interval.method == "wilson"
    assert interval.reliable


def test_design_effect_is_that_of_the_clustered_variance() -> None:
    """statsmodels' clustered variance over that of independent rows; the t quantile of G - 1 degrees of freedom."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 5)
    hits = (rng.random(200) < rng.beta(3, 1, 40)[clusters]).astype(float)
    fit = sm.OLS(hits, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
    p, variance = hits.mean(), float(fit.cov_params()[0, 0]) * 40 / 39
    size = 200 / (variance / (p * (1 - p) / 199))
    z = t.ppf(0.975, 39)
    centre = (p + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * math.sqrt(p * (1 - p) / size + z**2 / (4 * size**2))
    assert proportion(hits, clusters)[:2] == pytest.approx((centre - half, centre + half), abs=1e-9)


@pytest.mark.parametrize("hit", [0, 1])
def test_rows_that_are_all_alike_have_the_wilson_interval_of_kish_size(hit: int) -> None:
    clusters = np.array([0, 0, 0, 1, 1, 2])
    size = 6**2 / (3**2 + 2**2 + 1)
    low, high = proportion_confint(hit * size, size, method="wilson")
    interval = proportion(np.full(6, hit), clusters)
    assert interval[:2] == pytest.approx((low, high), abs=1e-9)
    assert interval.method == "wilson-kish"
    assert not interval.reliable


def test_three_rows_that_are_all_right_do_not_have_width_zero() -> None:
    interval = proportion([1, 1, 1], [0, 1, 2])
    assert interval.low == pytest.approx(0.4385, abs=1e-4)
    assert interval.high == 1


def test_a_single_cluster_counts_as_one_row() -> None:
    interval = proportion(np.ones(100), np.zeros(100, int))
    assert interval[:2] == pytest.approx(proportion_confint(1, 1, method="wilson"), abs=1e-9)
    assert not interval.reliable


def test_few_rows_few_clusters_and_two_seeds_are_not_reliable() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random((3, 30)) < 0.7
    assert proportion(hits, np.arange(30)).reliable
    assert not proportion(hits[:, :29], np.arange(29)).reliable
    assert not proportion(hits, np.arange(30) % 9).reliable
    assert not proportion(hits[:2], np.arange(30)).reliable


def test_identical_seeds_have_the_interval_of_one() -> None:
    hits = np.arange(100) % 3 > 0
    clusters = np.arange(100) // 2
    one, three = proportion(hits, clusters), proportion([hits] * 3, clusters)
    assert three[:2] == pytest.approx(one[:2], abs=1e-12)


def test_variance_between_seeds_widens_the_interval() -> None:
    """Three seeds with .550, .700 and .885: their spread, not the choice of test rows, rules the interval."""
    hits = np.arange(2000) < np.array([[1100], [1400], [1770]])
    hits = np.random.default_rng(0).permuted(hits, axis=1)
    interval = proportion(hits, np.arange(2000))
    one = proportion(hits[1], np.arange(2000))
    assert interval.high - interval.low > 10 * (one.high - one.low)
    assert interval.method == "wilson-seeds"


def test_mean_over_seeds_has_the_two_way_variance() -> None:
    """Analysis of variance of clusters and seeds, in a design in which each part is in sight."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(1, 50)) + rng.normal(size=(4, 1)) * 0.3 + rng.normal(size=(4, 50)) * 0.2
    total = values.mean()
    cluster = ((values.mean(0) - total) ** 2).sum() / 49 / 50
    seed = ((values.mean(1) - total) ** 2).sum() / 3 / 4
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + total
    cell = (rest**2).sum() / (3 * 49) / (4 * 50)
    variance = max(cluster + seed - cell, cluster, seed)
    share = (variance - cluster) / variance
    quantile = math.sqrt(share * t.ppf(0.975, 3) ** 2 + (1 - share) * t.ppf(0.975, 49) ** 2)
    interval = mean(values, np.arange(50))
    expected = (total - quantile * math.sqrt(variance), total + quantile * math.sqrt(variance))
    assert interval[:2] == pytest.approx(expected, abs=1e-9)
    assert interval.method == "clustered-t-seeds"


def test_mean_has_the_clustered_t_interval_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    clusters = rng.integers(30, size=120)
    values = rng.exponential(size=120) + rng.normal(size=30)[clusters]
    count = len(np.unique(clusters))
    fit = sm.OLS(values, np.ones(120)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "df_correction": True}, use_t=True
    )
    # statsmodels multiplies by (n - 1) / (n - 1) * G / (G - 1) for one regressor.
    assert mean(values, clusters)[:2] == pytest.approx(fit.conf_int()[0], abs=1e-9)
    assert fit.df_resid_inference == count - 1


def test_values_that_are_all_alike_get_a_floor_and_are_marked() -> None:
    interval = mean([0.1] * 50, np.arange(50))
    half = t.ppf(0.975, 49) / 51
    assert interval[:2] == pytest.approx((0.1 - half, 0.1 + half), abs=1e-9)
    assert interval[2:] == ("clustered-t-floor", False)


def test_exact_interval_is_that_of_clopper_and_pearson() -> None:
    low, high = exact(0.9, 50, float(t.ppf(0.995, np.inf)), 0.005)
    assert (float(low), float(high)) == pytest.approx(proportion_confint(45, 50, alpha=0.01, method="beta"), abs=1e-9)
    assert float(exact(1.0, 50, 2.0, 0.025)[1]) == 1
    assert float(exact(0.0, 50, t.ppf(0.975, np.inf), 0.025)[1]) == pytest.approx(beta.ppf(0.975, 1, 50))


@FEW
@given(seeded_rows())
def test_interval_of_a_proportion_contains_its_value_inside_the_unit_interval(
    rows: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    hits, clusters = rows
    interval = proportion(hits, clusters)
    assert 0 <= interval.low <= hits.mean() + 1e-12
    assert hits.mean() - 1e-12 <= interval.high <= 1
    assert interval.high - interval.low > 1e-3
    assert interval.method in METHODS


@FEW
@given(seeded_rows(), st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_clusters_do_not_matter(
    rows: tuple[NDArray[np.float64], NDArray[np.int64]], random: st.DataObject
) -> None:
    hits, clusters = rows
    order = np.random.default_rng(random.randrange(100)).permutation(len(clusters))  # type: ignore[attr-defined]
    renamed = 1000 - 7 * clusters[order]
    for function in (proportion, mean):
        first, second = function(hits, clusters), function(hits[:, order], renamed)
        assert second[:2] == pytest.approx(first[:2], abs=1e-9)
        assert second[2:] == first[2:]


@FEW
@given(arrays(np.float64, 12, elements=st.floats(-1e6, 1e6)), arrays(np.int64, 12, elements=st.integers(0, 11)))
def test_interval_of_a_mean_contains_it_and_has_positive_width(
    values: NDArray[np.float64], clusters: NDArray[np.int64]
) -> None:
    interval = mean(values, clusters)
    assert interval.low < interval.high
    assert interval.low <= values.mean() <= interval.high


def test_languages_together_have_the_intervals_of_each() -> None:
    rng = np.random.default_rng(3)
    languages, clusters, hits = rng.integers(4, size=300), rng.integers(60, size=300), rng.random((3, 300)) < 0.8
    layout = Layout(languages, clusters, 5)
    for function, single in ((proportions, proportion), (means, mean)):
        together = function(hits, layout)
        assert together[4] == Interval() or math.isnan(together[4].low)
        for language in range(4):
            rows = languages == language
            alone = single(hits[:, rows], clusters[rows])
            assert together[language][:2] == pytest.approx(alone[:2], abs=1e-12)
            assert together[language][2:] == alone[2:]


def test_no_rows_have_no_interval() -> None:
    assert proportion([], []).method == "none"
    assert mean([], []).method == "none"


# Bootstrapped scores


def macro_f1_of(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return macro-F1 of samples of five classes, ``[samples, n]`` to ``[samples]``."""

    def count(labels: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.stack([(labels == klass).sum(1) for klass in range(5)], 1).astype(float)

    hits = count(np.where(true == predicted, true, -1))
    return np.asarray(macro_f1(Counts(hits, count(true), count(predicted))), np.float64)


def bootstrapped_f1(n: int, resamples: int) -> tuple[float, NDArray[np.float64]]:
    """Return macro-F1 of independent rows and of their resamples."""
    rng = np.random.default_rng(0)
    true = rng.integers(5, size=n)
    predicted = np.where(rng.random(n) < 0.7, true, rng.integers(5, size=n))
    draws = rng.integers(n, size=(resamples, n))
    return float(macro_f1_of(true[None], predicted[None])[0]), macro_f1_of(true[draws], predicted[draws])


def test_basic_interval_agrees_with_takahashis_analytic_one() -> None:
    """Golden numbers of ``confidenceinterval.f1_score(..., average="macro", method="takahashi")`` 1.0.5."""
    value, samples = bootstrapped_f1(400, 2000)
    assert value == pytest.approx(0.7539548000330011, abs=1e-8)
    interval = basic(value, samples, 400)
    assert interval[:2] == pytest.approx((0.7036506297073112, 0.804258970358691), abs=0.012)
    assert interval.reliable


def test_the_mean_of_the_resamples_is_reflected_at_the_value_without_bounds() -> None:
    samples = np.random.default_rng(0).normal(82, 3, 2000)
    interval = basic(80.0, samples, 10**9, low=-math.inf, high=math.inf)
    centre, half = 160 - samples.mean(), 1.959964 * samples.std()
    assert interval[:2] == pytest.approx((centre - half, centre + half), rel=1e-6)


def test_a_score_that_resampling_lowers_is_corrected_upwards() -> None:
    samples = np.random.default_rng(0).normal(0.65, 0.02, 1000)
    low, high = basic(0.7, samples, 500)[:2]
    assert high - 0.7 > 2 * (0.7 - low)


def test_a_score_above_its_own_samples_stays_in_its_interval() -> None:
    interval = basic(0.99, np.random.default_rng(0).uniform(0.5, 0.6, 1000), 500)
    assert interval.low <= 0.99 < interval.high <= 1


def test_resamples_that_are_all_alike_get_a_floor_and_are_marked() -> None:
    interval = basic(1.0, np.ones(1000), 3)
    assert interval.low < 0.6
    assert interval.high == 1
    assert interval.method == "basic-bootstrap-floor"
    assert not interval.reliable


@pytest.mark.parametrize("missing", [1.0, 0.2])
def test_missing_resamples_are_marked_not_dropped_in_silence(missing: float) -> None:
    samples = np.random.default_rng(0).normal(0.7, 0.02, 1000)
    samples[: round(1000 * missing)] = np.nan
    interval = basic(0.7, samples, 100)
    assert not interval.reliable
    assert interval.low < 0.7 < interval.high


def test_few_resamples_and_few_clusters_are_marked() -> None:
    samples = np.random.default_rng(0).normal(0.7, 0.02, 1000)
    assert basic(0.7, samples, 100).reliable
    assert not basic(0.7, samples[:100], 100).reliable
    assert not basic(0.7, samples, 20).reliable
    assert not basic(0.7, samples, 100, enough=False).reliable


def test_a_score_that_does_not_exist_has_no_interval() -> None:
    assert basic(math.nan, np.full(1000, np.nan), 100).method == "none"


def test_seeds_are_drawn_with_the_clusters() -> None:
    """The variance is that over clusters plus that of the mean of the seeds, corrected by S / (S - 1)."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1.0, 20_000)
    values = np.array([50.0, 53.0, 56.0])
    interval = basic(values, values[:, None] + shared, 10**9, low=-math.inf, high=math.inf)
    share = 3.0 / (3.0 + 1.0)  # variance 9 between three seeds, over 3
    quantile = math.sqrt(share * t.ppf(0.975, 2) ** 2 + (1 - share) * t.ppf(0.975, np.inf) ** 2)
    assert interval.high - interval.low == pytest.approx(2 * quantile * 2.0, rel=0.1)
    assert interval.method == "basic-bootstrap-seeds"


def test_identical_seeds_do_not_narrow_a_bootstrap_interval() -> None:
    value, samples = bootstrapped_f1(200, 1000)
    one = basic(value, samples, 200)
    three = basic([value] * 3, np.stack([samples] * 3), 200)
    assert three[:2] == pytest.approx(one[:2], abs=1e-9)


@FEW
@given(st.floats(0, 1), arrays(np.float64, 250, elements=st.floats(0, 1) | st.just(math.nan)), st.integers(1, 1000))
def test_bootstrap_interval_contains_its_value_inside_the_bounds(
    value: float, samples: NDArray[np.float64], clusters: int
) -> None:
    interval = basic(value, samples, clusters)
    assert 0 <= interval.low <= value <= interval.high <= 1
    assert interval.low < interval.high


# Class lists


def test_class_list_has_the_classes_with_ten_rows_in_all_languages_together() -> None:
    assert class_list([[9, 5, 0, 10], [0, 5, 9, 10]]).tolist() == [False, True, False, True]


def test_few_clusters_per_class_widen_the_interval() -> None:
    """Of one class in ten clusters, resamples have 9/10 of the variance; the square root of this is corrected."""
    everything = np.ones(1, bool)
    assert widening([10], [10], [10], everything, 10) == pytest.approx((10 / 9) ** 0.25)
    assert widening([800, 8], [1000, 10], [1000, 10], [True, False], 505) == pytest.approx(1, abs=1e-3)
    assert widening([800, 8], [1000, 10], [1000, 10], [True, True], 505) > 1.03
    assert widening([0], [0], [0], everything, 0) == 1
    samples = np.random.default_rng(0).normal(0.7, 0.02, 1000)
    narrow, wide = basic(0.7, samples, 100), basic(0.7, samples, 100, widen=2.0)
    assert np.ptp(wide[:2]) == pytest.approx(2 * np.ptp(narrow[:2]), rel=0.01)


def test_98_classes_in_572_rows_are_too_few_for_an_interval() -> None:
    counts = np.bincount(np.arange(572) % 98, minlength=98)
    assert enough_rows(counts, counts > 0)  # 5 or 6 rows each
    zipf = np.round(572 / np.arange(1, 99) / (1 / np.arange(1, 99)).sum())
    assert not enough_rows(zipf, zipf > 0)
    assert not enough_rows(zipf, np.zeros(98, bool))


def test_wilson_contains_its_value_at_the_ends() -> None:
    low, high = wilson([0.0, 1.0], [7.3, 7.3], 1.96)
    assert low[0] == 0
    assert high[1] == 1
