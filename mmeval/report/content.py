"""The content of a report: scores, warnings, notes and provenance of a run, shared by all views."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa

from mmeval.comparison.sentences import language_name, number
from mmeval.data.check import lines, majority_lines
from mmeval.data.reading.text import without_folders, word_without_folders
from mmeval.metrics.catalogue import Metric, describe, title
from mmeval.metrics.intervals import RARE_CLASSES
from mmeval.metrics.row import ALL, GAP, MACRO, MEAN, SUMMARIES, WEIGHTED, WORST
from mmeval.record import ExternalSource, Record
from mmeval.report import efficiency
from mmeval.report.citing import Citation, citations

MAIN_METRICS = (
    *("top1", "top5", "top3", "top2", "map", "micro_f1"),
    *("macro_f1", "weighted_f1", "subset_accuracy"),
)
"""Metrics of the table per language, in its order; a task has one of the top-k metrics, or is multi-label."""
FIRST_METRICS = ("top1", "map")
"""The metric of headlines and charts: accuracy, or for a multi-label task the mean average precision."""
SIGNIFICANT = 0.05
"""The p of the omnibus test below which languages are said to differ."""
MOST_TIED_NAMES = 3
"""If more languages tie for the worst, a report gives their number in place of their names."""
PROTOCOL = frozenset(
    {
        *("data", "data fingerprint", "scored split", "inputs", "limit", "track", "training seeds", "examples"),
        *("selected on validation", "paper", "model licence", "preset"),
    }
)
"""Names of the rows of the provenance table that describe protocol and model."""
SUMMARY_TITLES = {
    MACRO: "mean over languages",
    WEIGHTED: "mean weighted by precision",
    WORST: "worst language",
    GAP: "gap, best minus worst",
    ALL: "all rows pooled",
}
"""Titles of the rows below the languages."""


PATH_OPTIONS = frozenset(
    {"--source", "--images", "--output", "--like", "--validation", "--hierarchy", "--from", "--metric", "--plugin"}
)
"""Options of a command line whose values are paths, or may be."""
TABLE = "table:"
_OUTSIDE = re.compile(
    r"\.\.?[/\\]|~|[a-z]+:///|(?!hf:|[a-z]+://).*[/\\][^/\\]+\.(csv|tsv|jsonl?|parquet|arrow|py|zip|txt)$"
)
"""Matches a path that begins with ``./``, ``../``, ``~`` or ``file:///``, or ends in the name of a data file."""
UNRELIABLE = "*"
"""Mark of an interval that can't be relied on."""


class Estimate(NamedTuple):
    """A score with its 95 % interval and its number of examples; NaN where there are no examples."""

    value: float
    low: float
    high: float
    n: int
    reliable: bool = True
    """Whether enough examples and clusters stand behind the interval for it to hold."""
    method: str = ""
    """The method of the interval."""
    p: float = float("nan")
    """For the worst language and the gap: p of the test that all languages have the same score."""

    @property
    def defined(self) -> bool:
        """Whether the score is a number; it is not if there are no examples."""
        return self.value == self.value

    def __str__(self) -> str:
        """Return ``0.792``, or a dash for an undefined score."""
        return f"{self.value:.3f}" if self.defined else "–"

    @property
    def interval(self) -> str:
        """The interval as ``0.761–0.823``, with a star if it can't be relied on; a star alone if none can hold."""
        star = "" if self.reliable else UNRELIABLE
        if self.low != self.low:
            return UNRELIABLE if self.defined and self.method == RARE_CLASSES else ""
        return f"{self.low:.3f}–{self.high:.3f}{star}"


def p_text(p: float) -> str:
    """Return p as ``p = .30``, ``p = .012`` or ``p < .001``."""
    if p < 0.001:
        return "p < .001"
    return f"p = {p:.2f}".replace("0.", ".") if p >= 0.095 else f"p = {p:.3f}".replace("0.", ".")


def short(value: float) -> str:
    """Return a score without the zero before the point, as sentences have it: ``.778``; a dash if it is undefined."""
    return number(value) if value == value else "–"


