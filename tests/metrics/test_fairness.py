"""Top-1 controlled for class mix, and top-1 by script and family, against fairlearn, statsmodels and closed forms."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import statsmodels.api as sm
from fairlearn.metrics import MetricFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from mmeval.metrics.fairness import (
    EFFECTIVE_ROWS,
    STANDARDIZED,
    SUPPORT_SHARE,
    Standardized,
    choose_support,
    group_rows,
    standardize,
    standardized_notes,
    standardized_rows,
)
from mmeval.metrics.languages import summarize_proportions
from mmeval.metrics.row import ALL, GAP, MACRO, WORST, ScoreRow


class Rows(NamedTuple):
    hits: NDArray[np.float64]
    true: NDArray[np.int64]
    language: NDArray[np.int64]
    cluster: NDArray[np.int64]
    languages: int
    classes: int

    def standardize(self) -> Standardized:
        return standardize(*self)


def drawn(rows: int = 1200, languages: int = 4, classes: int = 3, clusters: int = 400, seed: int = 0) -> Rows:
    """Rows of languages with different class mixes; rows of a cluster are of one class and similarly difficult."""
    rng = np.random.default_rng(seed)
    of_class, difficulty = rng.integers(classes, size=clusters), rng.normal(0, 0.6, clusters)
    cluster = rng.integers(clusters, size=rows)
    true = of_class[cluster]
    mix = rng.dirichlet(np.ones(classes) * 2, size=languages)
    language = np.array([rng.choice(languages, p=mix[:, label] / mix[:, label].sum()) for label in true])
    hits = (rng.normal(0, 0.6, rows) + difficulty[cluster] + 0.5 * true > 0).astype(float)
    return Rows(hits, true, language, cluster, languages, classes)


def test_the_value_is_the_weighted_mean_of_the_accuracies_of_each_class() -> None:
    """The accuracies come from fairlearn, the weights from the pooled histogram of classes."""
    rows = drawn()
    frame = MetricFrame(
        metrics=lambda true, predicted: float(np.mean(true == predicted)),
        y_true=np.ones(len(rows.hits)),
        y_pred=rows.hits,
        sensitive_features={"language": rows.language, "class": rows.true},
    ).by_group
    weights = np.bincount(rows.true) / len(rows.true)
    expected = [sum(w * frame[language, label] for label, w in enumerate(weights)) for language in range(4)]
    np.testing.assert_allclose(rows.standardize().value, expected, atol=1e-12)


def test_the_interval_is_wilsons_on_the_clustered_variance_of_a_weighted_mean() -> None:
    """The variance is that of statsmodels' weighted least squares with clusters."""
    rows = drawn(clusters=150)
    result = rows.standardize()
    table = np.zeros((4, 3))
    np.add.at(table, (rows.language, rows.true), 1)
    weight = (np.bincount(rows.true) / len(rows.true) / table)[rows.language, rows.true]
    for language in range(4):
        own = rows.language == language
        fit = sm.WLS(rows.hits[own], np.ones(own.sum()), weights=weight[own]).fit(
            cov_type="cluster", cov_kwds={"groups": rows.cluster[own]}
        )
        p, n, clusters = float(fit.params[0]), own.sum(), len(np.unique(rows.cluster[own]))
        size = p * (1 - p) * n / (n - 1) / float(fit.bse[0]) ** 2
        assert size < 1 / (weight[own] ** 2).sum(), "the clusters matter"
        t = stats.t.ppf(0.975, clusters - 1)
        centre, half = (p + t**2 / (2 * size)), t * math.sqrt(p * (1 - p) / size + t**2 / (4 * size**2))
        expected = [(centre - half) / (1 + t**2 / size), (centre + half) / (1 + t**2 / size)]
        np.testing.assert_allclose(result.intervals[language][:2], expected, atol=1e-9)
        assert result.intervals[language].method == "wilson"
        assert result.effective_rows[language] == pytest.approx(weight[own].sum() ** 2 / (weight[own] ** 2).sum())


