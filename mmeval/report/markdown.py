"""The report of a run as Markdown, its ``README.md``."""

from __future__ import annotations

from collections.abc import Sequence

from mmeval.escaping import code_block, code_span, one_line
from mmeval.escaping import markdown as plain
from mmeval.report.content import Content, Estimate
from mmeval.report.score_table import ScoreTable

WORST_AND_GAP = (
    "The intervals of the worst language and of the gap hold for all languages at once, so that the worst of many "
    "noisy scores does not look worse than it is. "
)


ONE_SEED = "; with one training seed they speak of this checkpoint, not of the method. "
SEEDS = " and of training seeds. "


def markdown(content: Content) -> str:
    """Return scores per task and language, data check and provenance as GitHub-flavoured Markdown."""
    record = content.record
    lines = [f"# {plain(content.title)}", "", code_span(record.plan.signature), ""]
    for warning in content.warnings:
        lines += [f"**{plain(warning)}**", ""]
    for task in content.tasks:
        headline = content.headline(task)
        lines += [f"## {plain(task)}", "", *([plain(headline), ""] if headline else []), *_table(content, task), ""]
        lines += _more(content, task)
    for note in content.notes:
        lines += [plain(note), ""]
    lines += [
        "In brackets: 95 % intervals over the images of the test split. They cover the choice of test examples"
        f"{SEEDS if len(record.plan.protocol.seeds) > 1 else ONE_SEED}"
        f"{WORST_AND_GAP if len(content.languages) > 1 else ''}"
        "`report.html` has charts and the most confident mistakes.",
        "",
        *_data_check(content),
        "## Protocol and provenance",
        "",
        "| | |",
        "|---|---|",
        *(f"| {plain(name)} | {plain(value)} |" for name, value in content.provenance),
        "",
        "Command:",
        "",
        *code_block(f"$ {one_line(content.command)}", "console"),
        "",
        "## How to cite",
        "",
        *(f"- {plain(work.title)}: {plain(work.text)}" for work in content.citations),
        "",
        *code_block("\n\n".join(work.bibtex for work in content.citations if work.bibtex), "bibtex"),
        "",
    ]
    return "\n".join(lines)


def score_tables(tables: Sequence[ScoreTable]) -> str:
    """Return tables of scores as Markdown: 95 % intervals in brackets, significantly best scores in bold."""
    lines: list[str] = []
    for table in tables:
        n = ["n"] if table.has_counts else []
        lines += [plain(table.caption), "", f"| {' | '.join([plain(table.corner), *n, *map(plain, table.columns)])} |"]
        lines += [f"|---|{'---:|' * (len(n) + len(table.columns))}"]
        for row in table.rows:
            label = f"**{plain(row.label)}**" if row.summary else plain(row.label)
            cells = [_bold(cell) if at in row.bold else _estimate(cell) for at, cell in enumerate(row.cells)]
            counts = ["" if row.n is None else f"{row.n:,}"] if table.has_counts else []
            lines.append(f"| {' | '.join([label, *counts, *cells])} |")
        lines += ["", *(line for note in table.notes for line in (plain(note), ""))]
    return "\n".join(lines).rstrip("\n") + "\n"


def _bold(estimate: Estimate) -> str:
    return f"**{estimate}**" + (f" [{estimate.interval}]" if estimate.interval else "")


def _data_check(content: Content) -> list[str]:
    sentences = [*content.data_check, *content.majority]
    return ["## Data check", "", *(f"- {plain(line)}" for line in sentences), ""] if sentences else []


def _table(content: Content, task: str) -> list[str]:
    titles = [plain(content.metric_title(metric)) for metric in content.metrics(task)]
    keys = [(language, plain(language)) for language in content.languages]
    keys += [(key, f"**{plain(title)}**") for key, title in content.summary_rows]
    rows = [f"| {label} | {content.n(task, key):,} | {_estimates(content, task, key)} |" for key, label in keys]
    return [f"| language | n | {' | '.join(titles)} |", f"|---|---:|{'---:|' * len(titles)}", *rows]


def _more(content: Content, task: str) -> list[str]:
    """Return the table of the metrics that are no columns of the table per language."""
    rows = [
        f"| {plain(metric.title)} | {_estimate(pooled)} | {_estimate(mean)} | {plain(metric.explanation)} |"
        for metric, pooled, mean in content.more_metrics(task)
    ]
    return ["| metric | pooled | mean over languages | meaning |", "|---|---:|---:|---|", *rows, ""] if rows else []


def _estimate(estimate: Estimate) -> str:
    return f"{estimate} [{estimate.interval}]" if estimate.interval else str(estimate)


def _estimates(content: Content, task: str, language: str) -> str:
    estimates = [content.estimate(task, language, metric) for metric in content.metrics(task)]
    return " | ".join(map(_estimate, estimates))
