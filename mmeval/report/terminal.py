"""The table at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval.metrics.scores import ALL, GAP, MACRO, METRICS, WORST
from mmeval.report.content import Content

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal(content: Content) -> RenderableType:
    """Scores per language of the first task, with intervals, and a line for each other task."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    task = content.tasks[0]
    best, worst = content.extremes(task)
    table = Table(
        title=f"{content.title}: {task}, {content.record.plan.protocol.split} split, "
        f"{content.record.plan.protocol.inputs.value}",
        title_justify="left",
    )
    table.add_column("language", no_wrap=True)
    table.add_column("n", justify="right")
    for metric in METRICS:
        table.add_column(content.metric_title(metric), justify="right", no_wrap=True)
        if metric == "top1":
            table.add_column("95 %", justify="right", style="dim", no_wrap=True)

    def row(language: str, label: str, style: str = "") -> None:
        cells = []
        for metric in METRICS:
            number = content.number(task, language, metric)
            cells += [str(number), number.interval] if metric == "top1" else [str(number)]
        table.add_row(label, f"{content.number(task, language, 'top1').n:,}", *cells, style=style)

    for language in content.languages:
        row(language, language, "green" if language == best else "red" if language == worst else "")
    table.add_section()
    # Short labels, so that the table fits 80 columns.
    row(MACRO, "mean of all", "bold")
    row(WORST, "worst")
    row(GAP, "gap")
    row(ALL, "all as one")
    # What the table has no room for.
    added = [metric for metric in content.metrics if metric not in METRICS]
    others = [Text(_line(content, task, metric)) for metric in added]
    others += [Text(_line(content, other, metric)) for other in content.tasks[1:] for metric in ("top1", *added)]
    others += [Text(warning, style="red") for warning in content.warnings]
    return Group(table, *others, Text(content.record.plan.signature, style="dim", overflow="fold"))


def _line(content: Content, task: str, metric: str) -> str:
    mean, worst = content.number(task, MACRO, metric), content.number(task, WORST, metric)
    name = f"{task}: {content.metric_title(metric)} mean of all"
    if not mean.defined:
        return f"{name} {mean}"
    return f"{name} {mean} ({mean.interval}), worst {worst} ({worst.interval})"
