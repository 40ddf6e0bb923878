"""Mean, worst language, gap and the test of equal languages: they match references, and keep to what can be known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import chi2, t
from statsmodels.stats.contingency_tables import cochrans_q

from mmeval.metrics import languages as module
from mmeval.metrics.languages import (
    TESTS,
    LanguageSummary,
    language_test,
    summarize_proportions,
    summarize_samples,
    summarize_values,
)
from mmeval.metrics.moments import Layout

FEW = settings(max_examples=40, deadline=None)


def complete(clusters: int, languages: int, accuracy: float, seed: int = 0) -> tuple[NDArray[np.float64], Layout]:
    """Return hits and layout of clusters that have every language once."""
    rng = np.random.default_rng(seed)
    difficulty = rng.beta(2 * accuracy, 2 * (1 - accuracy), clusters)
    hits = rng.random((clusters, languages)) < difficulty[:, None]
    rows = np.arange(clusters * languages)
    return hits.astype(float).ravel(), Layout(rows % languages, rows // languages, languages)


def summarize(hits: NDArray[np.float64], layout: Layout) -> LanguageSummary:
    return summarize_proportions(hits, layout.language, layout.cell_cluster[layout.cell], layout.count)


# The test of equal languages


def test_complete_clusters_have_cochrans_q() -> None:
    hits, layout = complete(400, 5, 0.7)
    reference = cochrans_q(hits.reshape(400, 5))
    p, name = language_test(hits, layout)
    assert name == "chi-square"
    assert p == pytest.approx(float(reference.pvalue), abs=1e-9)


def test_independent_rows_have_pearsons_chi_square() -> None:
    """Every row its own cluster: the statistic of the table of languages and hits, times (n - 1) / n."""
    rng = np.random.default_rng(1)
    languages = rng.integers(4, size=4000)
    hits = (rng.random(4000) < 0.68 + 0.02 * languages).astype(float)
    rows = np.bincount(languages)
    expected = rows * hits.mean()
    statistic = ((np.bincount(languages, hits) - expected) ** 2 / (expected * (1 - hits.mean()))).sum() * 3999 / 4000
    p, _ = language_test(hits, Layout(languages, np.arange(4000), 4))
    assert p == pytest.approx(chi2.sf(statistic, 3), rel=0.02)


def test_permutations_agree_with_chi_square(monkeypatch: pytest.MonkeyPatch) -> None:
    hits, layout = complete(60, 4, 0.7, seed=3)
    approximate, _ = _with_units(monkeypatch, 0, hits, layout)
    exact, name = _with_units(monkeypatch, 10_000, hits, layout)
    assert name == "permutation"
    assert exact == pytest.approx(approximate, abs=0.05)  # few distinct statistics


def _with_units(
    monkeypatch: pytest.MonkeyPatch, few: int, hits: NDArray[np.float64], layout: Layout
) -> tuple[float, str]:
    monkeypatch.setattr(module, "FEW_UNITS", few)
    return language_test(hits, layout)


def test_permuting_is_exact_for_two_rows_per_cluster() -> None:
    """Two languages, six discordant clusters, all in favour of one language: p of the sign test is 2 / 64."""
    hits = np.tile([1.0, 0.0], 6)
    p, name = language_test(hits, Layout(np.arange(12) % 2, np.arange(12) // 2, 2))
    assert name == "permutation"
    assert p == pytest.approx(2 / 64, abs=0.012)


def test_clusters_of_one_language_are_permuted_as_wholes() -> None:
    """Ten clusters of ten copies carry no more information than ten rows."""
    hits = np.repeat([1.0, 1, 1, 1, 0, 0, 0, 0, 0, 1], 10)
    languages, clusters = np.repeat([0] * 5 + [1] * 5, 10), np.repeat(np.arange(10), 10)
    copies = language_test(hits, Layout(languages, clusters, 2))[0]
    single = language_test(hits[::10], Layout(languages[::10], np.arange(10), 2))[0]
    assert copies == pytest.approx(single, abs=0.02)
    assert copies > 0.05
    assert language_test(hits, Layout(languages, np.arange(100), 2))[0] < 0.001


def test_hits_that_are_all_alike_tell_no_languages_apart() -> None:
    assert language_test(np.ones(20), Layout(np.arange(20) % 2, np.arange(20) // 2, 2))[0] == 1


def test_equal_languages_are_rejected_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirteen equal languages from 3 to 200 rows, accuracy .97: a single error in three rows proves nothing."""
    monkeypatch.setattr(module, "FEW_UNITS", 0)
    rng = np.random.default_rng(0)
    sizes = [3, 3, 5, 5, 8, 10, 20, 30, 50, 50, 100, 100, 200]
    language = np.repeat(np.arange(13), sizes)
    rejected = 0
    for _ in range(400):
        clusters = rng.integers(150, size=len(language))
        hits = rng.random(len(language)) < rng.beta(9.7, 0.3, 150)[clusters]
        rejected += language_test(hits.astype(float), Layout(language, clusters, 13))[0] < 0.05
    assert rejected / 400 < 0.08  # 5 % with a binomial error of 1.1 %


