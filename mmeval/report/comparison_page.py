"""The page of a comparison: the answer in words, differences per language, ranks, pairs, and protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mmeval.comparison.comparison import TOO_FEW, A, B, Comparison, LanguageComparison, PairComparison
from mmeval.comparison.sentences import (
    headline,
    language_name,
    limits,
    names_of,
    number,
    p_text,
    pair_sentences,
    signed,
)
from mmeval.comparison.standings import Standing, standings
from mmeval.data.power import ALPHA
from mmeval.data.reading.text import without_folders
from mmeval.metrics.catalogue import title as title_of
from mmeval.record import Record
from mmeval.report.axis import Axis, linear
from mmeval.report.comparison import CORRECTIONS, caption, ties
from mmeval.report.model_cells import COST_HEADINGS, Cell, cost_cells, plots
from mmeval.report.page import render
from mmeval.report.scatter import Point, Scatter

MOST_PAIR_DETAILS = 60
"""Charts and tables per language are written for this number of pairs, which is more than 11 models have."""

MOST_TIED = 12
"""For more runs, letters alone tell which can't be told apart."""


@dataclass(frozen=True)
class Mark:
    """The row of a language, or of the mean, in a chart of differences; positions are in percent."""

    label: str
    code: str
    difference: str
    verdict: str
    winner: str
    """The name of the better run; empty if no run is."""
    dot: float
    low: float
    high: float
    band: tuple[float, float] | None
    """Ends of the differences that the rows would not show; None for the mean."""
    significant: bool


@dataclass(frozen=True)
class PairView:
    """Two runs: their difference in the mean and in each language."""

    a: str
    b: str
    pair: PairComparison
    sentences: list[str]
    axis: Axis
    marks: list[Mark]
    detailed: bool
    """Whether the page has its chart and its table per language."""

    @property
    def title(self) -> str:
        """``late-fusion minus clip``."""
        return f"{self.a} minus {self.b}"

    @property
    def interval(self) -> str:
        """The 95 % interval of the mean over languages."""
        return interval(self.pair.mean.low, self.pair.mean.high)


@dataclass(frozen=True)
class RunView:
    """A run in the table of ranks."""

    name: str
    link: str
    place: Standing
    seeds: int
    external: bool
    languages: list[float]
    cost: list[Cell]


@dataclass(frozen=True)
class TaskView:
    """The comparison by one task."""

    comparison: Comparison
    metric: str
    headline: str
    caption: str
    runs: list[RunView]
    pairs: list[PairView]
    ties: list[str]
    limits: list[str]
    plots: list[tuple[str, Scatter]]
    """Title and layout of each plot of score against size or cost."""

    @property
    def task(self) -> str:
        """The task."""
        return self.comparison.task

    @property
    def languages(self) -> list[tuple[str, str]]:
        """Code and name of each language."""
        return [(each.language, language_name(each.language)) for each in self.comparison.languages]


def page(
    comparisons: Sequence[Comparison],
    records: Mapping[str, Record],
    *,
    links: Mapping[str, str] | None = None,
    left_out: Sequence[str] = (),
) -> str:
    """Return the page of a comparison as HTML.

    Args:
        comparisons: the comparison by each task, of the same runs; the first one stands first.
        records: the records of the runs by their names in the comparison.
        links: for each run the relative path of its report, if the page may link it.
        left_out: sentences about tasks that are left out.
    """
    names = _published_names(comparisons[0])
    records = {names[name]: record for name, record in records.items() if name in names}
    links = {names[name]: link for name, link in (links or {}).items() if name in names}
    tasks = [_task(comparison.renamed(names), records, links) for comparison in comparisons]
    first = tasks[0].comparison
    shown = names_of(first)
    return render(
        "comparison.html.jinja",
        title=_title(list(shown.values()), records),
        tasks=tasks,
        runs=[(shown[name], record) for name, record in records.items()],
        protocol=[(field, [_shown(value(record)) for record in records.values()]) for field, value in PROTOCOL],
        left_out=[without_folders(line) for line in left_out],
        cost_headings=COST_HEADINGS,
        correction=CORRECTIONS[first.correction],
        number=number,
        signed=signed,
        p_text=p_text,
        language_name=language_name,
        interval=interval,
        TOO_FEW=TOO_FEW,
        A=A,
        B=B,
        most=MOST_PAIR_DETAILS,
    )


