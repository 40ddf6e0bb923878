"""The comparison of run folders: their protocols are checked, their predictions read and brought into one order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from mmeval.api.spec import MetricSpec
from mmeval.comparison.alignment import Alignment, SeedOutcomes, first_task
from mmeval.comparison.comparison import ComparedRun, Comparison, compare_aligned
from mmeval.comparison.correction import Correction
from mmeval.comparison.sentences import is_share
from mmeval.comparison.write import write_comparison
from mmeval.console import Advance, note, progress
from mmeval.errors import RunFolderError, UserError
from mmeval.metrics.catalogue import is_built_in, lower_is_better
from mmeval.metrics.predictions import read_predictions
from mmeval.plugin.manager import Manager
from mmeval.record import Record
from mmeval.report.comparison import html
from mmeval.runs.folder import UNVERIFIED, RunFolder

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


class RunComparison(Comparison):
    """The result of :func:`compare`; it shows its table in a notebook."""

    def write(self, folder: str | Path) -> None:
        """Write ``comparison.json`` and ``comparison.parquet`` into a folder.

        Raises:
            UserError: the folder is a run folder or a file.
        """
        write_comparison(self, Path(folder))

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
    fields = {field: title for field, title in FIELDS.items() if field not in ignored}
    forced = list(_protocol_differences(names, records, fields))
    if forced and not force:
        raise RunFolderError(
            f"The runs follow different protocols: {'; '.join(forced)}. Compare runs of one protocol, or add --force "
            "to compare them all the same."
        )
    runs = AlignedRuns(metric, task, force=force)
    with progress("Reading", sum(len(r.plan.protocol.seeds) for r in records), "predictions files") as advance:
        for folder, name in zip(folders, names, strict=True):
            runs.add(folder, name, advance)
    result = runs.compare(
        names,
        correction="bh" if correction == "bh" else "holm",
        margin=margin,
        forced=[f"{problem}." for problem in forced],
    )
    notes = (*result.notes, *_external_notes(names, records))
    return RunComparison(**vars(result) | {"notes": notes})


class AlignedRuns:
    """Runs whose predictions were read and brought into the order of the first one."""

    def __init__(self, metric: str | None = None, task: str | None = None, *, force: bool = False) -> None:
        """Name the metric and the task; None: the first task of the first run.

        Raises:
            UserError: there is no such metric.
        """
        self._specs, self.metric = _metric(metric)
        self._task, self._force = task, force
        self._alignment: Alignment | None = None
        self._runs: dict[str, tuple[ComparedRun, dict[int, SeedOutcomes]]] = {}

    def add(self, folder: RunFolder, name: str, advance: Advance = lambda *_, **__: None) -> None:
        """Read all predictions of a finished run.

        Args:
            folder: the run.
            name: its name in the comparison.
            advance: called after each file.

        Raises:
            UserError: the run has other rows than the first one, or lacks the task or the metric.
            RunFolderError: there is no finished run, or its predictions were changed.
        """
        record = folder.record
        if record.schema_version == 1:
            note(f"{folder.path}: its files are {UNVERIFIED}.")
        outcomes: dict[int, SeedOutcomes] = {}
        alignment = self._alignment
        for seed in record.plan.protocol.seeds:
            file = folder.predictions_file(seed)
            folder.require_unchanged(file)
            predictions = read_predictions(file, self._specs)
            if alignment is None:
                task = self._task or first_task(predictions)
                alignment = Alignment.start(name, predictions, task, self.metric, force=self._force)
            several = len(record.plan.protocol.seeds) > 1
            outcomes[seed] = alignment.add(name, predictions, seed if several else None)
            advance()
        self._alignment = alignment
        seeds = tuple(record.plan.protocol.seeds)
        run = ComparedRun(name, record.plan.plugin.name, str(folder.path), seeds, efficiency=record.efficiency)
        self._runs[name] = run, outcomes

    def compare(
        self,
        names: Sequence[str],
        *,
        pairs: Sequence[tuple[int, int]] | None = None,
        correction: Correction = "holm",
        margin: float | None = None,
        forced: Sequence[str] = (),
    ) -> Comparison:
        """Compare some of the runs.

        Args:
            names: their names, at least two.
            pairs: numbers of the runs of each pair; by default all pairs.
            correction: the correction over languages.
            margin: the largest difference that does not matter.
            forced: differences between the runs that the user allowed.

        Raises:
            UserError: the margin is not above 0, or the runs share no row.
        """
        assert self._alignment is not None
        return compare_aligned(
            self._alignment,
            [self._runs[name][0] for name in names],
            [self._runs[name][1] for name in names],
            pairs=pairs,
            correction=correction,
            margin=margin,
            lower_is_better=lower_is_better(self._alignment.metric)
            or any(not spec.higher_is_better for spec in self._specs),
            forced=forced,
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
        for field, title in fields.items():
            mine, theirs = getattr(first, field), getattr(record.plan.protocol, field)
            if mine != theirs and field not in unknown:
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