def test_the_mean_has_the_clustered_error_of_all_languages_together() -> None:
    """A cluster's influences on several languages add up."""
    rows = drawn(clusters=150)
    result = rows.standardize()
    table = np.zeros((4, 3))
    np.add.at(table, (rows.language, rows.true), 1)
    weight = (np.bincount(rows.true) / len(rows.true) / table)[rows.language, rows.true]
    influence = np.bincount(rows.cluster, weight * (rows.hits - result.value[rows.language]) / 4)
    clusters = len(np.unique(rows.cluster))
    error = math.sqrt(clusters / (clusters - 1) * (influence**2).sum())
    mean = result.summary.mean
    assert mean.value == pytest.approx(result.value.mean(), abs=1e-12)
    half = (mean.interval.high - mean.interval.low) / 2
    # The degrees of freedom are between those of the smallest language and those of all; a floor may add a little.
    assert stats.norm.ppf(0.975) * error <= half <= stats.t.ppf(0.975, 50) * error * 1.02


def test_a_gap_that_only_class_mix_makes_vanishes() -> None:
    """Both languages get 90 % of the one class and 50 % of the other, but have other shares of them."""
    hits, true, language = [], [], []
    for code, counts in enumerate([(160, 40), (40, 160)]):
        for label, (count, share) in enumerate(zip(counts, (0.9, 0.5), strict=True)):
            right = round(count * share)
            hits += [1.0] * right + [0.0] * (count - right)
            true += [label] * count
            language += [code] * count
    rows = Rows(np.array(hits), np.array(true), np.array(language), np.arange(400), 2, 2)
    raw = summarize_proportions(rows.hits, rows.language, rows.cluster, 2)
    assert raw.gap.value == pytest.approx(0.24)
    assert raw.p < 0.001
    result = rows.standardize()
    np.testing.assert_allclose(result.value, [0.7, 0.7], atol=1e-12)
    assert result.summary.gap.value == pytest.approx(0, abs=1e-12)
    assert result.summary.gap.interval.low == 0
    assert result.summary.gap.interval.high > 0.01
    assert result.summary.p > 0.5


def test_a_gap_within_classes_stays() -> None:
    rows = drawn(rows=2000, languages=2, classes=3, clusters=2000)
    hits = np.where((rows.language == 0) & (np.arange(2000) % 5 == 0), 0.0, rows.hits)
    result = rows._replace(hits=hits).standardize()
    assert result.summary.p < 0.001
    assert result.summary.gap.interval.low > 0


def test_the_test_of_two_languages_is_that_of_cochran_mantel_haenszel() -> None:
    """With more than 1,000 rows it is its chi-square approximation, without continuity correction."""
    rng = np.random.default_rng(3)
    true, language = rng.integers(4, size=6000), rng.integers(2, size=6000)
    hits = (rng.random(6000) < 0.6 + 0.08 * true + 0.03 * language).astype(float)
    tables = [
        np.array(
            [
                [np.sum(own & (hits == 1)), np.sum(own & (hits == 0))]
                for own in (inside & (language == 0), inside & (language == 1))
            ]
        )
        for inside in (true == label for label in range(4))
    ]
    expected = StratifiedTable(tables).test_null_odds(correction=False).pvalue
    assert 0.01 < expected < 0.6
    assert standardize(hits, true, language, np.arange(6000), 2, 4).summary.p == pytest.approx(expected, abs=2e-3)


def test_equal_class_mixes_leave_scores_as_they_are() -> None:
    rng = np.random.default_rng(1)
    true, language = np.tile(np.arange(5), 120), np.repeat(np.arange(3), 200)
    rows = Rows((rng.random(600) < 0.7).astype(float), true, language, np.arange(600), 3, 5)
    result = rows.standardize()
    np.testing.assert_allclose(result.value, np.bincount(language, rows.hits) / 200, atol=1e-12)
    np.testing.assert_allclose(result.effective_rows, 200)
    assert result.total_share == 1


