"""The comparison of run folders: their protocols are checked, their predictions read and brought into one order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

from mmeval.api.spec import MetricSpec
from mmeval.comparison.alignment import Alignment, SeedOutcomes, first_task
from mmeval.comparison.comparison import ComparedRun, Comparison, compare_aligned
from mmeval.comparison.correction import Correction
from mmeval.comparison.sentences import is_share
from mmeval.comparison.write import write_comparison
from mmeval.console import Advance, note, progress
from mmeval.errors import RunFolderError, UserError
from mmeval.files import write_text
from mmeval.metrics.catalogue import is_built_in, lower_is_better
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.predictions import read_predictions
from mmeval.plugin.manager import Manager
from mmeval.record import Record
from mmeval.report.comparison import html
from mmeval.report.comparison_page import page
from mmeval.runs.folder import UNVERIFIED, RunFolder

HTML_FILE = "comparison.html"
MANY_PAIRS = 60
"""Comparing this number of pairs may take more than two seconds, so a progress bar is shown."""
FIELDS = {
    "dataset": "data set",
    "fingerprint": "data fingerprint",
    "split": "scored split",
    "labels": "label policy",
    "limit": "limit",
    "inputs": "inputs",
    "track": "track",
}
"""The fields of the protocol that compared runs must share, with their names in messages. The number of seeds may
differ."""


@dataclass(frozen=True)
class RunComparison(Comparison):
    """The result of :func:`compare`; it shows its table in a notebook."""

    folders: Mapping[str, RunFolder] = field(default_factory=dict, repr=False)
    """The compared runs, by their names in the comparison."""
    more_tasks: Callable[[], tuple[list[Comparison], list[str]]] = field(default=lambda: ([], []), repr=False)
    """Computes the comparisons by the other tasks that all runs have, and a sentence for each task left out."""

    def write(self, folder: str | Path) -> None:
        """Write ``comparison.json``, ``comparison.parquet`` and the page ``comparison.html`` into a folder.

        The page has every task of the runs, the other files that of this comparison.

        Raises:
            UserError: the folder is a run folder or a file.
        """
        folder = Path(folder)
        write_comparison(self, folder)
        others, left_out = self.more_tasks()
        records = {name: run.record for name, run in self.folders.items()}
        links = {name: link for name, run in self.folders.items() if (link := report_link(run, folder))}
        write_text(folder / HTML_FILE, page([self, *others], records, links=links, left_out=left_out))

    def _repr_html_(self) -> str:
        return html(self)


def compare(
    a: str | Path | RunFolder,
    b: str | Path | RunFolder,
    *more: str | Path | RunFolder,
    metric: str | None = None,
    task: str | None = None,
    correction: Literal["holm", "bh"] = "holm",
    margin: float | None = None,
    force: bool = False,
) -> RunComparison:
    """Compare finished runs on the same rows, in pairs: per language, in the mean over languages, and by ranks.

    Args:
        a: the first run, a run folder or its path.
        b: the second run; ``languages``, ``mean`` and ``weighted_mean`` of the result are A minus B.
        more: further runs; ``pairs`` and ``ranks`` have all of them.
        metric: a built-in metric, or the name or file of a metric plugin; by default ``top1``, and
            ``subset_accuracy`` of a multi-label task.
        task: the task; by default the first one of the data set.
        correction: the correction over languages, ``holm`` or ``bh`` (Benjamini-Hochberg).
        margin: the largest difference that does not matter; runs may then be found equivalent.
        force: compare runs whose protocols or rows differ; the differences stand in ``forced``.

    Raises:
        UserError: an option is wrong, or the runs can't be compared; the message says in what they differ.
        RunFolderError: a folder is no finished run, or its predictions were changed.
    """
    return compare_folders(
        [folder if isinstance(folder, RunFolder) else RunFolder(folder) for folder in (a, b, *more)],
        metric=metric,
        task=task,
        correction=correction,
        margin=margin,
        force=force,
    )


def compare_folders(
    folders: Sequence[RunFolder],
    *,
    metric: str | None = None,
    task: str | None = None,
    correction: str = "holm",
    margin: float | None = None,
    force: bool = False,
    ignored: Sequence[str] = (),
) -> RunComparison:
    """Compare finished runs, see :func:`compare`.

    Args:
        folders: the run folders, at least two.
        metric: the metric.
        task: the task.
        correction: ``holm`` or ``bh``.
        margin: the margin of equivalence.
        force: whether to compare runs that differ.
        ignored: fields of the protocol that may differ.
    """
    if correction not in get_args(Correction):
        raise UserError(f"--correction {correction}: write holm or bh.")
    if margin is not None and margin >= 1 and (metric is None or is_share(metric)):
        lies = f"{metric or 'top1'} lies between 0 and 1"
        raise UserError(f"--margin {margin:g}: {lies}; write {margin / 100:g} for {margin:g} points.")
    if len(folders) < 2:
        raise UserError("A comparison needs at least two runs: mmeval compare RUN RUN.")
    records = [folder.record for folder in folders]
    names = run_names(folders)
    fields = {name: title for name, title in FIELDS.items() if name not in ignored}
    forced = list(_protocol_differences(names, records, fields))
    if forced and not force:
        raise RunFolderError(
            f"The runs follow different protocols: {'; '.join(forced)}. Compare runs of one protocol, or add --force "
            "to compare them all the same."
        )
    runs = AlignedRuns(metric, task, force=force, every_task=True)
    with progress("Reading", sum(len(r.plan.protocol.seeds) for r in records), "predictions files") as advance:
        for folder, name in zip(folders, names, strict=True):
            runs.add(folder, name, advance)
            runs.require(name, runs.task)

    pairs = len(folders) * (len(folders) - 1) // 2

    def compared(of_task: str) -> Comparison:
        bar = progress("Comparing", pairs, "pairs") if pairs >= MANY_PAIRS else contextlib.nullcontext(lambda: None)
        with bar as advance:
            result = runs.compare(
                names,
                task=of_task,
                correction="bh" if correction == "bh" else "holm",
                margin=margin,
                forced=[f"{problem}." for problem in forced],
                advance=advance,
            )
        return replace(result, notes=(*result.notes, *_external_notes(names, records)))

    def more_tasks() -> tuple[list[Comparison], list[str]]:
        others, left_out = [], []
        for other in runs.tasks:
            try:
                for name in names:
                    runs.require(name, other)
                others += [compared(other)] if other != runs.task else []
            except UserError as error:
                left_out.append(f"The task {other} is left out: {error}")
        return others, left_out

    result = compared(runs.task)
    return RunComparison(**vars(result), folders=dict(zip(names, folders, strict=True)), more_tasks=more_tasks)


class AlignedRuns:
    """Runs whose predictions were read and brought into the order of the first one, for one task or for each."""

    def __init__(
        self, metric: str | None = None, task: str | None = None, *, force: bool = False, every_task: bool = False
    ) -> None:
        """Name the metric and the task.

        Args:
            metric: the metric; None: ``top1``, or ``subset_accuracy`` of a multi-label task.
            task: the task that comes first; None: the first task of the first run.
            force: compare runs that differ on the rows that agree.
            every_task: align the other tasks, too; a run that lacks a task or differs in it takes no part in it.

        Raises:
            UserError: there is no such metric.
        """
        self._specs, self.metric = _metric(metric)
        self.task = task or ""
        """The first task; empty until a run was added, unless it was named."""
        self._force, self._every_task = force, every_task
        self._alignments: dict[str, Alignment] = {}
        self._runs: dict[str, ComparedRun] = {}
        self._outcomes: dict[tuple[str, str], dict[int, SeedOutcomes]] = {}
        self._refused: dict[tuple[str, str], UserError] = {}

    @property
    def tasks(self) -> list[str]:
        """The aligned tasks, the first one first."""
        return sorted(self._alignments, key=lambda task: task != self.task)

    def takes_part(self, name: str, task: str) -> bool:
        """Return whether a run takes part in the comparisons of a task."""
        return (name, task) in self._outcomes

    def require(self, name: str, task: str) -> None:
        """Check that a run takes part in the comparisons of a task.

        Raises:
            UserError: it lacks the task, or differs in it from the other runs.
        """
        if not self.takes_part(name, task):
            raise self._refused.get((name, task)) or UserError(f"{name} has no predictions of the task {task}.")

    def add(self, folder: RunFolder, name: str, advance: Advance = lambda *_, **__: None) -> None:
        """Read all predictions of a finished run.

        Args:
            folder: the run.
            name: its name in the comparison.
            advance: called after each file.

        Raises:
            UserError: the run has other rows than the first one, or lacks the task or the metric, in every task.
            RunFolderError: there is no finished run, or its predictions were changed.
        """
        record = folder.record
        if record.schema_version == 1:
            note(f"{folder.path}: its files are {UNVERIFIED}.")
        seeds = record.plan.protocol.seeds
        outcomes: dict[str, dict[int, SeedOutcomes]] = {}
        alignments = dict(self._alignments)
        refused: dict[str, UserError] = {}
        for seed in seeds:
            file = folder.predictions_file(seed)
            folder.require_unchanged(file)
            predictions = read_predictions(file, self._specs)
            first = self.task or first_task(predictions)
            for task in self._tasks_of(predictions, first):
                if task in refused:
                    continue
                try:
                    if task not in alignments:
                        alignments[task] = Alignment.start(name, predictions, task, self.metric, force=self._force)
                    of_seed = alignments[task].add(name, predictions, seed if len(seeds) > 1 else None)
                    outcomes.setdefault(task, {})[seed] = of_seed
                except UserError as error:
                    refused[task] = error
            advance()
        self._refused |= {(name, task): error for task, error in refused.items()}
        taken = [task for task in outcomes if task not in refused]
        if not taken:
            raise next(iter(refused.values()))
        self.task = self.task or first
        self._alignments |= {task: alignments[task] for task in taken}
        self._outcomes |= {(name, task): outcomes[task] for task in taken}
        self._runs[name] = ComparedRun(
            name, record.plan.plugin.name, str(folder.path), tuple(seeds), efficiency=record.efficiency
        )

    def _tasks_of(self, predictions: Predictions, first: str) -> list[str]:
        """Return the tasks to align: the first one, even if the predictions lack it, and the others if asked for."""
        if not self._every_task:
            return [first]
        return list(dict.fromkeys((first, *(predictions.order or [task.name for task in predictions.tasks]))))

    def compare(
        self,
        names: Sequence[str],
        *,
        task: str | None = None,
        pairs: Sequence[tuple[int, int]] | None = None,
        correction: Correction = "holm",
        margin: float | None = None,
        forced: Sequence[str] = (),
        advance: Callable[[], object] = lambda: None,
    ) -> Comparison:
        """Compare some of the runs.

        Args:
            names: their names, at least two.
            task: the task; by default the first one.
            pairs: numbers of the runs of each pair; by default all pairs.
            correction: the correction over languages.
            margin: the largest difference that does not matter.
            forced: differences between the runs that the user allowed.
            advance: called after each pair.

        Raises:
            UserError: the margin is not above 0, or the runs share no row.
        """
        alignment = self._alignments[task or self.task]
        return compare_aligned(
            alignment,
            [self._runs[name] for name in names],
            [self._outcomes[name, task or self.task] for name in names],
            pairs=pairs,
            correction=correction,
            margin=margin,
            lower_is_better=lower_is_better(alignment.metric) or any(not spec.higher_is_better for spec in self._specs),
            forced=forced,
            advance=advance,
        )


def run_names(folders: Sequence[RunFolder]) -> list[str]:
    """Return the name of each folder; its path if others have the same name; a number behind it if it occurs again."""
    paths: dict[str, set[Path]] = {}
    for folder in folders:
        paths.setdefault(folder.name, set()).add(folder.path.absolute())
    names = [str(folder.path) if len(paths[folder.name]) > 1 else folder.name for folder in folders]
    numbered: list[str] = []
    for name in names:
        before = sum(other == name for other in names[: len(numbered)])
        numbered.append(f"{name} ({before + 1})" if before else name)
    return numbered


def _protocol_differences(names: Sequence[str], records: Sequence[Record], fields: dict[str, str]) -> Iterator[str]:
    """Yield each difference between the first run and another in a field that runs must share."""
    first = records[0].plan.protocol
    for name, record in list(zip(names, records, strict=True))[1:]:
        unknown = _unknown_fields(records[0]) | _unknown_fields(record)
        for attribute, title in fields.items():
            mine, theirs = getattr(first, attribute), getattr(record.plan.protocol, attribute)
            if mine != theirs and attribute not in unknown:
                yield _sentence(title, name, theirs, names[0], mine)


def _unknown_fields(record: Record) -> set[str]:
    """Return the fields that a run of another tool's predictions can't know; its rows are compared in any case."""
    if record.source is None:
        return set()
    # With --like the examples are those of a run, under its data set and fingerprint.
    return {"inputs", "track"} if record.source.like else set(FIELDS)


def _external_notes(names: Sequence[str], records: Sequence[Record]) -> list[str]:
    return [
        f"The predictions of {name} come from another tool: its rows and labels were checked, but its inputs, its "
        "training and how it was selected are not known."
        for name, record in zip(names, records, strict=True)
        if record.source is not None
    ]


def _sentence(title: str, name: str, theirs: object, first: str, mine: object) -> str:
    are, that = ("are", "those") if title == "inputs" else ("is", "that")
    return f"the {title} of {name} {are} {_shown(theirs)}, but {that} of {first} {are} {_shown(mine)}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    text = str(getattr(value, "value", value))
    return text[:8] if len(text) == 64 else text


def _metric(name: str | None) -> tuple[list[MetricSpec], str | None]:
    """Return the plugin metric that is to be computed, if it is one, and the name of the metric.

    Raises:
        UserError: there is no such metric.
    """
    if name is None or is_built_in(name):
        return [], name
    spec = Manager().metric(name)
    if spec.per_example is None:
        raise UserError(
            f"--metric {name}: {spec.name} is no mean over examples; compare by a metric with a value of each example, "
            "or by a built-in metric that is computed from classes: macro_f1, weighted_f1, balanced_accuracy."
        )
    return [spec], spec.name


def report_link(run: RunFolder, folder: Path) -> str:
    """Return the relative path from a folder to the report of a run, as a URL; empty if a page should not link it.

    A path that leaves the user's home or starts at the root would show private names of folders.
    """
    report, start = run.report_path.resolve(), folder.resolve()
    if not report.is_file() or report.drive != start.drive:
        return ""
    shared = Path(os.path.commonpath([report, start]))
    if shared == Path(shared.anchor) or Path.home().is_relative_to(shared):
        return ""
    return quote(Path(os.path.relpath(report, start)).as_posix())
