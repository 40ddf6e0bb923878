"""The comparison of a benchmark's runs: ranks of the models, and the baselines that each of them beats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from mmeval.comparison.comparison import A, B, Comparison
from mmeval.comparison.label_sets import SUBSET_ACCURACY
from mmeval.console import note, progress
from mmeval.errors import UserError
from mmeval.metrics.row import MACRO, WORST
from mmeval.protocol import Inputs
from mmeval.report.bench_page import BenchRun, BenchTask, page
from mmeval.report.comparison import ties
from mmeval.report.content import Content
from mmeval.runs.compare import AlignedRuns
from mmeval.runs.folder import RunFolder
from mmeval.studies.bench.entries import Member
from mmeval.studies.bench.table import BenchmarkRow, Verdict

FLOOR = "tfidf"
"""The plugin that serves as a baseline for all others; it sees texts only."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a benchmark, with the content of its report."""

    folder: RunFolder
    content: Content


@dataclass(frozen=True)
class TaskComparison:
    """The comparison of a benchmark's models by one task."""

    task: str
    comparison: Comparison | None
    """All pairs of the models, named by their run folders; None with fewer than two models."""
    verdicts: dict[str, Verdict]
    """For each plugin that has baselines, which of them it beats."""


@dataclass(frozen=True)
class BenchmarkTable:
    """The table of a benchmark."""

    rows: list[BenchmarkRow]
    """One row per model, best mean first."""
    notes: list[str] = field(default_factory=list)
    """Sentences below the table."""
    failures: dict[str, str] = field(default_factory=dict)
    """Reasons why runs are left out of the tests, by the name of the run folder."""
    tasks: list[TaskComparison] = field(default_factory=list)
    """The comparison by each task, the one of the table first."""


def compare_runs(runs: Mapping[Member, FinishedRun]) -> BenchmarkTable:
    """Return the rows of the benchmark's table with ranks and verdicts, the notes below it, and all comparisons.

    A plugin has a row if its run on all its inputs is finished; its unimodal baselines fill cells of that row. Scores
    are of the data set's first task. Tests are paired and clustered, on the mean over languages: Holm over all pairs of
    models for the ranks, and over the baselines of a model for its verdict.
    """
    models = {member.plugin: member for member in runs if not member.is_baseline}
    rows = {plugin: _row(member, runs[member]) for plugin, member in models.items()}
    baselines: dict[str, dict[str, Member]] = {plugin: {} for plugin in models}
    for member in runs:
        if member.is_baseline and member.plugin in rows:
            content = runs[member].content
            task = content.tasks[0]
            rows[member.plugin].baselines[member.inputs] = content.estimate(task, MACRO, content.first_metric(task))
            baselines[member.plugin][member.inputs.value] = member
    if FLOOR in models:
        for plugin in models:
            if plugin != FLOOR:
                baselines[plugin][f"{FLOOR} (text)"] = models[FLOOR]
    needed = [*models.values(), *(member for rivals in baselines.values() for member in rivals.values())]
    aligned, failures = _read({member: runs[member] for member in dict.fromkeys(needed)})
    tasks = [_compare_task(aligned, task, models, baselines) for task in aligned.tasks]
    notes = _rank(tasks[0], rows, models) if tasks else []
    return BenchmarkTable(sorted(rows.values(), key=lambda row: -row.mean.value), notes, failures, tasks)


def _compare_task(
    aligned: AlignedRuns, task: str, models: Mapping[str, Member], baselines: Mapping[str, Mapping[str, Member]]
) -> TaskComparison:
    """Compare the models by one task, and each of them with its baselines."""
    taking_part = {plugin: member for plugin, member in models.items() if aligned.takes_part(member.folder, task)}
    names = [member.folder for member in taking_part.values()]
    comparison = aligned.compare(names, task=task) if len(names) > 1 else None
    verdicts = {}
    for plugin, model in taking_part.items():
        rivals = {name: each for name, each in baselines[plugin].items() if aligned.takes_part(each.folder, task)}
        if rivals:
            verdicts[plugin] = _judge(aligned, task, model, rivals)
    return TaskComparison(task, comparison, verdicts)