def counts(*languages: dict[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return classes and languages of rows, given the number of rows of each class in each language."""
    pairs = [(label, code) for code, of in enumerate(languages) for label, rows in of.items() for _ in range(rows)]
    true, language = np.array(pairs).T
    return true, language


def test_support_is_the_classes_that_every_language_has() -> None:
    support = choose_support(*counts({0: 40, 1: 30, 2: 5}, {0: 10, 1: 30, 3: 5}), 2, 4)
    assert (support.languages, support.classes, support.left_out, support.reason) == ((0, 1), (0, 1), (), "")
    np.testing.assert_allclose(support.weights, [50 / 110, 60 / 110, 0, 0])


def test_languages_with_few_rows_or_classes_are_left_out() -> None:
    """29 rows are too few; and 35 rows in one class of three would leave less than half of the rows."""
    large = {0: 40, 1: 40, 2: 40}
    support = choose_support(*counts(large, {0: 10, 1: 10, 2: 9}, large, {2: 35}), 4, 3)
    assert (support.languages, support.classes, support.left_out) == ((0, 2), (0, 1, 2), (1, 3))


@pytest.mark.parametrize(
    ("languages", "reason"),
    [
        (({0: 40},), "fewer than two languages have 30 rows."),
        (({0: 40}, {0: 29}), "fewer than two languages have 30 rows."),
        (({0: 40}, {1: 40}), "no two languages share classes that hold 50 % of their rows."),
    ],
)
def test_class_mix_that_cannot_be_controlled_gives_a_reason_and_no_rows(
    languages: tuple[dict[int, int], ...], reason: str
) -> None:
    true, language = counts(*languages)
    result = standardize(np.ones(len(true)), true, language, np.arange(len(true)), 2, 2)
    assert result.support.reason == f"Class mix can't be controlled: {reason}"
    assert list(standardized_rows(result, ["de", "sl"])) == []
    assert standardized_notes(result, ["de", "sl"]) == [result.support.reason]
    assert np.isnan(result.value).all()


def test_no_rows_give_a_reason() -> None:
    assert standardize([], [], [], [], 2, 3).support.reason.endswith("fewer than two languages have 30 rows.")
    assert list(group_rows([], [], [], ["de", "bg"])) == []


def test_rows_of_scores_state_share_and_effective_rows() -> None:
    true, language = counts({0: 40, 1: 30, 2: 30}, {0: 10, 1: 50}, {0: 3})
    rng = np.random.default_rng(0)
    hits = (rng.random(len(true)) < 0.7).astype(float)
    result = standardize(hits, true, language, np.arange(len(true)), 3, 3)
    rows = {(row.metric, row.language): row for row in standardized_rows(result, ["de", "sl", "et"])}
    assert {language for metric, language in rows if metric == STANDARDIZED} == {
        "de",
        "sl",
        "macro",
        "weighted",
        "worst",
        "gap",
    }
    assert rows[SUPPORT_SHARE, "de"].value == 0.7
    assert rows[SUPPORT_SHARE, "sl"].value == 1
    assert rows[SUPPORT_SHARE, ALL].value == 130 / 160
    w0, w1 = 50 / 130, 80 / 130
    assert rows[EFFECTIVE_ROWS, "de"].value == pytest.approx(1 / (w0**2 / 40 + w1**2 / 30))
    assert (rows[STANDARDIZED, "de"].n, rows[STANDARDIZED, GAP].n) == (70, 130)
    assert rows[STANDARDIZED, GAP].p == rows[STANDARDIZED, WORST].p == result.summary.p
    assert standardized_notes(result, ["de", "sl", "et"]) == [
        "Top-1 is controlled for class mix over 2 languages and the 2 of 3 classes that all of them have, which hold "
        "81 % of their rows; left out, with too few rows or classes: et."
    ]


def test_intervals_never_have_width_zero_or_exclude_their_value() -> None:
    true, language = counts({0: 30, 1: 1}, {0: 30, 1: 1})
    for hits in (np.ones(62), np.zeros(62), np.arange(62) % 2.0):
        result = standardize(hits, true, language, np.arange(62), 2, 2)
        for row in standardized_rows(result, ["de", "sl"]):
            if row.metric == STANDARDIZED:
                assert row.interval.low <= row.value <= row.interval.high
                assert row.interval.high - row.interval.low > 0.01


def test_rows_that_are_all_right_have_wilsons_interval_on_the_effective_number_of_clusters() -> None:
    """Clusters of two rows, and a class whose few rows weigh more, both make it wider."""
    true, language = counts({0: 80, 1: 20}, {0: 20, 1: 80})
    result = standardize(np.ones(200), true, language, np.arange(200) // 2, 2, 2)
    size = 1 / (40 * (2 * 0.5 / 80) ** 2 + 10 * (2 * 0.5 / 20) ** 2)
    assert result.intervals[0].low == pytest.approx(size / (size + stats.norm.ppf(0.975) ** 2), abs=1e-9)
    assert result.intervals[0].high == 1
    assert result.intervals[0].method == "wilson-kish"
    gap = next(row for row in standardized_rows(result, ["de", "sl"]) if row.language == GAP)
    assert (gap.value, gap.n, gap.p) == (0, 100, 1), "where all tie, the rows of the worst count once"


def test_few_effective_rows_are_marked() -> None:
    """The one row of a class that has half of the weight decides."""
    true, language = counts({0: 100, 1: 1}, {0: 10, 1: 200})
    rng = np.random.default_rng(0)
    result = standardize((rng.random(311) < 0.7).astype(float), true, language, np.arange(311), 2, 2)
    assert result.effective_rows[0] < 3
    assert not result.intervals[0].reliable
    assert result.intervals[0].high - result.intervals[0].low > 0.6
    assert not result.intervals[1].reliable or result.effective_rows[1] >= 30


def test_training_seeds_widen_the_interval() -> None:
    rows = drawn(clusters=1200)
    same = rows._replace(hits=np.stack([rows.hits, rows.hits])).standardize()
    np.testing.assert_allclose(same.value, rows.standardize().value, atol=1e-12)
    worse = np.where(np.arange(1200) % 4 == 0, 0.0, rows.hits)
    both = rows._replace(hits=np.stack([rows.hits, worse])).standardize()
    assert both.intervals[0].method == "wilson-seeds"
    assert np.ptp(both.intervals[0][:2]) > np.ptp(same.intervals[0][:2])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_and_names_of_clusters_do_not_matter(seed: int) -> None:
    rows, rng = drawn(rows=300, seed=seed, clusters=100), np.random.default_rng(seed)
    order, names = rng.permutation(300), rng.permutation(100)
    other = Rows(rows.hits[order], rows.true[order], rows.language[order], names[rows.cluster[order]], 4, 3)
    first, second = rows.standardize(), other.standardize()
    np.testing.assert_allclose(first.value, second.value, atol=1e-12)
    np.testing.assert_allclose([i[:2] for i in first.intervals], [i[:2] for i in second.intervals], atol=1e-9)
    compared = list(first.support.languages)
    assert all(first.intervals[code].low <= first.value[code] <= first.intervals[code].high for code in compared)


@pytest.mark.slow  # 200 draws, with two permutation tests each
def test_class_mix_alone_is_seldom_taken_for_a_gap() -> None:
    """Five languages of 300 rows get each class equally often right, but have other classes."""
    rng = np.random.default_rng(0)
    accuracy, language, cluster = np.linspace(0.3, 0.97, 5), np.repeat(np.arange(5), 300), np.arange(1500)
    raw, controlled, gap, covered = [], [], [], []
    for _ in range(200):
        mixes = rng.dirichlet(np.full(5, 3.0), size=5)
        true = np.concatenate([rng.choice(5, p=mix, size=300) for mix in mixes])
        hits = (rng.random(1500) < accuracy[true]).astype(float)
        result = standardize(hits, true, language, cluster, 5, 5)
        truth = float(result.support.weights @ accuracy)
        raw.append(summarize_proportions(hits, language, cluster, 5).p < 0.05)
        controlled.append(result.summary.p < 0.05)
        gap.append(result.summary.gap.interval.low > 0)
        covered += [interval.low <= truth <= interval.high for interval in result.intervals]
    assert np.mean(raw) > 0.5
    assert np.mean(controlled) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean(gap) <= 0.05
    assert np.mean(covered) >= 0.95


# By script and family


def by_slice(rows: list[ScoreRow]) -> dict[tuple[str, str], ScoreRow]:
    return {(row.slice, row.language): row for row in rows}


def test_groups_have_the_mean_of_their_languages_and_of_their_rows() -> None:
    rng = np.random.default_rng(0)
    codes = ["bg", "de", "hu", "ru"]
    language = np.repeat(np.arange(4), [50, 200, 100, 150])
    hits = (rng.random(500) < np.array([0.5, 0.9, 0.7, 0.6])[language]).astype(float)
    rows = by_slice(list(group_rows(hits, language, np.arange(500), codes)))
    accuracy = np.bincount(language, hits) / np.bincount(language)
    cyrillic = rows["script=Cyrl", MACRO]
    assert cyrillic.value == pytest.approx((accuracy[0] + accuracy[3]) / 2, abs=1e-12)
    assert (cyrillic.n, cyrillic.metric) == (200, "top1")
    own = np.isin(language, [0, 3])
    alone = summarize_proportions(hits[own], language[own], np.arange(200), 4).mean
    np.testing.assert_allclose(cyrillic.interval[:2], alone.interval[:2], atol=1e-12)
    assert rows["script=Cyrl", ALL].value == pytest.approx(hits[own].mean(), abs=1e-12)
    latin = (accuracy[1] + accuracy[2]) / 2
    gap = rows["script", GAP]
    assert gap.value == pytest.approx(latin - cyrillic.value, abs=1e-12)
    assert (gap.n, rows["script", WORST].n) == (500, 200)
    assert rows["family", GAP].value == pytest.approx(abs(accuracy[2] - accuracy[[0, 1, 3]].mean()), abs=1e-12)
    assert {key[0] for key in rows} == {
        "script",
        "script=Cyrl",
        "script=Latn",
        "family",
        "family=Indo-European",
        "family=Uralic",
    }


def test_the_test_of_two_groups_is_that_of_their_standardised_difference() -> None:
    """Closed form: the difference of two means of language means over its clustered standard error."""
    rng = np.random.default_rng(2)
    language, cluster = np.tile(np.arange(4), 400), np.repeat(np.arange(400), 4)
    hits = (
        rng.normal(0, 1, 1600) + rng.normal(0, 1, 400)[cluster] + 0.12 * (language > 1) + (language % 2) > -0.4
    ).astype(float)
    rows = by_slice(list(group_rows(hits, language, cluster, ["bg", "ru", "de", "nl"])))
    accuracy = np.bincount(language, hits) / 400
    influence = np.bincount(cluster, np.where(language > 1, 1, -1) * (hits - accuracy[language]) / 800)
    error = math.sqrt(400 / 399 * (influence**2).sum())
    expected = 2 * stats.norm.sf(rows["script", GAP].value / error)
    assert 0.005 < expected < 0.5
    assert rows["script", GAP].p == pytest.approx(expected, abs=0.02)
    half = rows["script", GAP].interval.high - rows["script", GAP].value
    assert half == pytest.approx(1.96 * error, rel=0.05)


def test_differences_within_a_group_are_no_error_of_its_mean() -> None:
    """Closed form for independent rows: languages of a group are 40 points apart, as they always will be."""
    rng = np.random.default_rng(1)
    language = np.repeat(np.arange(4), 1000)
    hits = (rng.random(4000) < np.array([0.5, 0.9, 0.55, 0.95])[language]).astype(float)
    gap = by_slice(list(group_rows(hits, language, np.arange(4000), ["bg", "ru", "de", "nl"])))["script", GAP]
    accuracy = np.bincount(language, hits) / 1000
    error = math.sqrt((accuracy * (1 - accuracy) / 1000).sum()) / 2
    assert gap.interval.high - gap.value == pytest.approx(1.96 * error, rel=0.03)


def test_one_group_or_unknown_languages_give_no_rows() -> None:
    hits, language = np.arange(80) % 2.0, np.repeat([0, 1], 40)
    assert list(group_rows(hits, language, np.arange(80), ["de", "nl"])) == []
    assert list(group_rows(hits, language, np.arange(80), ["de", "qaa"])) == []
    assert {row.slice for row in group_rows(hits, language, np.arange(80), ["de", "bg"])} == {
        "script",
        "script=Cyrl",
        "script=Latn",
    }


def test_a_slice_column_of_the_same_name_comes_first() -> None:
    hits, language = np.arange(80) % 2.0, np.repeat([0, 1], 40)
    rows = list(group_rows(hits, language, np.arange(80), ["de", "hi"], slices=["script"]))
    assert rows == []
    rows = list(group_rows(hits, language, np.arange(80), ["de", "ar"], slices=["script"]))
    assert {row.slice for row in rows} == {"family", "family=Afro-Asiatic", "family=Indo-European"}


def test_languages_without_rows_belong_to_no_group() -> None:
    """Else the mean of their group would be NaN, or divided by too many languages."""
    hits, language = np.arange(80) % 4 / 3 > 0.5, np.repeat([0, 2], 40)
    rows = by_slice(list(group_rows(hits, language, np.arange(80), ["de", "nl", "bg", "ja"])))
    assert rows["script=Latn", MACRO].value == hits[:40].mean()
    assert ("script=Jpan", MACRO) not in rows
    assert rows["script", GAP].value == pytest.approx(abs(hits[:40].mean() - hits[40:].mean()), abs=1e-12)
