"""Calibration of a model's confidence: expected calibration errors, AUROC of confidence and the risk-coverage area.

The confidence of an example is the probability of its predicted class; a hit is an example that is predicted correctly.
Everything here is computed from these two numbers per example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.by_language import language_rows, rows_by_language
from mmeval.metrics.outcomes import Codes, Outcomes
from mmeval.metrics.row import ScoreRow

BINS = 15
"""Number of bins of the expected calibration errors, as in Guo et al. (2017, arXiv 1706.04599)."""

# The discretisation of the authors' package `relplot`, so that values agree with it. The paper's integral is exact.
_LEAST_WIDTH = 0.001
"""Bandwidths below this are accepted without looking for the fixed point."""
_BISECTIONS = 10
"""Bisections of the search for the bandwidth."""
_GRID, _GRID_PER_WIDTH = 2000, 20
"""Smoothing uses a grid of half this number of intervals: at least ``_GRID``, and so many per bandwidth."""
_MESH, _MESH_PER_WIDTH = 200, 10
"""The integral over [0, 1] is a sum over this number of points: at least ``_MESH``, and so many per bandwidth."""
_CHUNK = 2**18
"""Examples that are put on a grid at once, to bound memory."""
_DENSITY_FLOOR = 1e-4
"""Added to the density of the confidences at each point."""

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


class Bins(NamedTuple):
    """A reliability curve: examples in bins of confidence, arrays ``[bins]``."""

    counts: NDArray[np.int64]
    """Number of examples."""
    confidence: NDArray[np.float64]
    """Mean confidence; NaN in an empty bin."""
    accuracy: NDArray[np.float64]
    """Share of hits; NaN in an empty bin."""

    @property
    def error(self) -> float:
        """Mean distance between accuracy and mean confidence, weighted by the size of the bins; NaN without examples.

        This is the expected calibration error (Guo et al. 2017, equation 3).
        """
        total = int(self.counts.sum())
        if not total:
            return float("nan")
        return float(np.nansum(self.counts * np.abs(self.accuracy - self.confidence)) / total)


def reliability_bins(confidence: Floats, hit: Bools, bins: int = BINS, *, equal_mass: bool = False) -> Bins:
    """Return the reliability curve of examples.

    Args:
        confidence: probability of the predicted class, ``[n]``.
        hit: whether the prediction is correct, ``[n]``.
        bins: number of bins.
        equal_mass: bins of equal size (sizes differ by at most 1, the first bins are the larger ones; equal confidences
            keep the order of the examples) instead of bins of equal width ``(i/bins, (i+1)/bins]``.
    """
    return _bins(*_ascending(confidence, hit), bins, equal_mass=equal_mass)


def ece(confidence: Floats, hit: Bools, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal width (Guo et al. 2017); NaN without examples."""
    return reliability_bins(confidence, hit, bins).error


