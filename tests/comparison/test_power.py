"""The detectable difference: closed forms, a simulation, and impossible requests."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from mmeval.comparison.paired import paired_differences
from mmeval.comparison.power import design_effect, detectable, prospect, rows_for

Z = scipy.stats.norm.ppf


def test_the_detectable_difference_has_its_closed_form() -> None:
    assert detectable(0.02) == pytest.approx((Z(0.975) + Z(0.8)) * 0.02, abs=1e-12)
    assert detectable(0.02, tests=13) == pytest.approx((Z(1 - 0.025 / 13) + Z(0.8)) * 0.02, abs=1e-12)
    assert rows_for(240, 0.105, 0.02) == math.ceil(240 * (0.105 / 0.02) ** 2) == 6615


def test_without_clusters_the_standard_error_is_that_of_the_disagreement() -> None:
    result = prospect([1] * 500, accuracy=0.7, disagreement=0.2, tests=5)
    se = math.sqrt(0.2 / 500)
    assert result.detectable == pytest.approx((Z(0.975) + Z(0.8)) * se, abs=1e-12)
    assert result.detectable_adjusted == pytest.approx((Z(1 - 0.025 / 5) + Z(0.8)) * se, abs=1e-12)
    assert result.rows_for == {"0.02": math.ceil(500 * (result.detectable / 0.02) ** 2)}
    assert (result.rows, result.clusters, result.design_effect, result.out_of_reach) == (500, 500, 1, False)


def test_clusters_that_agree_within_count_as_their_effective_number_of_rows() -> None:
    sizes = [1, 4, 5]
    assert 10 / design_effect(sizes) == pytest.approx(10**2 / (1 + 16 + 25), abs=1e-12)
    assert design_effect(sizes, icc=0) == 1
    assert prospect([5] * 20, 0.7).detectable == pytest.approx(prospect([1] * 20, 0.7).detectable, abs=1e-12)


def test_by_default_the_models_err_independently() -> None:
    assert prospect([1] * 100, 0.8) == prospect([1] * 100, 0.8, 0.32)


def test_few_rows_cannot_show_any_difference() -> None:
    assert prospect([1] * 9, 0.9, 0.1).out_of_reach


@pytest.mark.parametrize(
    ("sizes", "accuracy", "disagreement", "icc", "message"),
    [
        ([], 0.7, 0.2, 1, "at least one row"),
        ([1, 0], 0.7, 0.2, 1, "no empty cluster"),
        ([1], 1.0, 0.2, 1, "accuracy"),
        ([1], 0.9, 0.3, 1, "at most 0.2"),
        ([1], 0.9, 0.0, 1, "above 0"),
        ([1], 0.9, 0.1, 2, "correlation"),
    ],
)
def test_impossible_shares_are_refused(
    sizes: list[int], accuracy: float, disagreement: float, icc: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prospect(sizes, accuracy, disagreement, icc=icc)


def test_a_difference_of_the_detectable_size_is_significant_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    rows, share = 600, 0.25
    delta = prospect([1] * rows, 0.6, share).detectable
    zero, cluster = np.zeros(rows, int), np.arange(rows)
    significant = 0
    for _ in range(500):
        a = rng.choice([1, 0, -1], rows, p=[(share + delta) / 2, 1 - share, (share - delta) / 2])
        result = paired_differences((a > 0).astype(int), (a < 0).astype(int), zero, cluster)
        significant += result.languages[0].estimate.p < 0.05
    assert significant / 500 == pytest.approx(0.8, abs=0.05)
