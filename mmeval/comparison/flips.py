"""The sign-flip test: the p-value of a sum of differences under random signs of whole clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLIPS = 10_000
"""Random sign patterns for sums that are no whole numbers."""
MOST_ENUMERATED = 13
"""Up to this number of clusters with a difference, every sign pattern is counted, since there are at most ``FLIPS``."""
UNTRUNCATED = 4096
"""Longer distributions are cut 16 standard deviations from their mean; beyond that lies less than 1e-55 (Hoeffding)."""
_BLOCK = 200


def exact_p(sums: NDArray[np.int64]) -> float:
    """Return the two-sided p of the sign-flip test for whole numbers: P(|sum of +-|D_g|| >= |sum of D_g|).

    If two models are equally good, a cluster's difference is as likely to have the other sign. With one row per
    cluster this is the exact McNemar test. The distribution of the sum is computed by convolution, one binomial
    distribution for all clusters whose differences have the same size; nothing is subtracted, so that small
    probabilities are as precise as large ones.

    Args:
        sums: sum of the differences of each cluster ``[G]``.
    """
    sizes = np.abs(sums[sums != 0])
    if not len(sizes):
        return 1.0
    steps, counts = np.unique(sizes, return_counts=True)
    # U is the sum of the positive |D_g|; the flipped sum is 2 U - T.
    pmf, start, total, variance = np.ones(1), 0, 0, 0.0
    for step, count in zip(steps.tolist(), counts.tolist(), strict=True):
        binomial, first = _binomial(count)
        wider = np.zeros(len(pmf) + step * (len(binomial) - 1))
        short, long, stride_short, stride_long = (
            (binomial, pmf, step, 1) if len(binomial) <= len(pmf) else (pmf, binomial, 1, step)
        )
        for number, probability in enumerate(short):
            offset = number * stride_short
            wider[offset : offset + stride_long * (len(long) - 1) + 1 : stride_long] += probability * long
        pmf, start, total = wider, start + step * first, total + step * count
        variance += count * step**2 / 4
        if len(pmf) > UNTRUNCATED:
            reach = int(16 * np.sqrt(variance)) + 1
            low = max(total // 2 - reach - start, 0)
            pmf, start = pmf[low : low + 2 * reach + 2], start + low
    flipped = np.abs(2 * (start + np.arange(len(pmf))) - total)
    return _probability(float(pmf[flipped >= abs(int(sums.sum()))].sum()))


def _binomial(count: int) -> tuple[NDArray[np.float64], int]:
    """Return the probabilities of a fair binomial distribution, and the number of successes of the first of them."""
    from scipy.special import gammaln

    first, last = 0, count
    if count > UNTRUNCATED:
        reach = int(8 * np.sqrt(count)) + 1
        first, last = count // 2 - reach, count - count // 2 + reach
    k = np.arange(first, last + 1)
    if count <= 1000:
        # Exact up to rounding; logarithms of factorials lose three digits.
        pmf = np.cumprod(np.r_[1.0, (count - k[:-1]) / (k[:-1] + 1)]) * 2.0**-count
    else:
        pmf = np.exp(gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1) - count * np.log(2))
    return pmf / pmf.sum(), first


def _probability(p: float) -> float:
    """Return a probability that is neither 0 nor above 1 through rounding."""
    return min(max(p, float(np.finfo(np.float64).tiny)), 1.0)


def smallest_p(clusters: int) -> float:
    """Return the smallest p that the test can give: 2^(1 - clusters), with ``clusters`` whose difference is not 0."""
    return float(min(2.0 ** (1 - clusters), 1.0))


def random_p(sums: NDArray[np.float64], flips: int = FLIPS, seed: int = 0) -> NDArray[np.float64]:
    """Return the two-sided p of the sign-flip test for any numbers, one per row of ``sums``.

    All sign patterns are counted if there are few clusters with a difference; otherwise p is (1 + the number of random
    patterns whose sum is as large) / (1 + flips), which is valid at any number of flips (Phipson and Smyth 2010). The
    order of the clusters makes no difference.

    Args:
        sums: sums of the differences of each cluster, ``[tests, G]``.
        flips: number of random sign patterns.
        seed: seed of the random number generator.
    """
    p = np.ones(len(sums))
    sizes = -np.sort(-np.abs(sums), axis=1)
    observed = np.abs(sums.sum(1))
    # Sums of the same numbers in another order differ by rounding; equal ones must count as equal.
    threshold = observed - 1e-9 * sizes.sum(1)
    nonzero = np.count_nonzero(sizes, axis=1)
    for test in np.flatnonzero((nonzero > 0) & (nonzero <= MOST_ENUMERATED)):
        patterns = np.arange(2 ** nonzero[test])[:, None] >> np.arange(nonzero[test]) & 1
        flipped = np.abs((2 * patterns - 1) @ sizes[test, : nonzero[test]])
        p[test] = np.mean(flipped >= threshold[test])
    many = np.flatnonzero(nonzero > MOST_ENUMERATED)
    if len(many):
        width = int(nonzero[many].max())
        hits = np.zeros(len(many), np.int64)
        for number, first in enumerate(range(0, flips, _BLOCK)):
            # One row per cluster: a test gets the same signs, whichever other tests are computed with it.
            generator = np.random.default_rng([seed, number])
            signs = generator.integers(0, 2, (width, min(_BLOCK, flips - first)), np.int8) * np.float64(2) - 1
            hits += (np.abs(sizes[many, :width] @ signs) >= threshold[many, None]).sum(1)
        p[many] = (1 + hits) / (1 + flips)
    return p
