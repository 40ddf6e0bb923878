"""The test that two runs are equivalent: their difference lies within a margin that was fixed beforehand."""

from __future__ import annotations

from mmeval.comparison.paired import Difference


def equivalence_p(estimate: Difference, margin: float) -> float:
    """Return p of two one-sided t-tests (Schuirmann 1987): the larger of difference <= -margin and >= margin.

    Args:
        estimate: the difference.
        margin: the largest difference that does not matter, above 0.
    """
    from scipy.special import stdtr

    below = (estimate.difference - margin) / estimate.se
    above = (-margin - estimate.difference) / estimate.se
    return float(stdtr(estimate.df, max(below, above)))