@dataclass(frozen=True)
class Content:
    """Record, Scores and gallery of a run, and everything that its reports show of them."""

    record: Record
    scores: pa.Table
    gallery: list[dict[str, Any]]

    @property
    def title(self) -> str:
        """The title of the report: ``embracenet on emoji14``."""
        return f"{self.record.plan.plugin.name} on {self.record.plan.protocol.dataset}"

    @property
    def warnings(self) -> list[str]:
        """Warnings about the data and about unverified files, shown above the scores."""
        warnings = [without_folders(warning) for warning in self.record.data.get("warnings", [])]
        if self.record.schema_version == 1:
            warnings.append("The files of this run are unverified: its run.json has schema 1, which has no digests.")
        return warnings

    @cached_property
    def _estimates(self) -> dict[tuple[str, str, str, str], Estimate]:
        seeds = set(self.scores["seed"].to_pylist())
        seed = MEAN if MEAN in seeds else next(iter(seeds), "")
        return {
            (row["task"], row["slice"], row["language"], row["metric"]): Estimate(
                row["value"], row["low"], row["high"], row["n"], bool(row["reliable"]), row["method"], row["p"]
            )
            for row in self.scores.to_pylist()
            if row["seed"] == seed and not row["class"]
        }

    def estimate(self, task: str, language: str, metric: str, slice_: str = ALL) -> Estimate:
        """Return a score; it is undefined if Scores lacks it."""
        undefined = Estimate(float("nan"), float("nan"), float("nan"), 0)
        return self._estimates.get((task, slice_, language, metric), undefined)

    @cached_property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of the data set."""
        return self._distinct("task")

    @cached_property
    def languages(self) -> list[str]:
        """Language codes, sorted."""
        return sorted(set(self._distinct("language")) - {ALL, *SUMMARIES})

    def metrics(self, task: str) -> list[str]:
        """Return the metrics of a task's table per language: the main ones, then those of plugins."""
        names = dict.fromkeys(metric for name, _, _, metric in self._estimates if name == task)
        return [name for name in dict.fromkeys((*MAIN_METRICS, *self.record.metrics)) if name in names]

    @cached_property
    def slice_metrics(self) -> list[str]:
        """The metrics of all tasks that some slice has, for a table with a row per slice and task."""
        names = {
            metric
            for task in self.tasks
            for metric in self.metrics(task)
            if any(self.estimate(task, MACRO, metric, name).defined for name in self.slices)
        }
        return [name for name in dict.fromkeys((*MAIN_METRICS, *self.record.metrics)) if name in names]

    def first_metric(self, task: str) -> str:
        """Return the metric of a task's headline and chart: ``top1``, or ``map`` for a multi-label task."""
        metrics = self.metrics(task)
        return next((metric for metric in FIRST_METRICS if metric in metrics), FIRST_METRICS[0])

    def n(self, task: str, language: str, slice_: str = ALL) -> int:
        """Return the number of examples behind the scores of a language or summary."""
        return self.estimate(task, language, self.first_metric(task), slice_).n

    def differ(self, task: str, metric: str) -> bool:
        """Return whether the languages differ in a metric (p < .05), so that its best and worst may be coloured."""
        return self.estimate(task, WORST, metric).p < SIGNIFICANT

    def headline(self, task: str) -> str:
        """Return in one sentence whether the languages of a task can be told apart; empty for a single language."""
        metric = self.first_metric(task)
        title, worst = self.metric_title(metric), self.estimate(task, WORST, metric)
        if len(self.languages) < 2 or worst.p != worst.p:
            return ""
        at = f"{self._worst_words(task)} at {short(worst.value)}"
        if worst.p >= SIGNIFICANT:
            return f"No language can be told from another in {title} of {task}, {p_text(worst.p)}; {at}."
        gap = self.estimate(task, GAP, metric)
        interval = f"{short(gap.low)}–{short(gap.high)}"
        return (
            f"Languages differ in {title} of {task}, {p_text(worst.p)}: {at}, {short(gap.value)} below the best "
            f"({interval})."
        )

    def lead(self, task: str) -> str:
        """Return the first sentence about a task: its headline, or the score of its only language."""
        if headline := self.headline(task):
            return headline
        scored = self.ranked(task)
        title = self.metric_title(self.first_metric(task))
        if not scored:
            return f"No row has a label of {task}, so it has no scores."
        if len(scored) == 1:
            (language, estimate), *_ = scored
            interval = f" ({short(estimate.low)}–{short(estimate.high)})" if estimate.low == estimate.low else ""
            only = language_name(language)
            return f"{only} is at {short(estimate.value)} in {title} of {task}{interval}; there is no other language."
        mean = self.estimate(task, MACRO, self.first_metric(task))
        return f"The mean over {len(scored)} languages is {short(mean.value)} in {title} of {task}."

    def _worst_words(self, task: str) -> str:
        """Return the worst languages in words: ``the worst, Japanese, is``."""
        worst = [language_name(language) for language in self.worst(task)]
        if not worst:
            return "all are"
        if len(worst) > MOST_TIED_NAMES:
            return f"the worst, {len(worst)} languages that tie, are"
        names = " and ".join(filter(None, (", ".join(worst[:-1]), worst[-1])))
        return f"the worst, {names}, {'is' if len(worst) == 1 else 'are'}"

    @property
    def headlines(self) -> list[str]:
        """The headline of each task."""
        return [line for line in map(self.headline, self.tasks) if line]

    @cached_property
    def slices(self) -> list[str]:
        """Names of the slices that have a mean over languages, without the slice of all rows."""
        means = {slice_ for _, slice_, language, _ in self._estimates if language == MACRO}
        return [name for name in self._distinct("slice") if name != ALL and name in means]

    def metric_title(self, metric: str) -> str:
        """Return the usual spelling of a metric: ``top-1`` for ``top1``."""
        return title(metric)

    def ranked(self, task: str, metric: str = "") -> list[tuple[str, Estimate]]:
        """Return the languages that have a score, with the scores, highest first; by default of the first metric."""
        metric = metric or self.first_metric(task)
        estimates = [(language, self.estimate(task, language, metric)) for language in self.languages]
        return sorted((pair for pair in estimates if pair[1].defined), key=lambda pair: -pair[1].value)

    def best(self, task: str, metric: str = "") -> list[str]:
        """Return the best languages: several if they tie, none if all languages tie."""
        return self._ends(task, metric)[0]

    def worst(self, task: str, metric: str = "") -> list[str]:
        """Return the worst languages: several if they tie, none if all languages tie."""
        return self._ends(task, metric)[1]

    def worst_text(self, task: str, metric: str = "", *, english: bool = False) -> str:
        """Return the worst languages as text: their codes, or their number if more than three tie; empty for none.

        Args:
            task: the task.
            metric: the metric; empty for the first one.
            english: their English names in place of their codes.
        """
        worst = [language_name(code) if english else code for code in self.worst(task, metric)]
        return ", ".join(worst) if len(worst) <= MOST_TIED_NAMES else f"{len(worst)} languages tie"

    def _ends(self, task: str, metric: str) -> tuple[list[str], list[str]]:
        metric = metric or self.first_metric(task)
        ranked = self.ranked(task, metric)
        if not ranked or ranked[0][1].value == ranked[-1][1].value:
            return [], []
        highest, lowest = (
            [language for language, estimate in ranked if estimate.value == end.value]
            for _, end in (ranked[0], ranked[-1])
        )
        # Only the row of the worst language tells whether lower values of a metric are better.
        lower_is_better = self.estimate(task, WORST, metric).value == ranked[0][1].value
        return (lowest, highest) if lower_is_better else (highest, lowest)

    @property
    def summary_rows(self) -> list[tuple[str, str]]:
        """Keys and titles of the rows below the languages; a single language has no worst language and no gap."""
        keys = (MACRO, WEIGHTED, WORST, GAP, ALL) if len(self.languages) > 1 else (MACRO, ALL)
        return [(key, SUMMARY_TITLES[key]) for key in keys]

    @property
    def notes(self) -> list[str]:
        """Sentences about marks and gaps of the tables, and about the file of another tool."""
        return [*self.mark(MAIN_METRICS), *self.gaps]

    def mark(self, metrics: Collection[str]) -> list[str]:
        """Return a sentence that explains the star, if an interval of these metrics has one."""
        starred = any(
            estimate.interval.endswith(UNRELIABLE)
            for (_, slice_, _, metric), estimate in self._estimates.items()
            if metric in metrics and slice_ in (ALL, *self.slices)
        )
        return (
            [f"{UNRELIABLE} Too few examples, clusters, seeds or rows of a class for an interval to be relied on."]
            if starred
            else []
        )

    @property
    def gaps(self) -> list[str]:
        """Sentences about metrics that are absent, and about the file of another tool."""
        source = self.record.source
        external = [
            f"{task} has predicted classes only: metrics that need probabilities (top-k, log loss, Brier, calibration, "
            "recall at a precision) are absent."
            for task in (source.labels_only if source else [])
        ]
        return [*external, *(map(without_folders, source.notes) if source else [])]

    def more_metrics(self, task: str) -> list[tuple[Metric, Estimate, Estimate]]:
        """Return the built-in metrics that the table per language has no room for.

        Each has its description, its score over all rows pooled, and its mean over languages.
        """
        names = dict.fromkeys(metric for name, slice_, _, metric in self._estimates if (name, slice_) == (task, ALL))
        described = [(describe(name), name) for name in names if name not in MAIN_METRICS]
        return [
            (metric, self.estimate(task, ALL, name), self.estimate(task, MACRO, name))
            for metric, name in described
            if metric is not None and self.estimate(task, ALL, name).defined
        ]

    @property
    def data_check(self) -> list[str]:
        """The data check as sentences; empty for older records."""
        return [without_folders(line) for line in lines(self.record.data_check)]

    @property
    def majority(self) -> list[str]:
        """A sentence about the majority-class baseline of each task."""
        return majority_lines(self.record.data_check)

    @property
    def citations(self) -> list[Citation]:
        """The works that a publication of the run should cite: its data set, the model's paper and mmeval."""
        return citations(self.record)

    @property
    def command(self) -> str:
        """The command line for published pages: paths of files are shortened to their names."""
        try:
            words = shlex.split(self.record.command)
        except ValueError:
            return without_folders(self.record.command)
        shown = [
            _file_name(word) if before in PATH_OPTIONS else _public_word(word)
            for before, word in zip(["", *words], words, strict=False)
        ]
        return shlex.join(shown) if shown != words else self.record.command

    @property
    def options(self) -> dict[str, Any]:
        """All options of the model; absolute paths are shortened to file names."""
        return {name: _without_folders(value) for name, value in self.record.plan.config.items()}

    @property
    def seeds_text(self) -> str:
        """The training seeds as ``3 seeds: 0, 1, 2``."""
        seeds = self.record.plan.protocol.seeds
        return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}: {', '.join(map(str, seeds))}"

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """Names and values of the provenance table."""
        record, protocol = self.record, self.record.plan.protocol
        if record.source is not None:
            return self._external_provenance(record.source)
        selected = ", ".join(
            f"seed {seed}: epoch {facts['best_epoch']} of {facts['epochs']}"
            for seed, facts in record.seeds.items()
            if "best_epoch" in facts
        )
        return [
            ("data", without_folders(f"{record.data['summary']} ({record.data['licence']})")),
            ("data fingerprint", protocol.fingerprint),
            ("scored split", protocol.split),
            ("inputs", protocol.inputs.value),
            ("limit", f"{protocol.limit} examples of each split: a trial, not a result" if protocol.limit else "none"),
            ("track", protocol.track),
            ("training seeds", self.seeds_text),
            *([("selected on validation", selected)] if selected else []),
            ("paper", record.plan.plugin.paper),
            ("model licence", record.plan.plugin.licence),
            ("preset", record.plan.preset),
            *self.efficiency,
            ("started", record.started),
            ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
            ("commit", record.git_commit or "installed package"),
        ]

    @property
    def protocol(self) -> list[tuple[str, str]]:
        """The rows of :attr:`provenance` that compared runs must share, and those that describe the model."""
        return [(name, value) for name, value in self.provenance if name in PROTOCOL]

    @property
    def origin(self) -> list[tuple[str, str]]:
        """The other rows of :attr:`provenance`, without those of :attr:`efficiency`."""
        measured = {name for name, _ in self.efficiency}
        return [(name, value) for name, value in self.provenance if name not in PROTOCOL and name not in measured]

    @property
    def data_card(self) -> list[tuple[str, str]]:
        """Names and values of the summary of the data: its name, licence, languages and splits."""
        data = self.record.data
        sizes = data.get("splits")
        splits = sizes.items() if isinstance(sizes, dict) else ()
        languages = sorted({*self.languages, *(self.record.data_check.languages if self.record.data_check else ())})
        images = data.get("images")
        rows = [
            ("name", str(data["name"])),
            ("summary", without_folders(str(data["summary"]))),
            ("licence", str(data["licence"]) or "not stated"),
            ("languages", f"{len(languages)}: {', '.join(map(language_name, languages))}" if languages else ""),
            ("examples", ", ".join(f"{name} {count:,}" for name, count in splits if isinstance(count, int))),
            ("images", f"{images:,}" if isinstance(images, int) else ""),
            ("credit", str(data["credit"])),
        ]
        return [(name, value) for name, value in rows if value]

    def _external_provenance(self, source: ExternalSource) -> list[tuple[str, str]]:
        """Return the provenance of a run whose predictions another tool made."""
        record, protocol = self.record, self.record.plan.protocol
        files = [("predictions", source.file, source.sha256)]
        if source.validation_file:
            files.append(("validation predictions", source.validation_file, source.validation_sha256))
        return [
            *((name, f"{file} (SHA-256 {sha256})") for name, file, sha256 in files),
            ("rows", f"{source.rows:,}"),
            *([("examples", f"those of {source.like}")] if source.like else []),
            ("data", protocol.dataset),
            ("data fingerprint", protocol.fingerprint),
            ("scored split", protocol.split),
            ("inputs", protocol.inputs.value),
            ("training seeds", self.seeds_text),
            ("started", record.started),
            ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
            ("commit", record.git_commit or "installed package"),
        ]

    @property
    def efficiency(self) -> list[tuple[str, str]]:
        """Device, time, memory, and the measured efficiency as far as it is known; empty for another tool's run."""
        record, measured = self.record, self.record.efficiency
        if record.source is not None:
            return []
        seconds = f"{record.wall_seconds:,.0f} s in total, {record.device_seconds:,.0f} s for training and prediction"
        memory = f"{record.peak_memory_bytes / 2**30:.2f} GiB" if record.peak_memory_bytes else "unknown"
        always = [("device", record.device), ("time", seconds), ("peak memory", memory)]
        if measured is None:
            return always
        rows = [
            *always,
            ("parameters", efficiency.parameters(measured)),
            ("forward pass", efficiency.flops(measured)),
            ("speed", efficiency.speed(measured)),
            ("peak device memory", efficiency.device_memory(measured)),
            ("energy", efficiency.energy(measured)),
        ]
        return [(name, text) for name, text in rows if text]

    def _distinct(self, column: str) -> list[str]:
        return list(dict.fromkeys(self.scores[column].to_pylist()))


def _public_word(word: str) -> str:
    """Return a word of a command line with the paths in it shortened to file names."""
    option, equals, value = word.partition("=")
    if option in PATH_OPTIONS and equals:
        return f"{option}={_file_name(value)}"
    if word.startswith((TABLE, f"--dataset={TABLE}")):
        head, _, path = word.partition(TABLE)
        return f"{head}{TABLE}{_file_name(path)}"
    return _file_name(word) if _OUTSIDE.match(word) else word_without_folders(word)


def _file_name(path: str) -> str:
    """Return the last part of a path, which may stand after the name of a task: ``item=../trees/item.csv``."""
    task, equals, path = path.rpartition("=")
    name = re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path
    return task + equals + (path if path == f"./{name}" else name)


def _without_folders(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(value, str):
        return word_without_folders(value)
    if isinstance(value, dict):
        return {name: _without_folders(inner) for name, inner in value.items()}
    return [_without_folders(inner) for inner in value] if isinstance(value, list) else value
