"""Corrections against statsmodels."""

from __future__ import annotations

import gc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.comparison.correction import adjust


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=20))
def test_adjusted_p_values_equal_those_of_statsmodels(p: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    with mock.patch.object(gc, "collect"):  # multipletests calls it, which takes up to a second after other tests
        holm, bh = (multitest.multipletests(p, method=method)[1] for method in ("holm", "fdr_bh"))
    np.testing.assert_allclose(adjust(p, "holm"), holm, atol=1e-12)
    np.testing.assert_allclose(adjust(p, "bh"), bh, atol=1e-12)


def test_a_family_of_no_tests_is_empty() -> None:
    assert adjust([], "holm").tolist() == adjust([], "bh").tolist() == []