def _row(member: Member, run: FinishedRun) -> BenchmarkRow:
    content = run.content
    task, plan, facts = content.tasks[0], content.record.plan, content.record.seeds.values()
    metric = content.first_metric(task)
    return BenchmarkRow(
        plugin=plan.plugin.name,
        preset=plan.preset,
        task=task,
        metric=content.metric_title(metric),
        mean=content.estimate(task, MACRO, metric),
        worst=content.estimate(task, WORST, metric),
        worst_language=content.worst_text(task),
        seconds=sum(each["seconds"] for each in facts) / len(facts),
        signature=plan.signature,
        efficiency=content.record.efficiency,
        inputs=member.inputs,
    )


def _read(runs: Mapping[Member, FinishedRun]) -> tuple[AlignedRuns, dict[str, str]]:
    """Read the predictions of all runs; return the reasons of those that can't be compared, too."""
    aligned, failures = AlignedRuns(every_task=True), {}
    with progress("Comparing", len(runs), "runs") as advance:
        for member, run in runs.items():
            try:
                aligned.add(run.folder, member.folder)
                aligned.require(member.folder, aligned.task)
            except UserError as error:
                failures[member.folder] = str(error)
                note(f"{member.folder} is left out of the tests: {error}")
            advance()
    return aligned, failures


def _rank(first: TaskComparison, rows: Mapping[str, BenchmarkRow], models: Mapping[str, Member]) -> list[str]:
    """Set ranks and verdicts of the models; return the sentences about those that can't be told apart."""
    for plugin, verdict in first.verdicts.items():
        row = rows[plugin]
        row.beaten, row.beaten_by, row.undecided = verdict.beaten, verdict.beaten_by, verdict.undecided
    comparison = first.comparison
    if comparison is None:
        return []
    ranks = {run.name: rank for run, rank in zip(comparison.runs, comparison.ranks, strict=True)}
    for plugin, member in models.items():
        rows[plugin].rank = ranks.get(member.folder)
    notes = ties(comparison)
    if comparison.metric == SUBSET_ACCURACY:
        notes.append("Ranks and verdicts of this multi-label task are those of subset accuracy.")
    if any(len(run.seeds) == 1 for run in comparison.runs):
        notes.append("One training seed: ranks and verdicts are about these checkpoints, not about the methods.")
    if any(member.inputs is Inputs.TEXT for member in models.values() if member.folder in ranks):
        notes.append("Models whose inputs are text saw no image, in training and in testing.")
    return notes


def _judge(aligned: AlignedRuns, task: str, model: Member, rivals: Mapping[str, Member]) -> Verdict:
    """Return the baselines that a model beats, that beat it, and that can't be told from it."""
    names = [model.folder, *(member.folder for member in rivals.values())]
    pairs = [(0, number) for number in range(1, len(names))]
    verdict = Verdict()
    for name, pair in zip(rivals, aligned.compare(names, task=task, pairs=pairs).pairs, strict=True):
        {A: verdict.beaten, B: verdict.beaten_by}.get(pair.verdict, verdict.undecided).append(name)
    return verdict


def page_of(
    runs: Mapping[Member, FinishedRun], table: BenchmarkTable, failures: Mapping[str, str], command: str
) -> str:
    """Return the page of the benchmark as HTML."""
    shown = [
        BenchRun(
            name=member.folder,
            model=run.content.record.plan.plugin.name,
            content=run.content,
            link=quote(f"{member.folder}/{run.folder.report_path.name}") if run.folder.report_path.is_file() else "",
            is_baseline=member.is_baseline,
        )
        for member, run in runs.items()
    ]
    folders = {member.plugin: member.folder for member in runs if not member.is_baseline}
    tasks = [
        BenchTask(each.task, each.comparison, {folders[plugin]: str(v) for plugin, v in each.verdicts.items()})
        for each in table.tasks
    ] or [BenchTask(shown[0].content.tasks[0], None)]
    groups = {line for each in table.tasks if each.comparison for line in ties(each.comparison)}
    notes = [line for line in table.notes if line not in groups]
    return page(shown, tasks, command=command, notes=notes, failures=failures)
