"""The detectable difference: closed forms and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from mmeval.comparison.paired import paired_differences
from mmeval.data.power import detectable, rows_for

Z = scipy.stats.norm.ppf


def test_the_detectable_difference_has_its_closed_form() -> None:
    assert detectable(0.02) == pytest.approx((Z(0.975) + Z(0.8)) * 0.02, abs=1e-12)
    assert detectable(0.02, tests=13) == pytest.approx((Z(1 - 0.025 / 13) + Z(0.8)) * 0.02, abs=1e-12)
    assert rows_for(240, 0.105, 0.02) == math.ceil(240 * (0.105 / 0.02) ** 2) == 6615


def test_a_difference_of_the_detectable_size_is_significant_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    rows, share = 600, 0.25
    delta = detectable(math.sqrt(share / rows))
    zero, cluster = np.zeros(rows, int), np.arange(rows)
    significant = 0
    for _ in range(500):
        a = rng.choice([1, 0, -1], rows, p=[(share + delta) / 2, 1 - share, (share - delta) / 2])
        result = paired_differences((a > 0).astype(int), (a < 0).astype(int), zero, cluster)
        significant += result.languages[0].estimate.p < 0.05
    assert significant / 500 == pytest.approx(0.8, abs=0.05)
