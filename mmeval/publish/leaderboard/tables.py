"""The tables of a leaderboard: runs of one protocol on the same rows, compared in pairs for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.label_sets import SUBSET_ACCURACY
from mmeval.comparison.standings import Standing, standings
from mmeval.console import Advance, progress
from mmeval.errors import UserError
from mmeval.metrics.row import MACRO
from mmeval.protocol import Inputs, Protocol
from mmeval.publish.leaderboard.runs import Entry, without_path
from mmeval.runs.compare import FIELDS, AlignedRuns

TOP1 = "top1"


@dataclass(frozen=True)
class TaskResults:
    """The runs of a table in one task."""

    task: str
    metric: str
    """The metric of scores and tests: ``top1``, or ``subset_accuracy`` of a multi-label task."""
    entries: list[Entry]
    """The runs that take part, best first."""
    comparison: Comparison | None
    """All pairs of the runs; None for a single run."""
    places: Mapping[str, Standing]
    """The place of each run, by its digest; empty for a single run."""
    languages: list[str]
    by_language: Mapping[str, Mapping[str, Standing]]
    """The place of each run in each language."""
    left_out: list[str]
    """Sentences about runs of the table that take no part."""


@dataclass(frozen=True)
class Table:
    """Runs that may be compared: they share data, split, inputs, label policy, limit and track, and their rows agree.

    Predictions of another tool, whose inputs and training are not known, stand in each table whose rows they answer.
    """

    protocol: Protocol
    """The protocol of the first run."""
    entries: list[Entry]
    tasks: list[TaskResults]

    @property
    def is_external(self) -> bool:
        """Whether all predictions are of other tools."""
        return all(entry.is_external for entry in self.entries)


@dataclass
class _Group:
    """Runs of one table while they are read."""

    protocol: Protocol
    entries: list[Entry] = field(default_factory=list)
    aligned: AlignedRuns = field(default_factory=lambda: AlignedRuns(every_task=True))

    def add(self, entry: Entry, advance: Advance = lambda *_, **__: None) -> None:
        self.aligned.add(entry.folder, entry.digest, advance)
        self.entries.append(entry)


def tables(entries: Sequence[Entry]) -> tuple[list[Table], list[str]]:
    """Return the tables of a leaderboard, and sentences about runs that take part in none.

    Args:
        entries: the runs.
    """
    groups: dict[tuple[object, ...], _Group] = {}
    left_out: list[str] = []
    with progress("Reading predictions of", len(entries), "runs") as advance:
        for entry in entries:
            try:
                _place(entry, groups)
            except UserError as error:
                left_out.append(f"{entry.name} is left out: {_message(error, entries)}")
            advance()
    pairs = sum(_pairs(group) for group in groups.values())
    with progress("Comparing", pairs, "pairs") as advance:
        made = [
            Table(group.protocol, group.entries, [_task(group, task, advance) for task in group.aligned.tasks])
            for group in groups.values()
        ]
    order = sorted(made, key=lambda table: tuple(str(value) for value in _key(table.protocol)))
    return order, left_out


def _place(entry: Entry, groups: dict[tuple[object, ...], _Group]) -> None:
    """Add a run to the table of its protocol; predictions of another tool to every table whose rows they answer.

    Raises:
        UserError: its predictions were changed, or have other rows than the runs of the same protocol.
    """
    protocol = entry.record.plan.protocol
    key = _key(protocol)
    if not entry.is_external:
        # A group is kept only if its first run could be read.
        group = groups.get(key) or _Group(protocol)
        group.add(entry)
        groups[key] = group
        return
    # Entries come with those of other tools last, so that all tables of trained runs exist.
    fitting = 0
    for group in groups.values():
        known = protocol.inputs is Inputs.UNKNOWN or protocol.inputs == group.protocol.inputs
        if not known or (entry.record.source and entry.record.source.like and not _same_data(protocol, group.protocol)):
            continue
        try:
            group.add(entry)
        except UserError:
            continue
        fitting += 1
    if not fitting:
        group = _Group(protocol)
        group.add(entry)
        groups[(*key, entry.digest)] = group


def _key(protocol: Protocol) -> tuple[object, ...]:
    return tuple(getattr(protocol, name) for name in FIELDS)


def _same_data(a: Protocol, b: Protocol) -> bool:
    return (a.dataset, a.fingerprint, a.split, a.limit) == (b.dataset, b.fingerprint, b.split, b.limit)


def _pairs(group: _Group) -> int:
    count = 0
    for task in group.aligned.tasks:
        runs = sum(group.aligned.takes_part(entry.digest, task) for entry in group.entries)
        count += runs * (runs - 1) // 2
    return count


def _task(group: _Group, task: str, advance: Advance) -> TaskResults:
    aligned = group.aligned
    taking_part = [entry for entry in group.entries if aligned.takes_part(entry.digest, task)]
    left_out = []
    for entry in group.entries:
        try:
            aligned.require(entry.digest, task)
        except UserError as error:
            left_out.append(f"{entry.name} takes no part in {task}: {_message(error, group.entries)}")
    first = taking_part[0].content
    metric = TOP1 if first.estimate(task, MACRO, TOP1).defined else SUBSET_ACCURACY
    languages = [code for code in first.languages if first.estimate(task, code, metric).defined]
    if len(taking_part) == 1:
        return TaskResults(task, metric, taking_part, None, {}, languages, {}, left_out)
    comparison = aligned.compare([entry.digest for entry in taking_part], task=task, advance=advance)
    places = {place.run: place for place in standings(comparison)}
    by_digest = {entry.digest: entry for entry in taking_part}
    return TaskResults(
        task=task,
        metric=comparison.metric,
        entries=[by_digest[digest] for digest in places],
        comparison=comparison,
        places=places,
        languages=list(comparison.runs[0].languages),
        by_language={
            code: {place.run: place for place in standings(comparison, code)} for code in comparison.runs[0].languages
        },
        left_out=left_out,
    )


def _message(error: UserError, entries: Sequence[Entry]) -> str:
    """Return a message that calls runs by their names, without digests and folders."""
    text = str(error)
    for entry in entries:
        text = without_path(text.replace(entry.digest, entry.name), entry.folder)
    return text
