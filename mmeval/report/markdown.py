"""The run's README.md."""

from __future__ import annotations

from mmeval.escaping import code_block, code_span, one_line
from mmeval.escaping import markdown as plain
from mmeval.report.content import Content

ENDS = (
    "Worst and gap are taken column by column, their intervals those of the languages that are worst and best in this "
    "sample; the worst of many noisy scores tends to be too low, their gap too wide. "
)


def markdown(content: Content) -> str:
    """Scores per task and language, protocol and provenance, as GitHub-flavoured Markdown."""
    record = content.record
    lines = [f"# {plain(content.title)}", "", code_span(record.plan.signature), ""]
    for warning in content.warnings:
        lines += [f"**{plain(warning)}**", ""]
    for task in content.tasks:
        lines += [f"## {plain(task)}", "", *_table(content, task), ""]
    for one in content.notes:
        lines += [plain(one), ""]
    lines += [
        "In brackets: 95 % bootstrap intervals over the images of the test split. They speak of other test examples, "
        f"not of other training seeds. {ENDS if len(content.languages) > 1 else ''}"
        "`report.html` has charts and the most confident mistakes.",
        "",
        *_data_check(content),
        "## Protocol and provenance",
        "",
        "| | |",
        "|---|---|",
        *(f"| {plain(name)} | {plain(value)} |" for name, value in content.provenance),
        "",
        "Made by:",
        "",
        *code_block(f"$ {one_line(content.command)}", "console"),
        "",
    ]
    return "\n".join(lines)


def _data_check(content: Content) -> list[str]:
    found = [*content.data_check, *content.majority]
    return ["## Data check", "", *(f"- {plain(line)}" for line in found), ""] if found else []


def _table(content: Content, task: str) -> list[str]:
    titles = [plain(content.metric_title(metric)) for metric in content.metrics]
    keys = [(language, plain(language)) for language in content.languages]
    keys += [(view, f"**{plain(title)}**") for view, title in content.views]
    rows = [
        f"| {label} | {content.number(task, key, 'top1').n:,} | {_numbers(content, task, key)} |" for key, label in keys
    ]
    return [f"| language | n | {' | '.join(titles)} |", f"|---|---:|{'---:|' * len(titles)}", *rows]


def _numbers(content: Content, task: str, language: str) -> str:
    numbers = [content.number(task, language, metric) for metric in content.metrics]
    return " | ".join(f"{number} [{number.interval}]" if number.interval else str(number) for number in numbers)
