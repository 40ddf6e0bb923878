"""The page of a benchmark: models by languages for every task, their baselines, and their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.sentences import headline, language_name
from mmeval.comparison.standings import Standing, standings
from mmeval.data.reading.text import without_folders
from mmeval.metrics.catalogue import title as title_of
from mmeval.metrics.row import MACRO
from mmeval.report.comparison import ties
from mmeval.report.comparison_page import MOST_TIED
from mmeval.report.content import Content
from mmeval.report.model_cells import COST_HEADINGS, Cell, ScoreCell, cost_cells, plots
from mmeval.report.page import render
from mmeval.report.scatter import Point, Scatter


@dataclass(frozen=True)
class BenchRun:
    """A finished run of a benchmark."""

    name: str
    """The name of the run folder, which the comparison uses, too."""
    model: str
    content: Content
    link: str
    """The relative path of its report; empty if it has none."""
    is_baseline: bool = False
    """Whether this is a unimodal baseline: the model, trained on images alone or on texts alone."""

    @property
    def inputs(self) -> str:
        """The inputs of the model."""
        return self.content.record.plan.protocol.inputs.value


@dataclass(frozen=True)
class BenchTask:
    """The results of a benchmark in one task."""

    task: str
    comparison: Comparison | None
    """All pairs of the models; None with fewer than two models."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """Whether each model beats its baselines, by the name of the run folder."""


@dataclass(frozen=True)
class Row:
    """A run in the table of models by languages."""

    run: BenchRun
    mean: ScoreCell
    languages: list[ScoreCell]
    verdict: str
    cost: list[Cell]


@dataclass(frozen=True)
class TaskTable:
    """The table of one task."""

    task: str
    metric: str
    headline: str
    ties: list[str]
    languages: list[tuple[str, str, int]]
    """Code, name and number of rows of each language."""
    rows: list[Row]
    plots: list[tuple[str, Scatter]]
    majority: str
    """A sentence about the score of always predicting the most frequent class; empty if unknown."""


def page(
    runs: Sequence[BenchRun],
    tasks: Sequence[BenchTask],
    *,
    command: str,
    notes: Sequence[str] = (),
    failures: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a benchmark as HTML.

    Args:
        runs: the finished runs, models and baselines.
        tasks: the results by task.
        command: the command line that repeats the benchmark.
        notes: sentences about the ranks.
        failures: reasons why runs are missing, by the name of the run folder.
    """
    first = runs[0].content
    protocol = first.record.plan.protocol
    # The sentences about models that can't be told apart stand in the tab of their task.
    return render(
        "bench.html.jinja",
        dataset=protocol.dataset,
        protocol=protocol,
        languages=len(first.languages),
        seeds=first.seeds_text,
        models=sum(not run.is_baseline for run in runs),
        tables=[_table(task, [run for run in runs if task.task in run.content.tasks]) for task in tasks],
        baselines=any(run.is_baseline for run in runs),
        notes=[without_folders(line) for line in notes],
        failures={name: without_folders(reason) for name, reason in (failures or {}).items()},
        command=command,
        cost_headings=COST_HEADINGS,
    )


def _table(task: BenchTask, runs: Sequence[BenchRun]) -> TaskTable:
    comparison = task.comparison
    metric = comparison.metric if comparison else runs[0].content.first_metric(task.task)
    codes = list(dict.fromkeys(code for run in runs for code in run.content.languages))
    places = {place.run: place for place in standings(comparison)} if comparison else {}
    by_language = {code: _places(comparison, code) for code in codes}
    rows = [_row(run, task, metric, places, by_language) for run in runs]
    order = list(places)
    rows.sort(key=lambda row: order.index(row.run.name) if row.run.name in places else len(order))
    counted = runs[0].content
    models = [row for row in rows if not row.run.is_baseline]
    points = [
        (
            Point(row.run.model, None, row.mean.estimate.value, row.mean.estimate.low, row.mean.estimate.high),
            row.run.content.record.efficiency,
            len(row.run.content.record.plan.protocol.seeds),
        )
        for row in models
    ]
    return TaskTable(
        task=task.task,
        metric=title_of(metric),
        headline=headline(comparison) if comparison else "",
        ties=ties(comparison) if comparison and len(comparison.runs) <= MOST_TIED else [],
        languages=[(code, language_name(code), counted.estimate(task.task, code, metric).n) for code in codes],
        rows=rows,
        plots=plots(points, lower_is_better=bool(comparison and comparison.lower_is_better)),
        majority=_majority(runs, task.task, metric),
    )


def _majority(runs: Sequence[BenchRun], task: str, metric: str) -> str:
    checks = [run.content.record.data_check for run in runs]
    known = next((check.majority[task] for check in checks if check and task in check.majority), None)
    if known is None or metric != "top1":
        return ""
    return (
        f"Always predicting the most frequent training class, {known.label}, has a mean of "
        f"{known.mean_over_languages:.3f}."
    )


def _places(comparison: Comparison | None, language: str) -> dict[str, Standing]:
    """Return the place of each run in a language; empty if the comparison lacks the language."""
    if comparison is None or language not in comparison.runs[0].languages:
        return {}
    return {place.run: place for place in standings(comparison, language)}


def _row(
    run: BenchRun,
    task: BenchTask,
    metric: str,
    places: Mapping[str, Standing],
    by_language: Mapping[str, Mapping[str, Standing]],
) -> Row:
    record, estimate = run.content.record, run.content.estimate
    return Row(
        run=run,
        mean=ScoreCell.of(estimate(task.task, MACRO, metric), run.name, places),
        languages=[
            ScoreCell.of(estimate(task.task, code, metric), run.name, of_language)
            for code, of_language in by_language.items()
        ],
        verdict=task.verdicts.get(run.name, ""),
        cost=cost_cells(record.efficiency, len(record.plan.protocol.seeds)),
    )
