"""Reports of finished runs in other formats: Markdown, HTML, CSV, JSON and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmeval.comparison.comparison import Comparison
from mmeval.console import note
from mmeval.errors import UserError
from mmeval.metrics.scores import read_scores
from mmeval.report.content import Content
from mmeval.report.html import html
from mmeval.report.latex import latex
from mmeval.report.markdown import markdown, score_tables
from mmeval.report.score_files import csv_text, json_report
from mmeval.report.score_table import ScoreTable, language_table, model_table
from mmeval.runs.analysis import analysis_of
from mmeval.runs.compare import compare_folders, run_names
from mmeval.runs.folder import UNVERIFIED, RunFolder

SUFFIXES = {"md": ".md", "html": ".html", "csv": ".csv", "json": ".json", "latex": ".tex"}
"""The formats, each with the ending of its files."""


def format_of(name: str | None, output: Path | None) -> str:
    """Return the format that a user asks for by its name or, without a name, by the ending of the output file.

    Raises:
        UserError: there is no such format, or the ending names none.
    """
    formats = ", ".join(SUFFIXES)
    if name is not None:
        if name.lower() not in SUFFIXES:
            raise UserError(f"--format {name}: the formats are {formats}.")
        return name.lower()
    ending = output.suffix.lower() if output is not None else ""
    for known, suffix in SUFFIXES.items():
        if ending == suffix:
            return known
    raise UserError(f"--output {output}: its ending names no format; add --format with one of {formats}.")


def formatted(
    folders: Sequence[RunFolder], kind: str, *, tasks: Sequence[str] = (), metrics: Sequence[str] = ()
) -> str:
    """Return the report of a run, or the table of several runs, in one of ``SUFFIXES``; no file is written.

    Several runs are compared on the same rows by one metric per task, and a score is bold only if its model is
    significantly better than every other one.

    Args:
        folders: the finished runs.
        kind: the format.
        tasks: the tasks; empty for all.
        metrics: the metrics; empty for those of the report's tables, and for all of them in CSV and JSON.

    Raises:
        UserError: a task or metric does not exist, several runs can't be compared, or the format has no such table.
        RunFolderError: a folder is no finished run, or its files were changed.
    """
    contents = dict(zip(run_names(folders), map(read_content, folders), strict=True))
    first = next(iter(contents.values()))
    for content, folder in zip(contents.values(), folders, strict=True):
        require_names(content, folder, tasks, metrics)
    several = len(folders) > 1
    if several and len(metrics) > 1:
        raise UserError(f"--metric {metrics[1]}: a table of several runs has one metric; name one.")
    if kind == "html":
        return _html(folders, tasks, metrics)
    if kind == "csv":
        return csv_text(contents, tasks, metrics)
    if kind == "md" and not (several or tasks or metrics):
        return markdown(first)
    shared = [task for task in tasks or first.tasks if all(task in content.tasks for content in contents.values())]
    if several and not shared:
        own = "; ".join(f"{name} has the task{_list(content.tasks)}" for name, content in contents.items())
        raise UserError(f"The runs have no task in common, so no table can hold them: {own}.")
    comparisons = [_compare(folders, task, metrics) for task in shared] if several else []
    if kind == "json":
        return json_report(contents, tasks, metrics, comparisons)
    tables = _tables(contents, shared, metrics, comparisons)
    return score_tables(tables) if kind == "md" else latex(tables, _comments(contents))


def read_content(folder: RunFolder) -> Content:
    """Return record and scores of a run, after comparing the scores with their digest; the gallery is not needed."""
    record = folder.record
    if record.schema_version == 1:
        note(f"{folder.path}: its files are {UNVERIFIED}.")
    folder.require_unchanged(folder.scores_file)
    return Content(record, read_scores(folder.scores_file), [])


def require_names(content: Content, folder: RunFolder, tasks: Sequence[str], metrics: Sequence[str]) -> None:
    """Check that a run has the tasks and the metrics that a user names."""
    for task in tasks:
        if task not in content.tasks:
            raise UserError(f"--task {task}: {folder.path} has the task{_list(content.tasks)}.")
    known = list(dict.fromkeys(content.scores["metric"].to_pylist()))
    for metric in metrics:
        if metric not in known:
            raise UserError(f"--metric {metric}: {folder.path} has the metric{_list(sorted(known))}.")


def _list(names: Sequence[str]) -> str:
    return f"{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _html(folders: Sequence[RunFolder], tasks: Sequence[str], metrics: Sequence[str]) -> str:
    if len(folders) > 1:
        raise UserError(
            "--format html shows one run; `mmeval compare RUN RUN --output FOLDER` writes a page of several."
        )
    if tasks or metrics:
        option = "--task" if tasks else "--metric"
        raise UserError(f"{option}: the HTML report has every task and metric; leave {option} out.")
    (folder,) = folders
    record = folder.record
    for seed in record.plan.protocol.seeds:
        if folder.predictions_file(seed).is_file():
            folder.require_unchanged(folder.predictions_file(seed))
    return html(folder.content(record), analysis_of(folder, record))


def _compare(folders: Sequence[RunFolder], task: str, metrics: Sequence[str]) -> Comparison:
    # Models with one and with two inputs may stand in one table, which names the inputs.
    return compare_folders(folders, task=task, metric=metrics[0] if metrics else None, ignored=("inputs",))


def _tables(
    contents: Mapping[str, Content], tasks: Sequence[str], metrics: Sequence[str], comparisons: Sequence[Comparison]
) -> list[ScoreTable]:
    if comparisons:
        return [model_table(contents, comparison) for comparison in comparisons]
    (content,) = contents.values()
    return [language_table(content, task, metrics or content.metrics(task)) for task in tasks]


def _comments(contents: Mapping[str, Content]) -> list[str]:
    """Return where the numbers of a table come from."""
    return [f"{name}: {content.record.plan.signature}" for name, content in contents.items()]
