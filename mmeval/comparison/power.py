"""The difference that the rows of a comparison could have shown."""

from __future__ import annotations

import math

ALPHA, POWER = 0.05, 0.8
"""Significance level, and the probability with which a detectable difference is found significant."""
DELTAS = (0.02,)
"""Differences for which a comparison tells the number of rows that would show them."""


def detectable(se: float, tests: int = 1, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the detectable difference: a true difference of this size is significant with probability ``power``.

    (z(1 - alpha / (2 tests)) + z(power)) * SE, for a two-sided test; Cohen (1988), Miller (2024, arXiv 2411.00640).

    Args:
        se: standard error of the difference.
        tests: number of tests in the family; the level is divided by it (Bonferroni, the first step of Holm).
        alpha: significance level of the family.
        power: the probability.
    """
    from scipy.special import ndtri

    return float((ndtri(1 - alpha / (2 * tests)) + ndtri(power)) * se)


def rows_for(rows: int, smallest: float, delta: float) -> int:
    """Return the number of rows, in clusters of the same sizes, whose detectable difference is ``delta``.

    ceil(rows * (smallest / delta)^2), since a standard error falls with the root of the number of rows.

    Args:
        rows: number of rows of the data at hand.
        smallest: the detectable difference of these rows.
        delta: the difference to detect.
    """
    return math.ceil(rows * (smallest / delta) ** 2)
