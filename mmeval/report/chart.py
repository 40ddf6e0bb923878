"""Layout of the dot-and-interval charts; positions are in percent of the width."""

from __future__ import annotations

import math
from typing import NamedTuple

from mmeval.comparison.sentences import language_name
from mmeval.metrics.row import MACRO
from mmeval.report.analysis import Baseline
from mmeval.report.content import Content, Estimate


class ChartRow(NamedTuple):
    """The score of a language, and the positions of its dot, of the ends of its interval and of its baseline."""

    language: str
    name: str
    """English name of the language."""
    estimate: Estimate
    dot: float
    low: float
    high: float
    baseline: float | None
    """Position of the baseline; None if there is none."""


class Chart(NamedTuple):
    """The layout of a chart of a task's first metric (top-1) per language."""

    rows: list[ChartRow]
    ticks: list[tuple[float, str]]
    """Position and label of each tick."""
    mean: float
    """Position of the mean over languages."""


def chart(content: Content, task: str, baseline: Baseline | None = None) -> Chart | None:
    """Return the chart of a task, or None if no language has a score; its axis covers the baseline of each language."""
    ranked = content.ranked(task)
    if not ranked:
        return None
    estimates = [estimate for _, estimate in ranked]
    simple = dict(baseline.languages) if baseline else {}
    drawn = [simple[code] for code, _ in ranked if code in simple]
    # An interval may be undefined (NaN), which differs from itself.
    lowest = min([*drawn, *(e.low if e.low == e.low else e.value for e in estimates)])
    highest = max([*drawn, *(e.high if e.high == e.high else e.value for e in estimates)])
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (highest - lowest) / s <= 6)
    start, stop = math.floor(lowest / step) * step, math.ceil(highest / step) * step
    if stop - start < step / 2:
        start -= step
    width = stop - start

    def position(value: float) -> float:
        return round(100 * (value - start) / width, 2) if value == value else 0.0

    rows = [
        ChartRow(
            code,
            language_name(code),
            e,
            position(e.value),
            # Without an interval, the band has no length.
            position(e.low if e.low == e.low else e.value),
            position(e.high if e.high == e.high else e.value),
            position(simple[code]) if code in simple else None,
        )
        for code, e in ranked
    ]
    count = round(width / step)
    ticks = [(position(start + i * step), f"{start + i * step:.2f}") for i in range(count + 1)]
    return Chart(rows, ticks, position(content.estimate(task, MACRO, content.first_metric(task)).value))
