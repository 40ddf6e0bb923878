"""What every view of a run shows, looked up in Scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa

from mmeval.metrics.scores import ALL, GAP, MACRO, MEAN, METRICS, WORST
from mmeval.record import Record

METRIC_TITLES = {"top1": "top-1", "top5": "top-5", "macro_f1": "macro-F1", "weighted_f1": "weighted-F1"}
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
        return list(self.record.data.get("warnings", []))

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
        """One score; undefined where Scores has none."""
        return self._numbers.get((task, slice_, language, metric), Number(float("nan"), float("nan"), float("nan"), 0))

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

    def extremes(self, task: str, metric: str = "top1") -> tuple[str, str]:
        """The best and the worst language; empty where there is none, or where all are alike."""
        ranked = self.ranked(task, metric)
        different = ranked and ranked[0][1].value > ranked[-1][1].value
        return (ranked[0][0], ranked[-1][0]) if different else ("", "")

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
            ("data", f"{record.data['summary']} ({record.data['licence']})"),
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
