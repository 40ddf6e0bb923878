"""The difference that data can show: after a comparison, and before any model is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

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


def design_effect(cluster_sizes: ArrayLike, icc: float = 1.0) -> float:
    """Return the factor by which clusters inflate the variance of a mean: 1 + (sum m^2 / sum m - 1) * icc.

    Kish (1965). With ``icc`` 1 the effective number of rows is (sum m)^2 / sum m^2.

    Args:
        cluster_sizes: number of rows of each cluster.
        icc: correlation within clusters of the differences between two models, from 0 (rows of a cluster are
            independent) to 1 (the rows of a cluster always agree; the safe choice).
    """
    sizes = np.asarray(cluster_sizes, np.float64)
    return float(1 + ((sizes**2).sum() / sizes.sum() - 1) * icc)


@dataclass(frozen=True)
class Prospect:
    """The difference between two models that a test split of one language can show."""

    rows: int
    clusters: int
    design_effect: float
    """Factor by which the clusters inflate the variance."""
    detectable: float
    """The difference in accuracy that is significant with probability ``POWER``."""
    detectable_adjusted: float
    """The same after the correction for the number of tests."""
    rows_for: dict[str, int]
    """Number of rows, in clusters like these, that would show a difference, by the difference as text: ``"0.02"``."""
    out_of_reach: bool
    """Whether the detectable difference is larger than the disagreement, so that no difference can be shown."""


def prospect(
    cluster_sizes: Sequence[int] | ArrayLike,
    accuracy: float,
    disagreement: float | None = None,
    *,
    icc: float = 1.0,
    tests: int = 1,
    deltas: Sequence[float] = DELTAS,
    alpha: float = ALPHA,
    power: float = POWER,
) -> Prospect:
    """Return the difference that the rows of one language can show, before any model is trained.

    The difference of one row is 1, 0 or -1, and not 0 with the probability ``disagreement``; its variance is at most
    that. The standard error is sqrt(disagreement * design effect / rows).

    Args:
        cluster_sizes: number of rows of each cluster (image, product); ``[1] * rows`` without clusters.
        accuracy: the expected accuracy of both models.
        disagreement: share of rows on which exactly one of the models is right; by default 2 p (1 - p), as if the
            models erred independently. Models that learn from the same data disagree less.
        icc: correlation within clusters, see ``design_effect``.
        tests: number of languages that are tested together.
        deltas: differences for which ``rows_for`` tells the number of rows.
        alpha: significance level.
        power: probability with which the difference is significant.

    Raises:
        ValueError: there are no rows, or a share is impossible.
    """
    sizes = np.asarray(cluster_sizes, np.int64)
    rows = int(sizes.sum())
    if rows < 1 or (sizes < 1).any():
        raise ValueError("there must be at least one row, and no empty cluster")
    if not 0 < accuracy < 1:
        raise ValueError(f"the accuracy must lie between 0 and 1, but is {accuracy}")
    if not 0 <= icc <= 1:
        raise ValueError(f"the correlation within clusters must lie between 0 and 1, but is {icc}")
    share = 2 * accuracy * (1 - accuracy) if disagreement is None else disagreement
    most = 2 * min(accuracy, 1 - accuracy)
    if not 0 < share <= most + 1e-12:
        raise ValueError(
            f"the disagreement must be above 0 and, with an accuracy of {accuracy:g}, at most {most:g}, "
            f"but is {share:g}"
        )
    effect = design_effect(sizes, icc)
    se = math.sqrt(share * effect / rows)
    smallest = detectable(se, 1, alpha, power)
    return Prospect(
        rows=rows,
        clusters=len(sizes),
        design_effect=effect,
        detectable=smallest,
        detectable_adjusted=detectable(se, tests, alpha, power),
        rows_for={f"{delta:g}": rows_for(rows, smallest, delta) for delta in deltas},
        out_of_reach=smallest > share,
    )
