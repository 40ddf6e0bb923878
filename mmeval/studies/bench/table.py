"""The table of a benchmark: one row per plugin, with its score, its rank and its unimodal baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from mmeval.comparison.ranks import RankRange
from mmeval.escaping import code_block, code_span, one_line
from mmeval.escaping import markdown as plain
from mmeval.protocol import Inputs
from mmeval.record import Efficiency
from mmeval.report.content import Estimate
from mmeval.report.efficiency import cells

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = (
    "model",
    "inputs",
    "preset",
    "rank",
    "mean over languages",
    "95 %",
    "worst language",
    "image",
    "text",
    "beats baselines",
    "parameters",
    "FLOPs/example",
    "examples/s",
    "train (s)",
)


@dataclass
class Verdict:
    """How a model compares with its baselines: paired tests on the mean over languages, Holm over the baselines."""

    beaten: list[str] = field(default_factory=list)
    """Baselines that the model is significantly better than."""
    beaten_by: list[str] = field(default_factory=list)
    """Baselines that are significantly better than the model."""
    undecided: list[str] = field(default_factory=list)
    """Baselines that can't be told from the model."""

    def __str__(self) -> str:
        """Return ``yes`` if the model beats all its baselines, otherwise the others; a dash without baselines."""
        parts = [f"no: {', '.join(self.beaten_by)}"] if self.beaten_by else []
        parts += [f"can't tell: {', '.join(self.undecided)}"] if self.undecided else []
        return "; ".join(parts) or ("yes" if self.beaten else "–")


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
    efficiency: Efficiency | None = None
    """Size, cost and speed, if the record of the run has them."""
    inputs: Inputs = Inputs.IMAGE_TEXT
    """All inputs that the plugin uses."""
    baselines: dict[Inputs, Estimate] = field(default_factory=dict)
    """Mean over languages of the unimodal baselines."""
    rank: RankRange | None = None
    """The ranks that the model may have; models that can't be told apart share ranks."""
    beaten: list[str] = field(default_factory=list)
    """Baselines that the model is significantly better than: paired test on the mean over languages, Holm over the
    baselines of the model."""
    beaten_by: list[str] = field(default_factory=list)
    """Baselines that are significantly better than the model."""
    undecided: list[str] = field(default_factory=list)
    """Baselines that can't be told from the model."""
    metric: str = "top-1"
    """Title of the metric: ``top-1``, or ``mAP`` for a multi-label task."""

    @property
    def verdict(self) -> str:
        """``yes`` if the model beats all its baselines, otherwise the others; a dash without baselines."""
        return str(Verdict(self.beaten, self.beaten_by, self.undecided))

    @property
    def ranks(self) -> str:
        """The rank as ``1`` or ``1–3``."""
        if self.rank is None:
            return "–"
        best, worst = self.rank
        return str(best) if best == worst else f"{best}–{worst}"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row, in the order of ``HEADINGS``."""
        baselines = [str(self.baselines.get(inputs, "–")) for inputs in (Inputs.IMAGE, Inputs.TEXT)]
        worst = f"{self.worst} ({self.worst_language})" if self.worst_language else str(self.worst)
        start = (self.plugin, self.inputs.value, self.preset, self.ranks, str(self.mean), self.mean.interval, worst)
        return (*start, *baselines, self.verdict, *cells(self.efficiency)[:3], f"{self.seconds:.0f}")


def markdown(rows: Sequence[BenchmarkRow], failures: Mapping[str, str], command: str, notes: Sequence[str] = ()) -> str:
    """Return the page of a benchmark as Markdown: command, table, notes, signatures and failures."""
    title = f"# {plain(rows[0].task)}, {rows[0].metric}" if rows else "# No finished run"
    lines = [title, "", *code_block(f"$ {one_line(command)}", "console"), ""]
    lines += [*table_lines(rows), "", *(line for text in notes for line in (plain(text), ""))]
    lines += [*code_block("\n".join(one_line(row.signature) for row in rows)), ""]
    if failures:
        lines += ["Failed:", "", *(f"- {code_span(name)}: {plain(reason)}" for name, reason in failures.items()), ""]
    return "\n".join(lines)


def table_lines(rows: Sequence[BenchmarkRow]) -> list[str]:
    """Return the table as lines of Markdown."""
    ruler = ["---", "---", "---", *["---:"] * 6, "---", *["---:"] * 4]
    return [_line(HEADINGS), f"|{'|'.join(ruler)}|", *(_line(row.cells()) for row in rows)]


def terminal(rows: Sequence[BenchmarkRow]) -> Table:
    """Return the table for the terminal, with the columns that fit 80 characters."""
    from rich.table import Table

    from mmeval.console import cell

    # Without a frame, so that the last column keeps room for the names of baselines.
    title = cell(f"{rows[0].task}, {rows[0].metric}", "bold")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    # The Markdown page has all columns.
    shown = {0: "model", 3: "rank", 4: "mean", 5: "95 %", 6: "worst", 7: "image", 8: "text", 9: "beats baselines"}
    shown = {
        number: heading
        for number, heading in shown.items()
        if number not in (7, 8) or any(row.cells()[number] != "–" for row in rows)
    }
    for number, heading in shown.items():
        table.add_column(heading, justify="left" if number in (0, 9) else "right", no_wrap=number not in (6, 9))
    for row in rows:
        table.add_row(*(cell(row.cells()[number]) for number in shown))
    return table


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, cells)) + " |"


def html(rows: Sequence[BenchmarkRow], failures: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """Return the table as HTML, for a notebook."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(one_line(cell))}</td>' for cell in row.cells())}</tr>" for row in rows)
    failed = "".join(f"<p>{escape(one_line(f'Failed: {name}: {reason}'))}</p>" for name, reason in failures.items())
    below = "".join(f"<p>{escape(one_line(text))}</p>" for text in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}{failed}"
