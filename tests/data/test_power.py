"""The smallest difference between two models that a split can show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mmeval.data.power import data_power, detectable, effective_rows, rows_for
from mmeval.errors import UserError


def equal(rows: int) -> np.ndarray:
    return np.full(rows, 1 / rows)


def test_the_detectable_is_found_with_the_stated_power() -> None:
    """By simulation: a z test of differences at the detectable size is significant in 80 % of the cases."""
    error = 0.013
    difference = detectable(error)
    z = np.random.default_rng(0).normal(difference, error, 200_000) / error
    assert np.mean(np.abs(z) > norm.isf(0.025)) == pytest.approx(0.8, abs=0.003)


def test_the_detectable_is_that_of_the_normal_quantiles() -> None:
    assert detectable(0.02) == pytest.approx((norm.isf(0.025) + norm.ppf(0.8)) * 0.02, abs=1e-12)
    assert detectable(0.02, tests=13) == pytest.approx((norm.isf(0.025 / 13) + norm.ppf(0.8)) * 0.02, abs=1e-12)
    assert detectable(0.02, 1, 0.1, 0.9) == pytest.approx((norm.isf(0.05) + norm.ppf(0.9)) * 0.02, abs=1e-12)


def test_rows_for_a_difference_grow_with_the_square() -> None:
    assert rows_for(100, 0.1, 0.05) == 400
    assert rows_for(240, 0.105, 0.02) == 6615
    assert rows_for(100, 0.28, 0.02) == 19_600, "0.28 / 0.02 is 14.000000000000002"


def test_effective_rows_have_kishs_design_effect() -> None:
    sizes = np.array([1, 2, 3, 10])
    clusters = np.repeat(np.arange(4), sizes)
    n = sizes.sum()
    for correlation in (0, 0.3, 1):
        effect = 1 + correlation * ((sizes**2).sum() / n - 1)
        assert effective_rows(equal(n), clusters, correlation) == pytest.approx(n / effect, rel=1e-12)


def test_effective_rows_predict_the_variance_of_a_weighted_mean() -> None:
    """By simulation: rows with a correlation of 0.4 within their cluster."""
    clusters = np.repeat(np.arange(12), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])
    generator = np.random.default_rng(1)
    weights = generator.dirichlet(np.ones(len(clusters)))
    shared, own = generator.normal(size=(20_000, 12)), generator.normal(size=(20_000, len(clusters)))
    values = np.sqrt(0.4) * shared[:, clusters] + np.sqrt(0.6) * own
    assert 1 / np.var(values @ weights) == pytest.approx(effective_rows(weights, clusters, 0.4), rel=0.03)


def test_languages_are_corrected_for_their_number_and_the_mean_is_not() -> None:
    language, cluster = np.repeat([0, 2, 3], [400, 100, 25]), np.arange(525)
    power = data_power(("sl", "xx", "de", "et"), language, cluster)
    assert [row.language for row in power.languages] == ["de", "et", "sl"], "sorted, without the absent one"
    sl = power.languages[2]
    assert sl.detectable == pytest.approx((norm.isf(0.025) + norm.ppf(0.8)) * np.sqrt(0.1 / 400), abs=1e-12)
    assert sl.detectable_adjusted == pytest.approx(
        (norm.isf(0.025 / 3) + norm.ppf(0.8)) * np.sqrt(0.1 / 400), abs=1e-12
    )
    assert sl.rows_for["0.02"] == 1963
    assert sl.rows_for_adjusted["0.02"] == 2618
    error = np.sqrt(0.1 * (1 / 400 + 1 / 100 + 1 / 25)) / 3
    assert power.mean.detectable == pytest.approx((norm.isf(0.025) + norm.ppf(0.8)) * error, abs=1e-12)
    assert power.mean.detectable_adjusted == power.mean.detectable


def test_rows_of_a_cluster_count_as_one_row_also_across_languages() -> None:
    """The image of a product that is sold in 13 countries is one image."""
    language, cluster = np.tile(np.arange(13), 50), np.repeat(np.arange(50), 13)
    power = data_power([f"l{number:02}" for number in range(13)], language, cluster)
    assert power.mean.effective_rows == pytest.approx(50)
    assert power.mean.clusters == 50
    assert {round(row.effective_rows, 9) for row in power.languages} == {50}


def test_the_accuracy_bounds_the_disagreement() -> None:
    one = (np.zeros(9, int), np.arange(9))
    assert data_power(("de",), *one, accuracy=0.9, disagreement=0.2).mean.rows == 9
    with pytest.raises(UserError, match=r"--disagreement 0.21: two models with a mean accuracy of 0.9 disagree in at "):
        data_power(("de",), *one, accuracy=0.9, disagreement=0.21)


def test_models_that_disagree_in_one_percent_never_differ_by_two_points() -> None:
    power = data_power(("de",), np.zeros(9, int), np.arange(9), disagreement=0.01)
    assert power.mean.rows_for == {"0.02": None}


@given(
    clusters=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    correlation=st.floats(0, 1),
)
def test_effective_rows_lie_between_one_and_the_number_of_rows(clusters: list[int], correlation: float) -> None:
    effective = effective_rows(equal(len(clusters)), np.array(clusters), correlation)
    assert 1 - 1e-9 <= effective <= len(clusters) + 1e-9
    assert effective >= effective_rows(equal(len(clusters)), np.array(clusters)) - 1e-9, "1 is the worst case"
