"""Dot-and-interval charts, placed in percent so that they fit any width."""

from __future__ import annotations

import math
from typing import NamedTuple

from mmeval.metrics.scores import MACRO
from mmeval.report.content import Content, Number


class Row(NamedTuple):
    """One language: its score, and where dot and whiskers stand, in percent of the width."""

    language: str
    number: Number
    dot: float
    low: float
    high: float


class Chart(NamedTuple):
    """A task's top-1 per language."""

    rows: list[Row]
    ticks: list[tuple[float, str]]
    mean: float
    """Where the line of the mean over languages stands, in percent."""


def chart(content: Content, task: str) -> Chart | None:
    """Lay out the chart of one task; None where no language has a score."""
    ranked = content.ranked(task)
    if not ranked:
        return None
    ends = [n.low if n.low == n.low else n.value for _, n in ranked] + [
        n.high if n.high == n.high else n.value for _, n in ranked
    ]
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (max(ends) - min(ends)) / s <= 6)
    start, stop = math.floor(min(ends) / step) * step, math.ceil(max(ends) / step) * step
    if stop - start < step / 2:
        start -= step
    width = stop - start

    def place(value: float) -> float:
        return round(100 * (value - start) / width, 2) if value == value else 0.0

    rows = [Row(language, n, place(n.value), place(n.low), place(n.high)) for language, n in ranked]
    count = round(width / step)
    ticks = [(place(start + i * step), f"{start + i * step:.2f}") for i in range(count + 1)]
    return Chart(rows, ticks, place(content.number(task, MACRO, "top1").value))
