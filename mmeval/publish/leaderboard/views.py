"""The pages of a leaderboard: an index, a page per data set and a page per language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.sentences import headline, language_name, limits
from mmeval.data.reading.text import without_folders
from mmeval.metrics.catalogue import title as title_of
from mmeval.metrics.row import MACRO
from mmeval.publish.leaderboard.runs import Entry, slugs
from mmeval.publish.leaderboard.tables import Table, TaskResults
from mmeval.report.axis import Axis, linear
from mmeval.report.comparison import ties
from mmeval.report.comparison_page import MOST_TIED
from mmeval.report.model_cells import COST_HEADINGS, Cell, ScoreCell, cost_cells, plots
from mmeval.report.page import render
from mmeval.report.scatter import Point, Scatter

PACKAGE = "mmeval.publish.leaderboard"
INDEX, CSV_FILE, JSON_FILE = "index.html", "leaderboard.csv", "leaderboard.json"
MOST_CHART_ROWS = 40


@dataclass(frozen=True)
class Row:
    """A run in a table."""

    entry: Entry
    label: str
    """The model, with the name of the run where the table has the model more than once."""
    model: str
    """The slug of the model, for filters."""
    mean: ScoreCell
    languages: list[ScoreCell]
    cost: list[Cell]

    @property
    def seeds(self) -> int:
        """The number of training seeds."""
        return len(self.entry.record.plan.protocol.seeds)


@dataclass(frozen=True)
class TaskSection:
    """A task of a table."""

    results: TaskResults
    metric: str
    rows: list[Row]
    languages: list[tuple[str, str, int]]
    """Code, name and number of rows of each language."""
    headline: str
    ties: list[str]
    notes: list[str]
    plots: list[tuple[str, Scatter]]

    @property
    def name(self) -> str:
        """The task."""
        return self.results.task


@dataclass(frozen=True)
class TableSection:
    """A table on the pages."""

    table: Table
    id: str
    dataset: str
    """The slug of its data set, also of the page."""
    inputs: str
    track: str
    languages: str
    """The slugs of its languages, separated by ``|``."""
    tasks: list[TaskSection]

    @property
    def facts(self) -> str:
        """Split, label policy, limit and fingerprint."""
        protocol = self.table.protocol
        parts = [f"{protocol.split} split"]
        parts += [f"labels: {protocol.labels}"] if protocol.labels != "all" else []
        parts += [f"limit: {protocol.limit} examples of each split, a trial"] if protocol.limit else []
        return " · ".join([*parts, f"data {protocol.fingerprint[:8]}"])


@dataclass(frozen=True)
class LanguageRow:
    """A run on the page of a language."""

    row: Row
    score: ScoreCell
    dot: float
    low: float
    high: float


@dataclass(frozen=True)
class LanguageTask:
    """A task of a table on the page of a language."""

    section: TaskSection
    rows: list[LanguageRow]
    axis: Axis
    n: int


class Site:
    """The content of a leaderboard's pages."""

    def __init__(self, title: str, tables: Sequence[Table], left_out: Sequence[str]) -> None:
        """Name the file of each data set and language, and build the sections."""
        self.title, self.tables, self.left_out = title, tables, left_out
        datasets = list(dict.fromkeys(table.protocol.dataset for table in tables))
        codes = sorted({code for table in tables for task in table.tasks for code in task.languages})
        models = sorted({entry.model for table in tables for entry in table.entries})
        self.datasets, self.languages, self.models = slugs(datasets), slugs(codes), slugs(models)
        self.sections = [self._section(number, table) for number, table in enumerate(tables, 1)]

    @cached_property
    def entries(self) -> list[Entry]:
        """All runs that stand in a table, each once."""
        return list({entry.digest: entry for table in self.tables for entry in table.entries}.values())

    @property
    def names(self) -> list[str]:
        """The paths of the pages."""
        datasets = (f"datasets/{name}.html" for name in self.datasets.values())
        return [INDEX, *datasets, *(f"languages/{name}.html" for name in self.languages.values())]

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the content of each page."""
        shared: dict[str, Any] = {
            "site": self,
            "language_name": language_name,
            "cost_headings": COST_HEADINGS,
            "csv": CSV_FILE,
            "json": JSON_FILE,
        }
        inputs = sorted({(section.inputs, section.table.protocol.inputs.value) for section in self.sections})
        tracks = sorted({(section.track, section.table.protocol.track) for section in self.sections})
        options = [
            ("dataset", "Data set", sorted((name, text) for text, name in self.datasets.items())),
            ("language", "Language", [(name, language_name(code)) for code, name in self.languages.items()]),
            ("inputs", "Inputs", inputs),
            ("track", "Track", tracks),
            ("model", "Model", sorted((name, text) for text, name in self.models.items())),
        ]
        filters = [each for each in options if len(each[2]) > 1]
        yield INDEX, render("index.html.jinja", PACKAGE, **shared, root="", filters=filters)
        shared["root"] = "../"
        for text, name in self.datasets.items():
            sections = [section for section in self.sections if section.dataset == name]
            facts = _facts(sections)
            page = render("dataset.html.jinja", PACKAGE, **shared, dataset=text, sections=sections, facts=facts)
            yield f"datasets/{name}.html", page
        for code, name in self.languages.items():
            parts = [(section, self._in_language(section, code)) for section in self.sections]
            shown = [(section, tasks) for section, tasks in parts if tasks]
            page = render("language.html.jinja", PACKAGE, **shared, code=code, sections=shown, most=MOST_CHART_ROWS)
            yield f"languages/{name}.html", page

    def _section(self, number: int, table: Table) -> TableSection:
        protocol = table.protocol
        codes = dict.fromkeys(code for task in table.tasks for code in task.languages)
        return TableSection(
            table=table,
            id=f"table-{number}",
            dataset=self.datasets[protocol.dataset],
            inputs=slugs([protocol.inputs.value])[protocol.inputs.value],
            track=slugs([protocol.track])[protocol.track],
            languages="|".join(self.languages[code] for code in codes),
            tasks=[self._task(task) for task in table.tasks],
        )

    def _task(self, results: TaskResults) -> TaskSection:
        labels = labels_of(results.entries)
        rows = [self._row(entry, results, labels) for entry in results.entries]
        comparison = published(results.comparison, labels) if results.comparison else None
        first = results.entries[0].content
        points = [
            (
                Point(row.label, None, row.mean.estimate.value, row.mean.estimate.low, row.mean.estimate.high),
                row.entry.record.efficiency,
                row.seeds,
            )
            for row in rows
        ]
        return TaskSection(
            results=results,
            metric=title_of(results.metric),
            rows=rows,
            languages=[
                (code, language_name(code), first.estimate(results.task, code, results.metric).n)
                for code in results.languages
            ],
            headline=headline(comparison) if comparison else "",
            ties=ties(comparison) if comparison and 2 < len(comparison.runs) <= MOST_TIED else [],
            notes=[without_folders(line) for line in (limits(comparison) if comparison else [])] + results.left_out,
            plots=plots(points, lower_is_better=bool(comparison and comparison.lower_is_better)),
        )

    def _row(self, entry: Entry, results: TaskResults, labels: Mapping[str, str]) -> Row:
        return Row(
            entry=entry,
            label=labels[entry.digest],
            model=self.models[entry.model],
            mean=score(entry, results, None),
            languages=[score(entry, results, code) for code in results.languages],
            cost=cost_cells(entry.record.efficiency, len(entry.record.plan.protocol.seeds)),
        )

    def _in_language(self, section: TableSection, code: str) -> list[LanguageTask]:
        tasks = []
        for task in section.tasks:
            if code not in task.results.languages:
                continue
            scores = {row.entry.digest: score(row.entry, task.results, code) for row in task.rows}
            axis = linear(
                end for each in scores.values() for end in (each.estimate.low, each.estimate.high, each.estimate.value)
            )
            order = list(task.results.by_language.get(code, scores))
            rows = {row.entry.digest: row for row in task.rows}
            made = []
            for digest in order:
                estimate = scores[digest].estimate
                ends = [end if end == end else estimate.value for end in (estimate.value, estimate.low, estimate.high)]
                made.append(LanguageRow(rows[digest], scores[digest], *map(axis.at, ends)))
            tasks.append(LanguageTask(task, made, axis, max(each.estimate.n for each in scores.values())))
        return tasks


def score(entry: Entry, results: TaskResults, language: str | None) -> ScoreCell:
    """Return the score of a run in a language, or in the mean over languages for None."""
    places = results.places if language is None else results.by_language.get(language, {})
    estimate = entry.content.estimate(results.task, language or MACRO, results.metric)
    return ScoreCell.of(estimate, entry.digest, places)


def labels_of(entries: Sequence[Entry]) -> dict[str, str]:
    """Return how a table calls each run, by digest: by its model, and by more if the table has it several times."""
    labels: dict[str, str] = {}
    for entry in entries:
        same_model = [other for other in entries if other.model == entry.model]
        same_name = [other for other in same_model if other.name == entry.name]
        label = entry.model if len(same_model) == 1 else f"{entry.model} ({entry.name})"
        labels[entry.digest] = label if len(same_name) == 1 else f"{label[:-1]}, {entry.digest[:8]})"
    return labels


def published(comparison: Comparison, labels: Mapping[str, str]) -> Comparison:
    """Return a comparison that calls its runs by the labels of a table."""
    return comparison.renamed({run.name: labels[run.name] for run in comparison.runs})


def _facts(sections: Sequence[TableSection]) -> list[tuple[str, str]]:
    """Return names and values that describe a data set, from the record of a run that mmeval trained, if any."""
    entries = [entry for section in sections for entry in section.table.entries]
    trained = next((entry for entry in entries if not entry.is_external), None)
    if trained is None:
        return []
    data = trained.record.data
    facts = [("data", data.get("summary")), ("licence", data.get("licence")), ("credit", data.get("credit"))]
    return [(name, without_folders(str(value))) for name, value in facts if value]
