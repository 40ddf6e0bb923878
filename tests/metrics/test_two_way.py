"""The two-way variance without any variance over clusters."""

from __future__ import annotations

import numpy as np

from mmeval.metrics.moments import two_way


def test_values_without_any_variance_have_a_variance_of_zero() -> None:
    """A model that gives every example the same probabilities, with two seeds, ended scoring with a warning."""
    zero = np.zeros(3)
    assert two_way(zero, zero, zero, zero, seeds=2).total.tolist() == [0, 0, 0]