# Summaries of proportions


def test_mean_has_the_clustered_standard_error_of_influences() -> None:
    """sqrt(G / (G - 1) * sum over clusters of (sum over languages of (1 / L) sum of (x - mean) / n)^2)."""
    hits, layout = complete(200, 3, 0.7)
    matrix = hits.reshape(200, 3)
    influence = ((matrix - matrix.mean(0)) / 200).mean(1)
    error = math.sqrt(200 / 199 * (influence**2).sum())
    summary = summarize(hits, layout)
    half = t.ppf(0.975, 199) * error
    assert summary.mean.value == pytest.approx(matrix.mean(), abs=1e-12)
    # The pseudo-count floor adds to the variances of languages by less than 1 %.
    assert summary.mean.interval.high - summary.mean.value == pytest.approx(half, rel=0.01)


def test_equal_languages_of_emojis_have_no_gap_that_can_be_relied_on() -> None:
    """Complete clusters as emoji14's: the gap is that of chance, its interval begins at 0."""
    hits, layout = complete(150, 14, 0.8)
    summary = summarize(hits, layout)
    assert summary.gap.value > 0.01
    assert summary.gap.interval.low == 0
    assert summary.p > 0.05


def test_large_differences_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    language, clusters = np.tile(np.arange(3), 300), np.repeat(np.arange(300), 3)
    hits = rng.random(900) < np.array([0.9, 0.85, 0.5])[language]
    summary = summarize_proportions(hits, language, clusters, 3)
    assert summary.worst_languages == (2,)
    assert summary.p < 0.001
    assert summary.gap.interval.low > 0.2
    assert summary.worst.interval.high < 0.7


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_languages_that_agree_in_every_cluster_have_a_gap_with_a_positive_width(seeds: int) -> None:
    """A model of images alone predicts the same for every language of an item."""
    items = (np.random.default_rng(0).random((seeds, 200)) < 0.75).astype(float)
    hits, layout = np.repeat(items, 4, axis=1), complete(200, 4, 0.75)[1]
    clusters = layout.cell_cluster[layout.cell]
    for gap in (
        summarize_proportions(hits, layout.language, clusters, 4).gap,
        summarize_values(hits * 3 - 1, layout.language, clusters, 4).gap,
    ):
        assert gap.value == gap.interval.low == 0
        assert 0.005 < gap.interval.high < 0.05


def test_differences_without_any_variance_are_told_apart() -> None:
    """The influences of both languages are the same in every cluster, to the last bit."""
    hits = np.repeat([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0]], 5, axis=0).ravel()
    layout = Layout(np.tile([0, 1], 20), np.repeat(np.arange(20), 2), 2)
    summary = summarize_values(np.stack([hits, hits]), layout.language, layout.cell_cluster, 2, layout=layout)
    assert summary.gap.value == 1
    assert summary.p < 0.001


def test_three_rows_that_are_all_right_do_not_make_a_certain_gap() -> None:
    """Languages of three rows, one all right and one all wrong: no gap of 1 with an interval of width zero."""
    summary = summarize_proportions([1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], np.arange(6), 2)
    assert summary.gap.value == 1
    assert summary.gap.interval.low == 0
    assert summary.p > 0.05


