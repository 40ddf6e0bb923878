"""Corrections against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.comparison.correction import adjust


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=20))
def test_adjusted_p_values_equal_those_of_statsmodels(p: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    np.testing.assert_allclose(adjust(p, "holm"), multitest.multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(adjust(p, "bh"), multitest.multipletests(p, method="fdr_bh")[1], atol=1e-12)


def test_a_family_of_no_tests_is_empty() -> None:
    assert adjust([], "holm").tolist() == adjust([], "bh").tolist() == []
