"""The terminal table that a run, ``score`` and ``report`` print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval.metrics.row import ALL, GAP, MACRO, WEIGHTED, WORST
from mmeval.report.content import MAIN_METRICS, Content

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


LABELS = {MACRO: "mean", WEIGHTED: "weighted", WORST: "worst", GAP: "gap", ALL: "pooled"}
"""Labels of the rows below the languages; short, so that the table fits 80 columns."""


def terminal(content: Content) -> RenderableType:
    """Return a table of the first task's scores per language, and a line for each other task and plugin metric."""
    from rich.console import Group
    from rich.table import Table

    from mmeval.console import cell

    task = content.tasks[0]
    first = content.first_metric(task)
    metrics = [metric for metric in content.metrics(task) if metric in MAIN_METRICS]
    protocol = content.record.plan.protocol
    title = f"{content.title}: {task}, {protocol.split} split, {protocol.inputs.value}"
    table = Table(title=cell(title), title_justify="left")
    table.add_column("language", no_wrap=True)
    table.add_column("n", justify="right")
    for metric in metrics:
        table.add_column(content.metric_title(metric), justify="right", no_wrap=True)
        if metric == first:
            table.add_column("95 %", justify="right", style="dim", no_wrap=True)

    # Each column has its own best and worst language; where chance explains the differences there is none.
    colours: dict[str, dict[str, str]] = {metric: {} for metric in metrics}
    for metric in metrics:
        if content.differ(task, metric):
            colours[metric] |= dict.fromkeys(content.best(task, metric), "green")
            colours[metric] |= dict.fromkeys(content.worst(task, metric), "red")

    def row(language: str, label: str, style: str = "") -> None:
        cells: list[str | Text] = []
        for metric in metrics:
            estimate = content.estimate(task, language, metric)
            cells.append(cell(estimate, colours[metric].get(language, "")))
            cells += [estimate.interval] if metric == first else []
        table.add_row(cell(label), f"{content.n(task, language):,}", *cells, style=style)

    for language in content.languages:
        row(language, language)
    table.add_section()
    for key, _ in content.summary_rows:
        row(key, LABELS[key], "bold" if key == MACRO else "")
    # The table has no room for metrics of plugins and for other tasks.
    added = [metric for metric in content.metrics(task) if metric not in MAIN_METRICS]
    lines = [cell(headline, "bold") for headline in content.headlines]
    lines += [cell(_line(content, task, metric)) for metric in added]
    lines += [
        cell(_line(content, other, metric))
        for other in content.tasks[1:]
        for metric in (content.first_metric(other), *added)
        if metric in content.metrics(other)
    ]
    lines += [cell(note, "dim") for note in (*content.mark([first]), *content.gaps)]
    lines += [cell(sentence) for sentence in content.majority]
    lines += [cell(warning, "red") for warning in content.warnings]
    lines += [cell("How to cite (BibTeX is in README.md):", "dim")]
    lines += [cell(f"  {work.title}: {work.text}", "dim") for work in content.citations]
    signature = cell(content.record.plan.signature, "dim")
    signature.overflow = "fold"
    return Group(table, *lines, signature)


def _line(content: Content, task: str, metric: str) -> str:
    mean, worst = content.estimate(task, MACRO, metric), content.estimate(task, WORST, metric)
    start = f"{task}: {content.metric_title(metric)}, mean {mean}"
    if not mean.defined:
        return start
    end = f", worst {worst} ({worst.interval})" if worst.defined and len(content.languages) > 1 else ""
    return f"{start} ({mean.interval}){end}"
