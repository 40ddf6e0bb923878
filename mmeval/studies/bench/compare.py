"""The comparison of a benchmark's runs: ranks of the models, and the baselines that each of them beats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmeval.comparison.comparison import A, B
from mmeval.comparison.label_sets import SUBSET_ACCURACY
from mmeval.console import note, progress
from mmeval.errors import UserError
from mmeval.metrics.row import MACRO, WORST
from mmeval.protocol import Inputs
from mmeval.report.comparison import ties
from mmeval.report.content import Content
from mmeval.runs.compare import AlignedRuns
from mmeval.runs.folder import RunFolder
from mmeval.studies.bench.entries import Member
from mmeval.studies.bench.table import BenchmarkRow

FLOOR = "tfidf"
"""The plugin that serves as a baseline for all others; it sees texts only."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a benchmark, with the content of its report."""

    folder: RunFolder
    content: Content


@dataclass(frozen=True)
class BenchmarkTable:
    """The table of a benchmark."""

    rows: list[BenchmarkRow]
    """One row per model, best mean first."""
    notes: list[str] = field(default_factory=list)
    """Sentences below the table."""
    failures: dict[str, str] = field(default_factory=dict)
    """Reasons why runs are left out of the tests, by the name of the run folder."""


def compare_runs(runs: Mapping[Member, FinishedRun]) -> BenchmarkTable:
    """Return the rows of the benchmark's table with ranks and verdicts, and the notes below it.

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
    notes = _rank(aligned, {plugin: m for plugin, m in models.items() if m.folder not in failures}, rows)
    for plugin, rivals in baselines.items():
        known = {name: member for name, member in rivals.items() if member.folder not in failures}
        if known and models[plugin].folder not in failures:
            _judge(aligned, rows[plugin], models[plugin], known)
    return BenchmarkTable(sorted(rows.values(), key=lambda row: -row.mean.value), notes, failures)


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
    aligned, failures = AlignedRuns(), {}
    with progress("Comparing", len(runs), "runs") as advance:
        for member, run in runs.items():
            try:
                aligned.add(run.folder, member.folder)
            except UserError as error:
                failures[member.folder] = str(error)
                note(f"{member.folder} is left out of the tests: {error}")
            advance()
    return aligned, failures


def _rank(aligned: AlignedRuns, models: Mapping[str, Member], rows: Mapping[str, BenchmarkRow]) -> list[str]:
    """Set the ranks of the models; return the sentences about those that can't be told apart."""
    if len(models) < 2:
        return []
    comparison = aligned.compare([member.folder for member in models.values()])
    for plugin, rank in zip(models, comparison.ranks, strict=True):
        rows[plugin].rank = rank
    notes = ties(comparison)
    if comparison.metric == SUBSET_ACCURACY:
        notes.append("Ranks and verdicts of this multi-label task are those of subset accuracy.")
    if any(len(run.seeds) == 1 for run in comparison.runs):
        notes.append("One training seed: ranks and verdicts are about these checkpoints, not about the methods.")
    if any(member.inputs is Inputs.TEXT for member in models.values()):
        notes.append("Models whose inputs are text saw no image, in training and in testing.")
    return notes


def _judge(aligned: AlignedRuns, row: BenchmarkRow, model: Member, rivals: Mapping[str, Member]) -> None:
    """Set the baselines that a model beats, that beat it, and that can't be told from it."""
    names = [model.folder, *(member.folder for member in rivals.values())]
    pairs = [(0, number) for number in range(1, len(names))]
    for name, pair in zip(rivals, aligned.compare(names, pairs=pairs).pairs, strict=True):
        {A: row.beaten, B: row.beaten_by}.get(pair.verdict, row.undecided).append(name)
