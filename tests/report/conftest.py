"""Fixtures that build the content of a report from given scores, languages and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmeval.metrics.scores import SCHEMA
from mmeval.protocol import Protocol
from mmeval.record import Plan, PluginRecord, Record
from mmeval.report.content import Content

LANGUAGES = ("ar", "de", "en", "ja")
METRICS = ("top1", "top5", "macro_f1", "weighted_f1")
NAN = float("nan")
Values = Mapping[str, tuple[float, float, float]]


def _record(**changes: Any) -> Record:
    protocol = Protocol(dataset="colours", fingerprint="1a2b3c4d" + "0" * 56, limit=changes.pop("limit", None))
    plugin = PluginRecord(name="embracenet", version="0.1.0", paper=changes.pop("paper", "A | B"), licence="MIT")
    signature = protocol.signature(plugin.name, plugin.version)
    plan = Plan(signature=signature, protocol=protocol, plugin=plugin, preset="tiny", config={"width": 16})
    facts: dict[str, Any] = {
        "name": "run",
        "plan": plan,
        "data": {"name": "colours", "summary": "squares", "licence": "cc0-1.0"},
        "seeds": {"0": {"epochs": 3, "best_epoch": 2, "seconds": 1.5}},
        "versions": {"python": "3.11", "torch": "2.9"},
        "device": "CPU, 2 threads",
        "started": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 3.2,
        "device_seconds": 2.1,
        "peak_memory_bytes": None,
        "git_commit": None,
        "command": "mmeval run --dataset colours",
        "plugin": "embracenet",
    }
    return Record(**facts | changes)


def _rows(task: str, slice_: str, top1: Values, metrics: tuple[str, ...], n: int, p: float) -> list[dict[str, Any]]:
    values = [value for value, _, _ in top1.values() if value == value]
    summary = {
        "all": (np.mean(values), 0.0, 1.0) if values else (NAN, NAN, NAN),
        "weighted": (np.mean(values), min(values), max(values)) if values else (NAN, NAN, NAN),
        "macro": (np.mean(values), min(values), max(values)) if values else (NAN, NAN, NAN),
        "worst": (min(values), 0.0, 1.0) if values else (NAN, NAN, NAN),
        "gap": (max(values) - min(values), 0.0, 1.0) if values else (NAN, NAN, NAN),
    }
    fixed = {"run": "run", "model": "embracenet", "dataset": "colours", "split": "test", "inputs": "image+text"}
    return [
        fixed
        | {"task": task, "language": language, "slice": slice_, "metric": metric, "seed": "0"}
        | {"value": value, "low": low, "high": high, "n": 0 if value != value else n}
        | {"class": "", "method": "wilson", "reliable": n >= 30, "p": p if language in ("worst", "gap") else NAN}
        for language, (value, low, high) in {**top1, **summary}.items()
        for metric in metrics
    ]


@pytest.fixture
def content() -> Callable[..., Content]:
    """Return a function that builds the content of a report; ``top1`` has value and interval by language."""

    def make(
        top1: Values | None = None,
        gallery: list[dict[str, Any]] | None = None,
        metrics: tuple[str, ...] = METRICS,
        tasks: tuple[str, ...] = ("colour", "shade"),
        slices: tuple[str, ...] = ("all", "number=even"),
        n: int = 1234,
        p: float = 0.004,
        **record: Any,
    ) -> Content:
        if top1 is None:
            top1 = {name: (0.5 + i / 10, 0.45 + i / 10, 0.55 + i / 10) for i, name in enumerate(LANGUAGES)}
        rows = [row for task in tasks for slice_ in slices for row in _rows(task, slice_, top1, metrics, n, p)]
        return Content(_record(**record), pa.Table.from_pylist(rows, schema=SCHEMA), gallery or [])

    return make


@pytest.fixture
def mistake() -> Callable[..., dict[str, Any]]:
    """Return a function that builds one row of a gallery."""

    def make(**changes: Any) -> dict[str, Any]:
        row = {"id": "1/en", "language": "en", "text": "a red square", "true": "red", "predicted": "blue"}
        return row | {"confidence": 0.876, "image": None} | changes

    return make
