"""Figure: two runs by their differences per language, or several runs by their means with groups of ties."""

from __future__ import annotations

from collections.abc import Mapping

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.sentences import language_name
from mmeval.data.power import ALPHA
from mmeval.metrics.catalogue import title as title_of
from mmeval.metrics.row import MACRO
from mmeval.report.comparison import CORRECTIONS, tie_sets
from mmeval.report.content import Content
from mmeval.report.figures.style import COLOURS, FONT_POINTS, GREY, ROW_MM, Drawn, grid, label, new_figure


def comparison(compared: Comparison, contents: Mapping[str, Content], labels: Mapping[str, str], width: float) -> Drawn:
    """Draw a comparison.

    Args:
        compared: the comparison of all pairs of the runs.
        contents: the contents of the runs' reports by their names in the comparison.
        labels: a short label for each run.
        width: width of the figure in millimetres.
    """
    if len(compared.runs) == 2:
        return _differences(compared, labels, width)
    return _means(compared, contents, labels, width)


def _differences(compared: Comparison, labels: Mapping[str, str], width: float) -> Drawn:
    """Draw A minus B in each language and on average; filled dots are significant after Holm's correction."""
    a, b = labels[compared.a], labels[compared.b]
    pair = compared.pairs[0]
    rows = [
        (f"{language_name(each.language)} ({each.language})", each.difference, each.low, each.high, each.p_adjusted)
        for each in sorted(compared.languages, key=lambda each: -each.difference)
    ]
    if len(rows) > 1:
        rows.append(("mean over languages", pair.mean.difference, pair.mean.low, pair.mean.high, pair.p_adjusted))
    figure = new_figure(width, ROW_MM * len(rows) + 21)
    axes = figure.add_subplot()
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    for row, (_, value, low, high, p) in enumerate(rows):
        colour = COLOURS[0] if p < ALPHA else GREY
        axes.plot([low, high], [row, row], color=colour, linewidth=1.0, zorder=2)
        face = colour if p < ALPHA else "white"
        marker = "D" if len(rows) > 1 and row == len(rows) - 1 else "o"
        axes.plot(value, row, marker, color=colour, markerfacecolor=face, zorder=3)
    if len(rows) > 1:
        axes.axhline(len(rows) - 1.5, color="#BFBFBF", linewidth=0.5)
    axes.set_yticks(range(len(rows)), [label(name) for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    side = "left" if compared.lower_is_better else "right"
    metric = label(title_of(compared.metric))
    figure.supxlabel(f"difference in {metric}\n({side} of 0: {label(a)} better)", fontsize=FONT_POINTS)
    axes.set_title(f"{label(a)} minus {label(b)}", loc="left")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    grid(axes, "x")
    correction = CORRECTIONS[compared.correction]
    caption = (
        f"{title_of(compared.metric)} of {compared.task}: {a} minus {b}, with 95 % intervals. Filled: significant "
        f"(paired tests of whole clusters, {correction} over languages, p < .05); hollow: the data can't tell."
    )
    return Drawn(figure, caption, f"{a} minus {b}")


def _means(compared: Comparison, contents: Mapping[str, Content], labels: Mapping[str, str], width: float) -> Drawn:
    """Draw the mean over languages of each run, best on top; bars at the right join runs that can't be told apart."""
    sign = 1 if compared.lower_is_better else -1
    runs = sorted(compared.runs, key=lambda run: sign * run.value)
    order = [run.name for run in runs]
    groups = tie_sets(compared)
    figure = new_figure(width, ROW_MM * 1.15 * len(runs) + 16)
    bars_mm = 2.5 * len(groups)
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(width - 30 - bars_mm, max(bars_mm, 1)))
    for row, run in enumerate(runs):
        estimate = contents[run.name].estimate(compared.task, MACRO, compared.metric)
        if estimate.low == estimate.low:
            axes.plot([estimate.low, estimate.high], [row, row], color=COLOURS[0], linewidth=1.0, zorder=2)
        face = COLOURS[0] if estimate.reliable else "white"
        axes.plot(run.value, row, "o", color=COLOURS[0], markerfacecolor=face, zorder=3)
        axes.annotate(
            f"{run.value:.3f}",
            (run.value, row),
            xytext=(0, 3.5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.0,
        )
    for number, group in enumerate(groups):
        top, bottom = order.index(group[0]), order.index(group[-1])
        ends = [top - 0.25, bottom + 0.25]
        beside.plot([number, number], ends, color="black", linewidth=2.0, solid_capstyle="butt")
    beside.set_xlim(-0.6, max(len(groups) - 0.4, 0.6))
    beside.set_axis_off()
    axes.set_yticks(range(len(runs)), [label(labels[name]) for name in order])
    axes.set_ylim(len(runs) - 0.4, -0.8)
    figure.supxlabel(f"mean over languages of {label(title_of(compared.metric))}", fontsize=FONT_POINTS)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    grid(axes, "x")
    caption = f"Mean over languages of {title_of(compared.metric)} of {compared.task}, with 95 % intervals. "
    caption += (
        "Black bars join models that can't be told apart (paired tests of whole clusters, Holm over all pairs)."
        if groups
        else "All models differ significantly (paired tests of whole clusters, Holm over all pairs)."
    )
    return Drawn(figure, caption, "Comparison")
