"""The table of a benchmark: a row per plugin, with what it makes of each modality alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from mmeval.escaping import code_block, code_span, one_line
from mmeval.escaping import markdown as plain
from mmeval.metrics.scores import MACRO, WORST
from mmeval.protocol import Inputs
from mmeval.report.content import Content, Estimate
from mmeval.studies.bench.entries import Entry

if TYPE_CHECKING:
    from rich.table import Table

FLOOR = "tfidf"
"""The plugin that every other one has to beat."""
METRIC = "top1"
HEADINGS = ("model", "preset", "mean of languages", "95 %", "worst language", "image", "text", "beats both", "train s")


@dataclass
class BenchmarkRow:
    """One plugin."""

    plugin: str
    preset: str
    task: str
    mean: Estimate
    """Mean over languages, of all inputs that the plugin uses."""
    worst: Estimate
    worst_language: str
    seconds: float
    """Fitting and predicting with one seed, on average."""
    signature: str
    baselines: dict[Inputs, Estimate] = field(default_factory=dict)
    """The same mean with one modality alone."""
    floor: Estimate | None = None
    """That of tf-idf, where it was run too."""

    @property
    def beaten_by(self) -> list[str]:
        """Names of the unimodal baselines, and tf-idf, whose mean is at least this model's mean."""
        rivals = {inputs.value: number for inputs, number in self.baselines.items()}
        if self.floor and self.plugin != FLOOR:
            rivals[FLOOR] = self.floor
        return [name for name, number in rivals.items() if number.value >= self.mean.value]

    @property
    def verdict(self) -> str:
        """``yes``, or what it doesn't beat."""
        if self.plugin == FLOOR or not (self.baselines or self.floor):
            return "–"
        return f"no: {', '.join(self.beaten_by)}" if self.beaten_by else "yes"

    def cells(self) -> tuple[str, ...]:
        """As the table shows them."""
        baselines = [str(self.baselines[one]) if one in self.baselines else "–" for one in (Inputs.IMAGE, Inputs.TEXT)]
        worst = f"{self.worst} ({self.worst_language})" if self.worst_language else str(self.worst)
        spent = f"{self.seconds:.0f}"
        return (self.plugin, self.preset, str(self.mean), self.mean.interval, worst, *baselines, self.verdict, spent)


def rows_of(contents: Mapping[Entry, Content]) -> list[BenchmarkRow]:
    """A row per plugin that was run on all its inputs, best first. Scores are of the data set's first task."""
    rows: dict[str, BenchmarkRow] = {}
    # Baselines last: without a run on all inputs there is no row for them, and none may be taken for the model.
    for entry, content in sorted(contents.items(), key=lambda pair: pair[0].is_baseline):
        task = content.tasks[0]
        mean = content.estimate(task, MACRO, METRIC)
        if entry.is_baseline:
            if entry.plugin in rows:
                rows[entry.plugin].baselines[entry.inputs] = mean
            continue
        facts = content.record.seeds.values()
        rows[entry.plugin] = BenchmarkRow(
            plugin=content.record.plan.plugin.name,
            preset=content.record.plan.preset,
            task=task,
            mean=mean,
            worst=content.estimate(task, WORST, METRIC),
            worst_language=content.worst_text(task),
            seconds=sum(one["seconds"] for one in facts) / len(facts),
            signature=content.record.plan.signature,
        )
    floor = next((row.mean for row in rows.values() if row.plugin == FLOOR), None)
    for row in rows.values():
        row.floor = floor
    return sorted(rows.values(), key=lambda row: -row.mean.value)


def markdown(rows: Sequence[BenchmarkRow], failures: Mapping[str, str], command: str) -> str:
    """The page of a benchmark: command, table, signatures, and what failed."""
    title = f"# {plain(rows[0].task)}, top-1" if rows else "# Nothing was run"
    lines = [title, "", *code_block(f"$ {one_line(command)}", "console"), ""]
    lines += [*table_lines(rows), "", *code_block("\n".join(one_line(row.signature) for row in rows)), ""]
    if failures:
        lines += ["Not done:", "", *(f"- {code_span(name)}: {plain(why)}" for name, why in failures.items()), ""]
    return "\n".join(lines)


def table_lines(rows: Sequence[BenchmarkRow]) -> list[str]:
    """The table as Markdown."""
    ruler = ["---", "---", *["---:"] * 5, "---", "---:"]
    return [_line(HEADINGS), f"|{'|'.join(ruler)}|", *(_line(row.cells()) for row in rows)]


def terminal(rows: Sequence[BenchmarkRow]) -> Table:
    """The table as a person sees it in a terminal."""
    from rich.table import Table

    from mmeval.console import cell

    table = Table(title=cell(f"{rows[0].task}, top-1"), title_justify="left")
    # What fits 80 columns; the page has it all.
    shown = {0: "model", 2: "mean", 3: "95 %", 4: "worst", 5: "image", 6: "text", 7: "beats both"}
    for number, heading in shown.items():
        table.add_column(heading, justify="left" if number in (0, 7) else "right", no_wrap=number < 7)
    for row in rows:
        table.add_row(*(cell(row.cells()[number]) for number in shown))
    return table


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"


def html(rows: Sequence[BenchmarkRow], failures: Mapping[str, str]) -> str:
    """The table as HTML, for a notebook."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(one_line(cell))}</td>' for cell in row.cells())}</tr>" for row in rows)
    failed = "".join(f"<p>{escape(one_line(f'Not done: {name}: {why}'))}</p>" for name, why in failures.items())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{failed}"
