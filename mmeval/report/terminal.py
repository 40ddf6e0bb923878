"""The table at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval.metrics.scores import ALL, GAP, MACRO, METRICS, WORST
from mmeval.report.content import Content

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


LABELS = {MACRO: "mean of all", WORST: "worst", GAP: "gap", ALL: "all as one"}
"""Short, so that the table fits 80 columns."""


def terminal(content: Content) -> RenderableType:
    """Scores per language of the first task, with intervals, and a line for each other task."""
    from rich.console import Group
    from rich.table import Table

    from mmeval.console import cell

    task = content.tasks[0]
    protocol = content.record.plan.protocol
    title = f"{content.title}: {task}, {protocol.split} split, {protocol.inputs.value}"
    table = Table(title=cell(title), title_justify="left")
    table.add_column("language", no_wrap=True)
    table.add_column("n", justify="right")
    for metric in METRICS:
        table.add_column(content.metric_title(metric), justify="right", no_wrap=True)
        if metric == "top1":
            table.add_column("95 %", justify="right", style="dim", no_wrap=True)

    # Each column has a best and a worst language of its own.
    colours = {metric: dict.fromkeys(content.best(task, metric), "green") for metric in METRICS}
    for metric, colour in colours.items():
        colour |= dict.fromkeys(content.worst(task, metric), "red")

    def row(language: str, label: str, style: str = "") -> None:
        cells: list[str | Text] = []
        for metric in METRICS:
            number = content.number(task, language, metric)
            cells.append(cell(number, colours[metric].get(language, "")))
            cells += [number.interval] if metric == "top1" else []
        table.add_row(cell(label), f"{content.number(task, language, 'top1').n:,}", *cells, style=style)

    for language in content.languages:
        row(language, language)
    table.add_section()
    for view, _ in content.views:
        row(view, LABELS[view], "bold" if view == MACRO else "")
    # What the table has no room for.
    added = [metric for metric in content.metrics if metric not in METRICS]
    others = [cell(_line(content, task, metric)) for metric in added]
    others += [cell(_line(content, other, metric)) for other in content.tasks[1:] for metric in ("top1", *added)]
    others += [cell(note, "dim") for note in content.notes]
    others += [cell(line) for line in content.majority]
    others += [cell(warning, "red") for warning in content.warnings]
    signature = cell(content.record.plan.signature, "dim")
    signature.overflow = "fold"
    return Group(table, *others, signature)


def _line(content: Content, task: str, metric: str) -> str:
    mean, worst = content.number(task, MACRO, metric), content.number(task, WORST, metric)
    name = f"{task}: {content.metric_title(metric)} mean of all"
    if not mean.defined:
        return f"{name} {mean}"
    last = f", worst {worst} ({worst.interval})" if worst.defined and len(content.languages) > 1 else ""
    return f"{name} {mean} ({mean.interval}){last}"