PROTOCOL = (
    ("data set", lambda record: record.plan.protocol.dataset),
    ("data fingerprint", lambda record: record.plan.protocol.fingerprint[:16]),
    ("scored split", lambda record: record.plan.protocol.split),
    ("inputs", lambda record: record.plan.protocol.inputs.value),
    ("label policy", lambda record: record.plan.protocol.labels),
    ("track", lambda record: record.plan.protocol.track),
    ("training seeds", lambda record: ", ".join(map(str, record.plan.protocol.seeds))),
    ("limit", lambda record: record.plan.protocol.limit),
    ("model", lambda record: f"{record.plan.plugin.name} {record.plan.plugin.version}"),
    ("preset", lambda record: record.plan.preset),
    ("mmeval", lambda record: record.versions.get("mmeval-multilingual")),
    ("device", lambda record: record.device),
    ("started", lambda record: record.started),
)
"""Rows of the table with the protocol and the provenance of each run."""


def interval(low: float, high: float) -> str:
    """Return an interval of a difference: ``+.028 to +.121``."""
    return f"{signed(low)} to {signed(high)}"


def _shown(value: object) -> str:
    return without_folders(str(value)) if value not in (None, "") else "–"


def _title(names: Sequence[str], records: Mapping[str, Record]) -> str:
    data = dict.fromkeys(record.plan.protocol.dataset for record in records.values() if record.source is None)
    on = f" on {', '.join(data)}" if data else ""
    return (" and ".join(names) if len(names) == 2 else f"{len(names)} runs") + on


def _published_names(comparison: Comparison) -> dict[str, str]:
    """Return the name of each run on the page, which is no path of this machine."""
    names: dict[str, str] = {}
    for run in comparison.runs:
        path = PurePath(run.name)
        name = "/".join(path.parts[-2:]) if path.is_absolute() or ".." in path.parts else run.name
        count = sum(other.partition(" (")[0] == name for other in names.values())
        names[run.name] = f"{name} ({count + 1})" if count and name != run.name else name
    return names


def _task(comparison: Comparison, records: Mapping[str, Record], links: Mapping[str, str]) -> TaskView:
    names = names_of(comparison)
    runs = {run.name: run for run in comparison.runs}
    places = standings(comparison)
    nan = float("nan")
    points = [
        (Point(names[run.name], None, run.value, nan, nan), run.efficiency, len(run.seeds)) for run in comparison.runs
    ]
    return TaskView(
        comparison=comparison,
        metric=title_of(comparison.metric),
        headline=headline(comparison),
        caption=caption(comparison),
        runs=[
            RunView(
                name=names[place.run],
                link=links.get(place.run, ""),
                place=place,
                seeds=len(runs[place.run].seeds),
                external=place.run in records and records[place.run].source is not None,
                languages=list(runs[place.run].languages.values()),
                cost=cost_cells(runs[place.run].efficiency, len(runs[place.run].seeds)),
            )
            for place in places
        ],
        pairs=[_pair(comparison, pair, detailed=n < MOST_PAIR_DETAILS) for n, pair in enumerate(comparison.pairs)],
        ties=ties(comparison) if 2 < len(comparison.runs) <= MOST_TIED else [],
        limits=[without_folders(line) for line in limits(comparison)],
        plots=plots(points, lower_is_better=comparison.lower_is_better) if len(comparison.runs) > 2 else [],
    )


def _pair(comparison: Comparison, pair: PairComparison, *, detailed: bool) -> PairView:
    names = names_of(comparison)
    a, b = names[pair.a], names[pair.b]
    winners = {A: a, B: b}
    several = len(pair.languages) > 1
    ends = [end for each in pair.languages for end in (each.low, each.high)] + [0.0]
    ends += [pair.mean.low, pair.mean.high] if several else []
    axis = linear(ends, signed=True)
    marks = [_mark(each, axis, winners.get(each.verdict, "")) for each in pair.languages] if detailed else []
    if marks and several:
        mean = pair.mean
        dot, low, high = axis.at(mean.difference), axis.at(mean.low), axis.at(mean.high)
        marks.append(
            Mark(
                label="mean over languages",
                code="",
                difference=signed(mean.difference),
                verdict=pair.verdict,
                winner=winners.get(pair.verdict, ""),
                dot=dot,
                low=low,
                high=high,
                band=None,
                significant=pair.p_adjusted < ALPHA,
            )
        )
    sentences = pair_sentences(comparison, pair) if detailed else []
    return PairView(a, b, pair, sentences, axis, marks, detailed)


def _mark(each: LanguageComparison, axis: Axis, winner: str) -> Mark:
    return Mark(
        label=language_name(each.language),
        code=each.language,
        difference=signed(each.difference),
        verdict=each.verdict,
        winner=winner,
        dot=axis.at(each.difference),
        low=axis.at(each.low),
        high=axis.at(each.high),
        band=(axis.at(-each.detectable_adjusted), axis.at(each.detectable_adjusted)),
        significant=each.p_adjusted < ALPHA,
    )
