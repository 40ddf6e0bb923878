"""The leaderboard as data: JSON with all tables, places and pairs, and CSV with a row per run, task and language."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmeval.comparison.standings import Standing
from mmeval.data.reading.text import without_folders
from mmeval.escaping import json_text, spreadsheet
from mmeval.metrics.row import MACRO
from mmeval.publish.leaderboard.views import Row, Site, TableSection, TaskSection
from mmeval.report.content import Estimate
from mmeval.version import __version__

SCHEMA_VERSION = 1
GENERATOR = f"mmeval {__version__}"
EFFICIENCY = (
    "parameters",
    "trained_parameters",
    "flops_per_example",
    "predict_examples_per_second",
    "device_seconds",
)
"""Fields of the efficiency of a run; ``device_seconds`` is the sum over its seeds."""
PLACE = ("rank_best", "rank_worst", "group")


def as_json(site: Site, files: Mapping[str, str]) -> str:
    """Return all tables as JSON.

    Args:
        site: the content of the site.
        files: the paths of the site's files, which a later call may replace, each with the SHA-256 of a report.
    """
    data = {
        "schema_version": SCHEMA_VERSION,
        "generator": GENERATOR,
        "title": site.title,
        "tables": [_table(section) for section in site.sections],
        "left_out": list(site.left_out),
        "files": dict(sorted(files.items())),
    }
    return json_text(data) + "\n"


def as_csv(site: Site) -> str:
    """Return a row per table, task, run and language; the language ``macro`` is the mean over languages."""
    text = io.StringIO()
    rows = [row for section in site.sections for row in _rows(section)]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _table(section: TableSection) -> dict[str, Any]:
    return _protocol(section) | {"tasks": [_task(task) for task in section.tasks]}


def _protocol(section: TableSection) -> dict[str, Any]:
    protocol = section.table.protocol
    fields = ("dataset", "fingerprint", "split", "inputs", "labels", "track", "limit")
    return {"table": section.id} | protocol.model_dump(mode="json", include=set(fields))


def _task(task: TaskSection) -> dict[str, Any]:
    comparison = task.results.comparison
    labels = {row.entry.digest: row.entry.slug for row in task.rows}
    pairs = comparison.pairs if comparison else ()
    return {
        "task": task.name,
        "metric": task.results.metric,
        "runs": [
            _run(row)
            | {"mean": _score(row.mean.estimate, row.mean.place)}
            | {
                "languages": {
                    code: _score(cell.estimate, cell.place)
                    for code, cell in zip(task.results.languages, row.languages, strict=True)
                }
            }
            for row in task.rows
        ],
        "pairs": [
            {
                "a": labels[pair.a],
                "b": labels[pair.b],
                "difference": pair.mean.difference,
                "low": _finite(pair.mean.low),
                "high": _finite(pair.mean.high),
                "p": pair.mean.p,
                "p_adjusted": pair.p_adjusted,
            }
            for pair in pairs
        ],
        "notes": task.notes,
    }


def _run(row: Row) -> dict[str, Any]:
    entry, plan = row.entry, row.entry.record.plan
    efficiency = entry.record.efficiency
    return {
        "id": entry.slug,
        "run": entry.name,
        "model": entry.model,
        "model_version": plan.plugin.version,
        "preset": plan.preset,
        "seeds": row.seeds,
        "external": entry.is_external,
        "verified": entry.is_verified,
        "device": without_folders(entry.record.device),
        "report": f"reports/{entry.slug}.html",
    } | {name: getattr(efficiency, name) if efficiency else None for name in EFFICIENCY}


def _score(estimate: Estimate, place: Standing | None) -> dict[str, Any]:
    ranks = (place.rank.best, place.rank.worst, place.letters) if place else (None, None, None)
    return {
        "value": _finite(estimate.value),
        "low": _finite(estimate.low),
        "high": _finite(estimate.high),
        "rows": estimate.n,
        "reliable": estimate.reliable,
    } | dict(zip(PLACE, ranks, strict=True))


def _rows(section: TableSection) -> Iterator[dict[str, Any]]:
    for task in section.tasks:
        for row in task.rows:
            run = _run(row)
            for code, cell in ((MACRO, row.mean), *zip(task.results.languages, row.languages, strict=True)):
                yield (
                    _protocol(section)
                    | {"task": task.name, "metric": task.results.metric, "language": code}
                    | _score(cell.estimate, cell.place)
                    | run
                )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return spreadsheet(value) if isinstance(value, str) else value
