"""Figure: the score of each language with its 95 % interval, of one run or of several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmeval.comparison.sentences import language_name
from mmeval.metrics.row import MACRO
from mmeval.report.content import Content, Estimate
from mmeval.report.figures.style import COLOURS, GREY, MARKERS, ROW_MM, Drawn, grid, label, legend_columns, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def languages(contents: Mapping[str, Content], task: str, metric: str, width_mm: float) -> Drawn:
    """Draw a dot and an interval per language; languages are sorted by the first run, the highest on top.

    Args:
        contents: the contents of the runs' reports by label; at least one, whose order is that of the legend.
        task: the task.
        metric: the metric.
        width_mm: width of the figure in millimetres.
    """
    first = next(iter(contents.values()))
    codes = [language for language, _ in first.ranked(task, metric)]
    codes += [code for content in contents.values() for code, _ in content.ranked(task, metric) if code not in codes]
    codes = list(dict.fromkeys(codes))
    count = len(contents)
    columns = legend_columns(contents, width_mm)
    row_mm = ROW_MM * max(1.0, 0.45 * count + 0.4)
    figure = new_figure(width_mm, row_mm * len(codes) + 14 + (4.5 * math.ceil(count / columns) if count > 1 else 0))
    axes = figure.add_subplot()
    hollow = False
    for number, (name, content) in enumerate(contents.items()):
        offset = (number - (count - 1) / 2) * 0.7 / max(count, 2) if count > 1 else 0.0
        colour, marker = COLOURS[number], MARKERS[number]
        for row, code in enumerate(codes):
            estimate = content.estimate(task, code, metric)
            if not estimate.defined:
                continue
            if estimate.low == estimate.low:
                axes.plot([estimate.low, estimate.high], [row + offset] * 2, color=colour, linewidth=1.0, zorder=2)
            solid = estimate.reliable
            hollow |= not solid
            face = colour if solid else "white"
            axes.plot(estimate.value, row + offset, marker, color=colour, markerfacecolor=face, zorder=3)
        if count > 1:
            axes.plot([], [], marker, linestyle="-", color=colour, label=label(name))
    _reference_lines(axes, contents, task, metric)
    axes.set_yticks(range(len(codes)), [label(f"{language_name(code)} ({code})") for code in codes])
    axes.set_ylim(len(codes) - 0.4, -0.6)
    axes.set_xlabel(label(first.metric_title(metric)))
    axes.tick_params(axis="y", length=0)
    grid(axes, "x")
    if count > 1:
        figure.legend(loc="outside upper center", ncols=columns, handlelength=1.6, columnspacing=1.2)
    return Drawn(figure, _caption(contents, task, metric, hollow=hollow), f"{first.metric_title(metric)} by language")


def _reference_lines(axes: Axes, contents: Mapping[str, Content], task: str, metric: str) -> None:
    """Draw the mean over languages of a single run, and the majority-class baseline, each with its name."""
    first = next(iter(contents.values()))
    lines: list[tuple[float, str, Any]] = []
    mean = first.estimate(task, MACRO, metric)
    if len(contents) == 1 and mean.defined and len(first.languages) > 1:
        lines.append((mean.value, "mean", (0, (4, 2))))
    if (majority := majority_baseline(first, task, metric)) is not None and _has_room(contents, task, metric, majority):
        lines.append((majority, "majority class", (0, (1, 1.5))))
    for value, name, dashes in lines:
        axes.axvline(value, color=GREY, linewidth=0.8, linestyle=dashes, zorder=1)
        at_right = value > sum(axes.get_xlim()) / 2
        axes.annotate(
            name,
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-2 if at_right else 2, 1),
            textcoords="offset points",
            ha="right" if at_right else "left",
            va="bottom",
            fontsize=6.5,
            color=GREY,
        )


def majority_baseline(content: Content, task: str, metric: str) -> float | None:
    """Return the mean over languages of top-1 of the most frequent training class; None where it is not known."""
    check = content.record.data_check
    majority = check.majority.get(task) if check is not None and metric == "top1" else None
    return majority.mean_over_languages if majority is not None else None


def _has_room(contents: Mapping[str, Content], task: str, metric: str, value: float) -> bool:
    """Return whether a line at this value leaves at least half of the width for the scores."""
    estimates = [estimate for content in contents.values() for _, estimate in content.ranked(task, metric)]
    ends = [end for each in estimates for end in (each.value, each.low, each.high) if end == end]
    low, high = min(ends), max(ends)
    return low - (high - low) <= value <= high + (high - low)


def _caption(contents: Mapping[str, Content], task: str, metric: str, *, hollow: bool) -> str:
    first = next(iter(contents.values()))
    protocol = first.record.plan.protocol
    runs = ", ".join(contents) if len(contents) > 1 else first.record.plan.plugin.name
    parts = [
        f"{first.metric_title(metric)} of {task} by language: {runs} on {protocol.dataset}, {protocol.split} split. "
        "Bars are 95 % intervals."
    ]
    mean: Estimate = first.estimate(task, MACRO, metric)
    if len(contents) == 1 and mean.defined and len(first.languages) > 1:
        parts.append(f"Dashed: mean over languages, {mean}.")
    if (majority := majority_baseline(first, task, metric)) is not None:
        drawn = "Dotted" if _has_room(contents, task, metric, majority) else "Not drawn, since it is far away"
        parts.append(f"{drawn}: always the most frequent training class, {majority:.3f}.")
    if hollow:
        parts.append("Hollow: too few examples or clusters for the interval to be relied on.")
    return " ".join(parts)
