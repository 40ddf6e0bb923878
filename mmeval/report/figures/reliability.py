"""Figure: a reliability diagram, the accuracy of predictions by their confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmeval.report.analysis import Reliability
from mmeval.report.figures.style import COLOURS, GREY, LINES, MARKERS, Drawn, grid, label, new_figure


def reliability(curves: Mapping[str, Reliability], title: str, width_mm: float) -> Drawn:
    """Draw accuracy against confidence with 95 % intervals, and below it the share of the rows in each bin.

    Args:
        curves: the curves by label, in the order of the legend.
        title: the model, task and data of the curves, for the caption.
        width_mm: width of the figure in millimetres.
    """
    figure = new_figure(width_mm, width_mm * 1.1 + 4.5 * (len(curves) + 1))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    perfect: Any = (0, (1, 1.5))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=perfect, zorder=1, label="perfect calibration")
    hollow = False
    for number, (name, curve) in enumerate(curves.items()):
        colour, marker, dashes = COLOURS[number], MARKERS[number], LINES[number]
        x = [each.confidence for each in curve.bins]
        y = [each.accuracy.value for each in curve.bins]
        text = f"{label(name)}: error {curve.error:.3f}"
        upper.plot(x, y, color=colour, linestyle=dashes, zorder=2)
        upper.plot([], [], marker=marker, color=colour, linestyle=dashes, label=text)
        for each in curve.bins:
            interval = each.accuracy.interval
            face = colour if interval.reliable or interval.low != interval.low else "white"
            upper.plot(
                each.confidence,
                each.accuracy.value,
                marker,
                color=colour,
                markerfacecolor=face,
                zorder=3,
                clip_on=False,
            )
            hollow |= face != colour
            if interval.low == interval.low:
                upper.plot([each.confidence] * 2, [interval.low, interval.high], color=colour, linewidth=0.7, zorder=2)
        x, y = _outline(curve)
        lower.plot(x, y, color=colour, linestyle=dashes, linewidth=1.0)
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    upper.set_ylabel("accuracy")
    lower.set_xlabel("confidence")
    lower.set_ylabel("rows")
    lower.set_ylim(bottom=0)
    for axes in (upper, lower):
        grid(axes, "both")
    figure.legend(loc="outside upper center", ncols=1, handlelength=2.6)
    caption = (
        f"Reliability of {title}: accuracy by confidence in bins of equal width, with 95 % intervals; below, the share "
        "of the rows in each bin. Error: expected calibration error."
    )
    caption += " Hollow: too few rows or clusters for the interval to be relied on." if hollow else ""
    return Drawn(figure, caption, "Reliability")


def _outline(curve: Reliability) -> tuple[list[float], list[float]]:
    """Return the outline of a histogram of the rows, which is zero where a bin has none."""
    total = sum(each.n for each in curve.bins)
    x, y, at = [0.0], [0.0], 0.0
    for each in curve.bins:
        gap = [at, each.low] if each.low > at + 1e-9 else []
        x += [*gap, each.low, each.high]
        y += [*(0.0 for _ in gap), each.n / total, each.n / total]
        at = each.high
    return [*x, at, 1.0], [*y, 0.0, 0.0]
