"""Axes of charts: positions in percent of the width, and ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
FEWEST_LOG_TICKS = 3
LEAST_SPAN = 0.01
"""Equal scores get an axis of about a point, not one that magnifies rounding errors."""


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Value and label of each tick."""
    log: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value in percent, 0 to 100; a value beyond an end is drawn there."""
        low, high, at = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return round(min(max(100 * (at - low) / (high - low), 0.0), 100.0), 2)

    @property
    def positions(self) -> list[tuple[float, str]]:
        """Position in percent and label of each tick."""
        return [(self.at(value), label) for value, label in self.ticks]


def linear(values: Iterable[float], *, signed: bool = False, most_ticks: int = 6) -> Axis:
    """Return an axis that covers all finite values and ends at ticks.

    Args:
        values: the values.
        signed: label positive ticks with a plus sign.
        most_ticks: the largest number of steps between ticks.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    step = _step(max(high - low, LEAST_SPAN) / most_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        first, last = first - 1, last + 1
    digits = max(0, -math.floor(math.log10(step)))
    ticks = [
        (round(n * step, 12), f"{n * step:{'+' if signed and n else ''}.{digits}f}") for n in range(first, last + 1)
    ]
    return Axis(ticks[0][0], ticks[-1][0], tuple(ticks))


def logarithmic(values: Iterable[float]) -> Axis:
    """Return a logarithmic axis that covers all positive values; its ticks are 1, 2 and 5 times powers of ten."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 10.0]
    low, high = min(positive) / 1.3, max(positive) * 1.3
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [factor * 10.0**power for power in decades for factor in factors if low <= factor * 10.0**power <= high]
        if len(ticks) >= FEWEST_LOG_TICKS:
            break
    return Axis(low, high, tuple((tick, scaled(tick)) for tick in ticks), log=True)


def scaled(value: float) -> str:
    """Return a number with an SI prefix: ``20 M``, ``1.5 k``, ``300``, ``0.5``."""
    for scale, prefix in PREFIXES:
        if value >= scale * 0.9999:
            return f"{value / scale:.3g} {prefix}"
    return f"{value:.3g}"


def _step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