def test_all_tied_languages_are_named() -> None:
    summary = summarize_proportions([1, 0, 1, 0, 1, 1], [0, 0, 1, 1, 2, 2], np.arange(6), 3)
    assert summary.worst_languages == (0, 1)
    assert summary.best_languages == (2,)


def test_equal_scores_have_a_gap_of_zero_with_positive_width() -> None:
    summary = summarize_proportions(np.tile([1, 0], 20), np.repeat([0, 1], 20), np.arange(40), 2)
    assert summary.gap.value == 0
    assert summary.gap.interval.low == 0
    assert summary.gap.interval.high > 0.1
    assert summary.worst_languages == summary.best_languages == (0, 1)


def test_languages_without_rows_are_left_out_and_named() -> None:
    hits, layout = complete(50, 2, 0.7)
    summary = summarize_proportions(hits, layout.language * 2, layout.cell_cluster[layout.cell], 5)
    assert summary.omitted == (1, 3, 4)
    assert summary.mean == summarize(hits, layout).mean
    assert summary.weights[[1, 3, 4]].tolist() == [0, 0, 0]
    assert set(summary.worst_languages) <= {0, 2}


def test_one_language_has_a_mean_only() -> None:
    summary = summarize_proportions([1, 0, 1], [0, 0, 0], [0, 1, 2], 1)
    assert summary.mean.value == pytest.approx(2 / 3)
    assert math.isnan(summary.p)
    assert math.isnan(summary.gap.value)
    assert summary.worst_languages == ()
    assert summary.gap.interval.method == "none"


def test_no_rows_have_no_summary() -> None:
    summary = summarize_proportions([], [], [], 3)
    assert math.isnan(summary.mean.value)
    assert summary.omitted == (0, 1, 2)


def test_a_tiny_language_weighs_little_in_the_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    language = np.repeat([0, 1], [9, 991])
    hits = rng.random(1000) < np.where(language == 0, 0.2, 0.8)
    summary = summarize_proportions(hits, language, np.arange(1000), 2)
    assert summary.weights == pytest.approx([0.009, 0.991], abs=1e-3)
    width, weighted = (np.ptp(each.interval[:2]) for each in (summary.mean, summary.weighted))
    assert weighted < width / 3


def test_variance_between_seeds_widens_every_summary() -> None:
    rng = np.random.default_rng(0)
    language, clusters = np.tile(np.arange(3), 300), np.repeat(np.arange(300), 3)
    alike = rng.random((1, 900)) < 0.7
    different = rng.random((3, 900)) < np.array([0.55, 0.7, 0.88])[:, None]
    one = summarize_proportions(np.repeat(alike, 3, 0), language, clusters, 3)
    three = summarize_proportions(different, language, clusters, 3)
    for before, after in ((one.mean, three.mean), (one.weighted, three.weighted), (one.worst, three.worst)):
        assert np.ptp(after.interval[:2]) > 2 * np.ptp(before.interval[:2])


def test_identical_seeds_have_the_summary_of_one() -> None:
    hits, layout = complete(80, 4, 0.7)
    one = summarize(hits, layout)
    three = summarize_proportions(np.stack([hits] * 3), layout.language, layout.cell_cluster[layout.cell], 4)
    for first, second in ((one.mean, three.mean), (one.worst, three.worst), (one.gap, three.gap)):
        assert second.interval[:2] == pytest.approx(first.interval[:2], abs=1e-9)


rows_of_languages = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, (2, n), elements=st.sampled_from([0.0, 1.0])),
        arrays(np.int64, n, elements=st.integers(0, 3)),
        arrays(np.int64, n, elements=st.integers(0, 15)),
    )
)


@FEW
@given(rows_of_languages, st.integers(1, 2))
def test_intervals_contain_their_values_and_have_positive_width(
    rows: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]], seeds: int
) -> None:
    hits, language, clusters = rows
    for summary in (
        summarize_proportions(hits[:seeds], language, clusters, 4),
        summarize_values(hits[:seeds] * 3 - 1, language, clusters, 4, higher_is_better=False),
    ):
        several = len(np.unique(language)) > 1
        for value, interval in (summary.mean, summary.weighted, *([summary.worst, summary.gap] if several else [])):
            assert interval.low <= value <= interval.high
            assert interval.low < interval.high
        assert summary.test in TESTS
        if several:
            assert summary.gap.interval.low >= 0
            assert 0 < summary.p <= 1
    bounded = summarize_proportions(hits, language, clusters, 4)
    for _, interval in (bounded.mean, bounded.weighted):
        assert 0 <= interval.low <= interval.high <= 1


