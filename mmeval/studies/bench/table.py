"""The table of a benchmark: one row per plugin, with its score and its unimodal baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from mmeval.escaping import code_block, code_span, one_line
from mmeval.escaping import markdown as plain
from mmeval.metrics.row import MACRO, WORST
from mmeval.protocol import Inputs
from mmeval.report.content import Content, Estimate
from mmeval.studies.bench.entries import Entry

if TYPE_CHECKING:
    from rich.table import Table

FLOOR = "tfidf"
"""The plugin that serves as a baseline for all others."""
HEADINGS = (
    "model",
    "preset",
    "mean over languages",
    "95 %",
    "worst language",
    "image",
    "text",
    "beats baselines",
    "train (s)",
)


@dataclass
class BenchmarkRow:
    """The scores of one plugin on the first task, and the baselines that it is compared with."""

    plugin: str
    preset: str
    task: str
    mean: Estimate
    """Mean over languages of the metric, with all inputs that the plugin uses."""
    worst: Estimate
    worst_language: str
    seconds: float
    """Duration of training and prediction in seconds, the mean over seeds."""
    signature: str
    baselines: dict[Inputs, Estimate] = field(default_factory=dict)
    """Mean over languages of the unimodal baselines."""
    floor: Estimate | None = None
    """Mean over languages of tf-idf, if it is part of the benchmark."""
    metric: str = "top-1"
    """Title of the metric: ``top-1``, or ``mAP`` for a multi-label task."""

    @property
    def beaten_by(self) -> list[str]:
        """Names of the baselines (unimodal ones and tf-idf) whose mean is at least this model's mean."""
        rivals = {inputs.value: estimate for inputs, estimate in self.baselines.items()}
        if self.floor and self.plugin != FLOOR:
            rivals[FLOOR] = self.floor
        return [name for name, estimate in rivals.items() if estimate.value >= self.mean.value]

    @property
    def verdict(self) -> str:
        """``yes`` if the model beats its baselines, ``no`` with the others, a dash without baselines."""
        if self.plugin == FLOOR or not (self.baselines or self.floor):
            return "–"
        return f"no: {', '.join(self.beaten_by)}" if self.beaten_by else "yes"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row, in the order of ``HEADINGS``."""
        baselines = [str(self.baselines.get(inputs, "–")) for inputs in (Inputs.IMAGE, Inputs.TEXT)]
        worst = f"{self.worst} ({self.worst_language})" if self.worst_language else str(self.worst)
        seconds = f"{self.seconds:.0f}"
        return (self.plugin, self.preset, str(self.mean), self.mean.interval, worst, *baselines, self.verdict, seconds)


def rows_of(contents: Mapping[Entry, Content]) -> list[BenchmarkRow]:
    """Return the rows of the benchmark's table, best mean first.

    A plugin has a row if its run on all its inputs is finished; its unimodal baselines fill cells of that row. Scores
    are of the data set's first task.

    Args:
        contents: the report content of each finished run.
    """
    rows: dict[str, BenchmarkRow] = {}
    # Baselines come last, because they only fill cells in the rows of their models.
    for entry, content in sorted(contents.items(), key=lambda pair: pair[0].is_baseline):
        task = content.tasks[0]
        metric = content.first_metric(task)
        mean = content.estimate(task, MACRO, metric)
        if entry.is_baseline:
            if entry.plugin in rows:
                rows[entry.plugin].baselines[entry.inputs] = mean
            continue
        facts = content.record.seeds.values()
        rows[entry.plugin] = BenchmarkRow(
            plugin=content.record.plan.plugin.name,
            preset=content.record.plan.preset,
            task=task,
            metric=content.metric_title(metric),
            mean=mean,
            worst=content.estimate(task, WORST, metric),
            worst_language=content.worst_text(task),
            seconds=sum(each["seconds"] for each in facts) / len(facts),
            signature=content.record.plan.signature,
        )
    floor = next((row.mean for row in rows.values() if row.plugin == FLOOR), None)
    for row in rows.values():
        row.floor = floor
    return sorted(rows.values(), key=lambda row: -row.mean.value)


def markdown(rows: Sequence[BenchmarkRow], failures: Mapping[str, str], command: str) -> str:
    """Return the page of a benchmark as Markdown: command, table, signatures and failures."""
    title = f"# {plain(rows[0].task)}, {rows[0].metric}" if rows else "# No finished run"
    lines = [title, "", *code_block(f"$ {one_line(command)}", "console"), ""]
    lines += [*table_lines(rows), "", *code_block("\n".join(one_line(row.signature) for row in rows)), ""]
    if failures:
        lines += ["Failed:", "", *(f"- {code_span(name)}: {plain(reason)}" for name, reason in failures.items()), ""]
    return "\n".join(lines)


def table_lines(rows: Sequence[BenchmarkRow]) -> list[str]:
    """Return the table as lines of Markdown."""
    ruler = ["---", "---", *["---:"] * 5, "---", "---:"]
    return [_line(HEADINGS), f"|{'|'.join(ruler)}|", *(_line(row.cells()) for row in rows)]


def terminal(rows: Sequence[BenchmarkRow]) -> Table:
    """Return the table for the terminal, with the columns that fit 80 characters."""
    from rich.table import Table

    from mmeval.console import cell

    table = Table(title=cell(f"{rows[0].task}, {rows[0].metric}"), title_justify="left")
    # The Markdown page has all columns.
    shown = {0: "model", 2: "mean", 3: "95 %", 4: "worst", 5: "image", 6: "text", 7: "beats baselines"}
    for number, heading in shown.items():
        table.add_column(heading, justify="left" if number in (0, 7) else "right", no_wrap=number < 7)
    for row in rows:
        table.add_row(*(cell(row.cells()[number]) for number in shown))
    return table


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"


def html(rows: Sequence[BenchmarkRow], failures: Mapping[str, str]) -> str:
    """Return the table as HTML, for a notebook."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(one_line(cell))}</td>' for cell in row.cells())}</tr>" for row in rows)
    failed = "".join(f"<p>{escape(one_line(f'Failed: {name}: {reason}'))}</p>" for name, reason in failures.items())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{failed}"
