"""The report as a single HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmeval.comparison.sentences import language_name
from mmeval.metrics.row import ALL, MACRO
from mmeval.metrics.shown import KINDS
from mmeval.record import DataCheck
from mmeval.report.analysis import Heat, TaskAnalysis
from mmeval.report.chart import Chart, chart
from mmeval.report.content import Content, Estimate, p_text, short
from mmeval.report.curves import Plot, learning_plots, reliability_plot, risk_plot
from mmeval.report.page import render

LEVELS = 10
"""Shades of a heat map; its cells have the numbers too."""
MANY = 8
"""Tables with at least this many rows have a search field."""
KIND_TITLES = {"mistake": "confident mistake", "unsure": "unsure", "correct": "correct"}


@dataclass(frozen=True)
class TaskView:
    """What the page draws of a task."""

    name: str
    number: int
    """Position of the task, for the ids of its parts."""
    chart: Chart | None
    analysis: TaskAnalysis | None
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class Card:
    """An example of the gallery."""

    row: Mapping[str, Any]
    task: str
    kind: str
    classes: str
    """Numbers of its true and its predicted class in the list of the gallery's classes, separated by ``|``."""


@dataclass(frozen=True)
class Gallery:
    """The examples, and the values by which they can be filtered: keys with titles."""

    cards: tuple[Card, ...]
    filters: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]


def html(content: Content, analyses: Mapping[str, TaskAnalysis] | None = None) -> str:
    """Render the report of a run.

    Args:
        content: record, scores and gallery.
        analyses: what was computed from the predictions, by task; without it, a sentence replaces each part.
    """
    analyses = analyses or {}
    return render(
        "report.html.jinja",
        content=content,
        record=content.record,
        views=[_view(content, task, number, analyses.get(task)) for number, task in enumerate(content.tasks)],
        gallery=gallery(content),
        mistaken=any(each.mistakes for each in analyses.values()),
        learning=learning_plots(content.record),
        check=content.record.data_check,
        languages_table=languages_table(content.record.data_check),
        name_of=language_name,
        shade=shade,
        short=short,
        p_text=p_text,
        interval_of=_interval,
        MACRO=MACRO,
        ALL=ALL,
        MANY=MANY,
        LEVELS=LEVELS,
    )


def _view(content: Content, task: str, number: int, analysis: TaskAnalysis | None) -> TaskView:
    plots = []
    if analysis is not None and analysis.reliability:
        plots.append(reliability_plot(analysis.reliability, multilabel=analysis.multilabel))
    if analysis is not None and analysis.risk is not None:
        plots.append(risk_plot(analysis.risk))
    baseline = analysis.baseline if analysis else None
    return TaskView(task, number, chart(content, task, baseline), analysis, tuple(plots))


def gallery(content: Content) -> Gallery:
    """Return the gallery with its filters; a filter with a single value is left out."""
    first = content.tasks[0] if content.tasks else ""
    rows = [
        dict(row) | {"task": row.get("task") or first, "kind": row.get("kind") or KINDS[0]} for row in content.gallery
    ]
    names = sorted({name for row in rows for name in (row["true"], row["predicted"])})
    number = {name: f"{index}" for index, name in enumerate(names)}
    cards = tuple(
        Card(row, row["task"], row["kind"], "|".join(dict.fromkeys((number[row["true"]], number[row["predicted"]]))))
        for row in rows
    )
    languages = sorted({row["language"] for row in rows}, key=language_name)
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    tasks = [task for task in content.tasks if any(row["task"] == task for row in rows)]
    filters = (
        # A task's name may hold the sign that separates the values of a filter; its position does not.
        ("task", "Task", tuple((f"{content.tasks.index(task)}", task) for task in tasks)),
        ("language", "Language", tuple((code, titled(code)) for code in languages)),
        ("class", "Class, true or predicted", tuple((number[name], name) for name in names)),
        ("kind", "Kind", tuple((kind, KIND_TITLES[kind]) for kind in kinds)),
    )
    return Gallery(cards, tuple(each for each in filters if len(each[2]) > 1))


def titled(code: str) -> str:
    """Return ``Japanese (ja)``, or the code alone for a language without an English name."""
    name = language_name(code)
    return f"{name} ({code})" if name != code else code


def shade(heat: Heat, row: int, column: int) -> str:
    """Return the class of a cell of a heat map, ``h0`` to ``h9`` by its recall; empty for a cell without rows."""
    value = heat.recall[row, column]
    return f"h{min(int(value * LEVELS), LEVELS - 1)}" if value == value else ""


def _interval(interval: Any) -> str:  # noqa: ANN401 - an Interval; a template has no types
    """Return an interval as the tables of scores show theirs."""
    return Estimate(1.0, interval.low, interval.high, 1, bool(interval.reliable), interval.method).interval


def languages_table(check: DataCheck | None) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Return the splits and, for each language, its number of rows in each; empty for older records."""
    if check is None:
        return [], []
    splits = list(dict.fromkeys(split for counts in check.languages.values() for split in counts))
    return splits, [(code, [counts.get(split, 0) for split in splits]) for code, counts in check.languages.items()]


def summary(content: Content, report: Path) -> str:
    """Render the scores per language of the first task as a table for notebooks, with a link to the report."""
    return render("summary.html.jinja", content=content, report=report, MACRO=MACRO)