def ece_equal_mass(confidence: Floats, hit: Bools, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal size (Nguyen, O'Connor 2015); NaN without examples."""
    return reliability_bins(confidence, hit, bins, equal_mass=True).error


def confidence_auroc(confidence: Floats, hit: Bools) -> float:
    """Return the probability that a random hit has a higher confidence than a random mistake.

    Equal confidences count half. 0.5 means that confidence doesn't tell hits from mistakes. NaN if there are only hits
    or only mistakes.
    """
    return _auroc(*_ascending(confidence, hit))


def risk_coverage(confidence: Floats, hit: Bools) -> float:
    """Return the area under the risk-coverage curve (Geifman, Uziel and El-Yaniv 2019); NaN without examples.

    Examples are sorted by falling confidence, equal ones in their order. The value is the mean over k of the share of
    mistakes among the first k examples; 0 is best.
    """
    return _risk_coverage(*_ascending(confidence, hit))


def smooth_ece(confidence: Floats, hit: Bools) -> float:
    """Return the smooth calibration error (Błasiok and Nakkiran 2023, arXiv 2309.12236); NaN without examples.

    Residuals (confidence minus hit) are smoothed with a Gaussian kernel, reflected at 0 and 1; the error is the mean
    absolute value of the smoothed residual. The kernel's width is the one at which it equals the error (their
    definition 6). No bins have to be chosen.
    """
    if not len(confidence):
        return float("nan")
    smoother = _Smoother(confidence, hit)
    # The error falls as the width grows, so a single width equals it.
    low, high = 0.0, 1.0
    if smoother.error(high) > high:
        return smoother.error(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle < _LEAST_WIDTH or middle < smoother.error(middle):
            low = middle
        else:
            high = middle
    return smoother.error(high)


class Calibration(NamedTuple):
    """All calibration errors of a group of examples."""

    ece: float
    ece_equal_mass: float
    smooth_ece: float
    confidence_auroc: float
    risk_coverage: float


def calibration(confidence: Floats, hit: Bools) -> Calibration:
    """Return all calibration errors of a group of examples, each as its own function does, but sorted only once.

    Args:
        confidence: probability of the predicted class, ``[n]``.
        hit: whether the prediction is correct, ``[n]``.
    """
    ascending = _ascending(confidence, hit)
    return Calibration(
        _bins(*ascending, BINS, equal_mass=False).error,
        _bins(*ascending, BINS, equal_mass=True).error,
        smooth_ece(confidence, hit),
        _auroc(*ascending),
        _risk_coverage(*ascending),
    )


def calibration_rows(outcomes: Outcomes, languages: Codes) -> list[ScoreRow]:
    """Return the calibration errors of each language, their mean, and those of all rows; empty without probabilities.

    Args:
        outcomes: the examples, all labelled.
        languages: their languages.
    """
    if outcomes.confidence is None:
        return []
    hits, confidence = outcomes.hits, outcomes.confidence
    groups = rows_by_language(languages)
    of_groups = [calibration(confidence[rows], hits[rows]) for rows in groups]
    sizes = [len(rows) for rows in groups]
    return [
        row
        for metric, values in zip(Calibration._fields, zip(*of_groups, strict=True), strict=True)
        for row in language_rows(metric, languages.names, values, sizes)
    ]


def _ascending(confidence: Floats, hit: Bools) -> tuple[NDArray[np.float64], Bools]:
    """Return both arrays sorted by confidence; equal confidences keep their order."""
    order = np.argsort(confidence, kind="stable")
    return confidence[order].astype(np.float64), hit[order]


def _bins(confidence: NDArray[np.float64], hit: Bools, bins: int, *, equal_mass: bool) -> Bins:
    """Return the bins of examples that are sorted by confidence."""
    n = len(confidence)
    if equal_mass:
        sizes = np.full(bins, n // bins)
        sizes[: n % bins] += 1
        stops = np.cumsum(sizes)
    else:
        inner = np.searchsorted(confidence, np.linspace(0, 1, bins + 1)[1:-1], side="right")
        stops = np.append(inner, n)
    starts = np.append(0, stops[:-1])
    counts = stops - starts
    sums = [np.append(0.0, np.cumsum(values)) for values in (confidence, hit.astype(np.float64))]
    means = [
        np.divide(total[stops] - total[starts], counts, out=np.full(bins, np.nan), where=counts > 0) for total in sums
    ]
    return Bins(counts, means[0], means[1])


def _auroc(confidence: NDArray[np.float64], hit: Bools) -> float:
    """Return the area under the ROC curve of examples that are sorted by confidence."""
    hits = np.count_nonzero(hit)
    misses = len(hit) - hits
    if not hits or not misses:
        return float("nan")
    starts = _starts(confidence)
    hits_here = np.add.reduceat(hit, starts, dtype=np.float64)
    misses_here = np.diff(np.append(starts, len(hit))) - hits_here
    misses_below = np.cumsum(misses_here) - misses_here
    return float((hits_here * (misses_below + misses_here / 2)).sum() / (hits * misses))


def _risk_coverage(confidence: NDArray[np.float64], hit: Bools) -> float:
    """Return the area under the risk-coverage curve of examples that are sorted by rising confidence."""
    n = len(confidence)
    if not n:
        return float("nan")
    # By falling confidence, examples with equal confidences keep their order: each run of them moves as a whole.
    starts = _starts(confidence)
    stops = np.append(starts[1:], n)
    place = np.arange(n) + np.repeat(n - stops - starts, stops - starts)
    mistakes = np.empty(n)
    mistakes[place] = ~hit
    np.cumsum(mistakes, out=mistakes)
    mistakes /= np.arange(1, n + 1)
    return float(mistakes.mean())


def _starts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return where each run of equal values begins; there is at least one value."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))


class _Smoother:
    """Kernel smoothing of the residuals of a group of examples, at any bandwidth."""

    def __init__(self, confidence: Floats, hit: Bools) -> None:
        self.confidence, self.hit = confidence, hit
        self.grids: dict[int, list[NDArray[np.float64]]] = {}

    def error(self, width: float) -> float:
        """Return the mean absolute value of the smoothed residuals."""
        intervals = max(_GRID, round(_GRID_PER_WIDTH / width)) // 2
        points = np.linspace(0, 1, max(_MESH, round(_MESH_PER_WIDTH / width)))
        residual, density = (_smooth(values, width, points) for values in self._grid(intervals))
        return float(np.abs(residual).sum() / (density + _DENSITY_FLOOR).sum())

    def _grid(self, intervals: int) -> list[NDArray[np.float64]]:
        """Return the residuals and the number of examples at each of ``intervals + 1`` grid points.

        An example between two points counts for both, in proportion to its nearness.
        """
        if intervals not in self.grids:
            grids = [np.zeros(intervals + 1), np.zeros(intervals + 1)]
            for start in range(0, len(self.hit), _CHUNK):
                confidence = self.confidence[start : start + _CHUNK].astype(np.float64)
                place = confidence * intervals
                left = np.minimum(place.astype(np.int64), intervals - 1)
                share = place - left
                residual = confidence - self.hit[start : start + _CHUNK]
                for grid, values in zip(grids, (residual, np.ones_like(residual)), strict=True):
                    grid += np.bincount(left, values * (1 - share), intervals + 1)
                    grid += np.bincount(left + 1, values * share, intervals + 1)
            self.grids[intervals] = grids
        return self.grids[intervals]


def _smooth(values: NDArray[np.float64], width: float, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve values on a grid over [0, 1] with a Gaussian kernel, reflected at both ends; return them at ``points``.

    The kernel ends at a distance of 0.5. Reflection at both ends makes a signal with the period 2, so that a Fourier
    transform gives the convolution.
    """
    intervals = len(values) - 1
    distance = np.linspace(0, 1, intervals + 1) - 0.5
    kernel = np.exp(-(distance**2) / (2 * width**2)) / (np.sqrt(2 * np.pi) * width)
    period = np.zeros(2 * intervals)
    period[: intervals + 1] = kernel
    period = np.roll(period, -(len(kernel) // 2))
    reflected = np.concatenate([values, values[-2:0:-1]])
    smooth = np.fft.irfft(np.fft.rfft(reflected) * np.fft.rfft(period), 2 * intervals)[: intervals + 1]
    place = points * intervals
    left = np.minimum(place.astype(np.int64), intervals - 1)
    share = place - left
    return np.asarray(smooth[left] * (1 - share) + smooth[left + 1] * share, np.float64)