@FEW
@given(rows_of_languages, st.integers(0, 100))
def test_order_of_rows_and_names_of_clusters_do_not_matter(
    rows: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]], seed: int
) -> None:
    hits, language, clusters = rows
    order = np.random.default_rng(seed).permutation(len(language))
    first = summarize_proportions(hits, language, clusters, 4)
    second = summarize_proportions(hits[:, order], language[order], 999 - 3 * clusters[order], 4)
    assert second.worst_languages == first.worst_languages
    for one, other in ((first.mean, second.mean), (first.worst, second.worst), (first.gap, second.gap)):
        assert other.value == pytest.approx(one.value, abs=1e-9, nan_ok=True)
        assert other.interval.high == pytest.approx(one.interval.high, abs=1e-6, nan_ok=True)
    assert second.p == pytest.approx(first.p, abs=1e-9, nan_ok=True)


# Summaries of other metrics


def test_lower_is_better_names_the_highest_mean_as_worst() -> None:
    rng = np.random.default_rng(0)
    language = np.repeat([0, 1, 2], 100)
    loss = rng.exponential(np.array([0.3, 1.2, 0.5])[language])
    summary = summarize_values(loss, language, np.arange(300), 3, higher_is_better=False)
    assert summary.worst_languages == (1,)
    assert summary.worst.value == pytest.approx(loss[language == 1].mean())
    assert summary.gap.value == pytest.approx(loss[language == 1].mean() - loss[language == 0].mean())
    assert summary.p < 0.01


def test_values_of_a_few_rows_borrow_the_spread_of_all() -> None:
    """Two rows with nearly equal loss by chance: their mean isn't known to three digits."""
    rng = np.random.default_rng(0)
    loss = np.r_[[0.5, 0.501], rng.exponential(0.5, 500)]
    language = np.r_[[0, 0], np.ones(500, int)]
    summary = summarize_values(loss, language, np.arange(502), 2)
    assert summary.gap.interval.high > 0.3


def test_samples_have_the_intervals_of_their_covariance() -> None:
    rng = np.random.default_rng(0)
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]) * 1e-4
    value = np.array([0.7, 0.72, 0.5])
    samples = rng.multivariate_normal(value - 0.01, covariance, size=20_000)
    summary = summarize_samples(value, samples, [10**6] * 3, 10**6)
    half = 1.96 * math.sqrt(np.ones(3) @ covariance @ np.ones(3)) / 3
    centre = value.mean() + 0.01  # resampling lowers the score by .01
    assert summary.mean.interval[:2] == pytest.approx((centre - half, centre + half), abs=5e-4)
    assert summary.worst_languages == (2,)
    assert summary.p < 0.001
    assert summary.test == "max-t"
    assert summary.mean.interval.reliable


def test_languages_that_most_resamples_lack_are_marked() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0.7, 0.02, (1000, 2))
    samples[:400, 1] = np.nan
    summary = summarize_samples([0.7, 0.75], samples, [100, 100], 200)
    assert not summary.mean.interval.reliable
    assert summary.mean.interval.low < summary.mean.value < summary.mean.interval.high


def test_a_language_whose_resamples_are_all_alike_is_not_certain() -> None:
    rng = np.random.default_rng(0)
    samples = np.stack([rng.normal(0.7, 0.02, 1000), np.ones(1000)], 1)
    summary = summarize_samples([0.7, 1.0], samples, [200, 2], 200)
    assert summary.gap.interval.low == 0
    assert summary.p > 0.05


def test_samples_without_any_score_have_no_summary() -> None:
    summary = summarize_samples([math.nan, math.nan], np.full((100, 2), math.nan), [0, 0], 0)
    assert math.isnan(summary.mean.value)
    assert summary.omitted == (0, 1)
