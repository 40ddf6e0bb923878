"""What every view of a run shows, looked up in Scores."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa

from mmeval.data.check import lines, majority_lines
from mmeval.data.reading.text import without_folders, word_without_folders
from mmeval.metrics.scores import ALL, GAP, MACRO, MEAN, METRICS, WORST
from mmeval.record import Record

METRIC_TITLES = {"top1": "top-1", "top5": "top-5", "macro_f1": "macro-F1", "weighted_f1": "weighted-F1"}
TOP = {"top5": 5}
"""Metrics that are 1 whatever a model does where a task has no more classes than that."""
NAMED = 3
"""Languages that are worst alike and still named."""
VIEW_TITLES = {MACRO: "mean over languages", WORST: "worst language", GAP: "gap, best minus worst", ALL: "all together"}


class Number(NamedTuple):
    """One score with its interval."""

    value: float
    low: float
    high: float
    n: int

    @property
    def defined(self) -> bool:
        """False where there was no example."""
        return self.value == self.value

    def __str__(self) -> str:
        """``0.792``, or a dash where there was no example."""
        return f"{self.value:.3f}" if self.defined else "–"

    @property
    def interval(self) -> str:
        """``0.761–0.823``."""
        return f"{self.low:.3f}–{self.high:.3f}" if self.low == self.low else ""


@dataclass(frozen=True)
class Content:
    """A run's record, Scores and gallery, with look-ups."""

    record: Record
    scores: pa.Table
    gallery: list[dict[str, Any]]

    @property
    def title(self) -> str:
        """``embracenet on emoji14``."""
        return f"{self.record.plan.plugin.name} on {self.record.plan.protocol.dataset}"

    @property
    def warnings(self) -> list[str]:
        """What must be said of the data beside its scores."""
        warnings: list[str] = list(self.record.data.get("warnings", []))
        if self.record.schema_version == 1:
            warnings.append("The files of this run are unverified: its run.json is of schema 1, which has no digests.")
        return warnings

    @cached_property
    def _numbers(self) -> dict[tuple[str, str, str, str], Number]:
        seeds = set(self.scores["seed"].to_pylist())
        shown = MEAN if MEAN in seeds else next(iter(seeds), "")
        return {
            (row["task"], row["slice"], row["language"], row["metric"]): Number(
                row["value"], row["low"], row["high"], row["n"]
            )
            for row in self.scores.to_pylist()
            if row["seed"] == shown
        }

    def number(self, task: str, language: str, metric: str, slice_: str = ALL) -> Number:
        """One score; undefined where Scores has none, or where any model has it (top-5 of five classes)."""
        undefined = Number(float("nan"), float("nan"), float("nan"), 0)
        found = self._numbers.get((task, slice_, language, metric), undefined)
        return undefined._replace(n=found.n) if self._says_nothing(task, metric) else found

    def _says_nothing(self, task: str, metric: str) -> bool:
        check = self.record.data_check
        return check is not None and check.classes.get(task, TOP.get(metric, 0) + 1) <= TOP.get(metric, 0)

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks, in the data set's order."""
        return self._distinct("task")

    @cached_property
    def languages(self) -> list[str]:
        """ISO 639-1 codes, sorted."""
        return sorted(set(self._distinct("language")) - set(VIEW_TITLES))

    @cached_property
    def metrics(self) -> list[str]:
        """Metrics: the built-in ones first."""
        own = self._distinct("metric")
        return [m for m in METRICS if m in own] + [m for m in own if m not in METRICS]

    @cached_property
    def slices(self) -> list[str]:
        """Slices but `all`."""
        return [one for one in self._distinct("slice") if one != ALL]

    def metric_title(self, metric: str) -> str:
        """The metric as people write it."""
        return METRIC_TITLES.get(metric, metric)

    def ranked(self, task: str, metric: str = "top1") -> list[tuple[str, Number]]:
        """Languages that have a score, the best first."""
        numbers = [(language, self.number(task, language, metric)) for language in self.languages]
        return sorted((pair for pair in numbers if pair[1].defined), key=lambda pair: -pair[1].value)

    def best(self, task: str, metric: str = "top1") -> list[str]:
        """The best languages: several if they tie, none if all are alike."""
        return self._ends(task, metric)[0]

    def worst(self, task: str, metric: str = "top1") -> list[str]:
        """The worst languages: several if they tie, none if all are alike."""
        return self._ends(task, metric)[1]

    def worst_text(self, task: str, metric: str = "top1") -> str:
        """The worst languages by name, or how many tie if those are many; empty if there are none."""
        worst = self.worst(task, metric)
        return ", ".join(worst) if len(worst) <= NAMED else f"{len(worst)} languages alike"

    def _ends(self, task: str, metric: str) -> tuple[list[str], list[str]]:
        ranked = self.ranked(task, metric)
        if not ranked or ranked[0][1].value == ranked[-1][1].value:
            return [], []
        high, low = ([name for name, one in ranked if one.value == end.value] for _, end in (ranked[0], ranked[-1]))
        # Scores know whether a metric is better where it is lower.
        lower_is_better = self.number(task, WORST, metric).value == ranked[0][1].value
        return (low, high) if lower_is_better else (high, low)

    @property
    def views(self) -> list[tuple[str, str]]:
        """Rows below the languages, with their titles; one language has no worst and no gap."""
        shown = (MACRO, WORST, GAP, ALL) if len(self.languages) > 1 else (MACRO, ALL)
        return [(view, VIEW_TITLES[view]) for view in shown]

    @property
    def notes(self) -> list[str]:
        """Why a column is empty."""
        check = self.record.data_check
        return [
            f"{self.metric_title(metric)} of {task} isn't shown: it has {check.classes[task]} classes, "
            "so any model has 1."
            for task in self.tasks
            for metric in self.metrics
            if check is not None and self._says_nothing(task, metric)
        ]

    @property
    def data_check(self) -> list[str]:
        """The data check in sentences; empty in older records."""
        return lines(self.record.data_check)

    @property
    def majority(self) -> list[str]:
        """The majority-class baseline of each task in a sentence."""
        return majority_lines(self.record.data_check)

    @property
    def command(self) -> str:
        """The command line with files' names in place of absolute paths, for pages that are published."""
        try:
            words = shlex.split(self.record.command)
        except ValueError:
            return without_folders(self.record.command)
        shown = [word_without_folders(word) for word in words]
        return shlex.join(shown) if shown != words else self.record.command

    @property
    def options(self) -> dict[str, Any]:
        """All options, with files' names in place of absolute paths."""
        return {name: _without_folders(value) for name, value in self.record.plan.config.items()}

    @property
    def seeds_text(self) -> str:
        """``3 seeds: 0, 1, 2``."""
        seeds = self.record.plan.protocol.seeds
        return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}: {', '.join(map(str, seeds))}"

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """Names and values for the table of provenance."""
        record, protocol = self.record, self.record.plan.protocol
        memory = f"{record.peak_memory_bytes / 2**30:.2f} GiB" if record.peak_memory_bytes else "unknown"
        chosen = ", ".join(
            f"seed {s}: epoch {f['best_epoch']} of {f['epochs']}" for s, f in record.seeds.items() if "best_epoch" in f
        )
        return [
            ("data", without_folders(f"{record.data['summary']} ({record.data['licence']})")),
            ("data fingerprint", protocol.fingerprint),
            ("scored split", protocol.split),
            ("inputs", protocol.inputs.value),
            ("limit", f"{protocol.limit} examples of each split: a trial, not a result" if protocol.limit else "none"),
            ("track", protocol.track),
            ("training seeds", self.seeds_text),
            *([("selected", chosen)] if chosen else []),
            ("paper", record.plan.plugin.paper),
            ("licence of model", record.plan.plugin.licence),
            ("preset", record.plan.preset),
            ("device", record.device),
            ("time", f"{record.wall_seconds:.0f} s in all, {record.device_seconds:.0f} s fitting and predicting"),
            ("peak memory", memory),
            ("started", record.started),
            ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
            ("commit", record.git_commit or "installed package"),
        ]

    def _distinct(self, column: str) -> list[str]:
        return list(dict.fromkeys(self.scores[column].to_pylist()))


def _without_folders(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(value, str):
        return word_without_folders(value)
    if isinstance(value, dict):
        return {name: _without_folders(inner) for name, inner in value.items()}
    return [_without_folders(inner) for inner in value] if isinstance(value, list) else value
