"""Variances over clusters and training seeds, and their quantiles."""

from __future__ import annotations

import numpy as np
import pytest

from mmeval.metrics.moments import Variance


def test_a_difference_without_variance_has_a_tiny_tail_and_no_warning() -> None:
    """With two seeds there is one degree of freedom, whose quantiles grow beyond the range of numbers."""
    variance = Variance(np.array([0.0]), np.array([0.0]), np.array([1.0]), seeds=2)
    assert 0 < variance.tail(np.array([0.5])) < 1e-100


def test_the_tail_inverts_the_quantile() -> None:
    variance = Variance(np.array([0.04]), np.array([0.5]), np.array([7.0]), seeds=3)
    error = 0.2 * variance.quantile(0.01)
    assert variance.tail(np.abs(error)) == pytest.approx(0.01, rel=1e-6)
