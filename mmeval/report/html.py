"""The report as a single HTML file."""

from __future__ import annotations

from pathlib import Path

from mmeval.metrics.row import ALL, MACRO
from mmeval.report.chart import chart
from mmeval.report.content import Content
from mmeval.report.page import render


def html(content: Content) -> str:
    """Render the report of a run."""
    return render(
        "report.html.jinja",
        content=content,
        record=content.record,
        charts={task: chart(content, task) for task in content.tasks},
        MACRO=MACRO,
        ALL=ALL,
    )


def summary(content: Content, report: Path) -> str:
    """Render the scores per language of the first task as a table for notebooks, with a link to the report."""
    return render("summary.html.jinja", content=content, report=report, MACRO=MACRO)
