"""Scores of runs as CSV and JSON, with all digits."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mmeval.comparison.comparison import Comparison
from mmeval.escaping import json_text, spreadsheet
from mmeval.metrics.row import MEAN
from mmeval.report.content import Content

SCHEMA_VERSION = 1
"""Version of the JSON format; it grows if a key changes its meaning or disappears."""
RUN = ("run", "model", "dataset", "split", "inputs")
"""The columns of CSV that have the same value in all rows of a run."""
SCORE = ("task", "slice", "language", "metric", "value", "low", "high", "n", "reliable", "method", "p")
"""The other columns of CSV, and the keys of a score in JSON."""


def csv_text(contents: Mapping[str, Content], tasks: Collection[str] = (), metrics: Collection[str] = ()) -> str:
    """Return the scores of runs as CSV: a row per task, slice, language and metric; undefined numbers are empty.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.

    Args:
        contents: the contents of the runs' reports by the names of the runs.
        tasks: the tasks; empty for all.
        metrics: the metrics; empty for all.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*RUN, *SCORE))
    for name, content in contents.items():
        protocol = content.record.plan.protocol
        run = (name, content.record.plan.plugin.name, protocol.dataset, protocol.split, protocol.inputs.value)
        for row in _scores(content, tasks, metrics):
            writer.writerow([_csv_cell(value) for value in (*run, *row.values())])
    return file.getvalue()


def json_report(
    contents: Mapping[str, Content],
    tasks: Collection[str] = (),
    metrics: Collection[str] = (),
    comparisons: Sequence[Comparison] = (),
) -> str:
    """Return runs with their scores as JSON; undefined numbers are null.

    Args:
        contents: the contents of the runs' reports by the names of the runs.
        tasks: the tasks; empty for all.
        metrics: the metrics; empty for all.
        comparisons: the comparison of the runs by each task; none for a single run.
    """
    data = {
        "schema_version": SCHEMA_VERSION,
        "runs": [_run(name, content, tasks, metrics) for name, content in contents.items()],
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }
    return json_text(data) + "\n"


def _run(name: str, content: Content, tasks: Collection[str], metrics: Collection[str]) -> dict[str, Any]:
    record, protocol = content.record, content.record.plan.protocol
    return {
        "run": name,
        "model": record.plan.plugin.name,
        "model_version": record.plan.plugin.version,
        "preset": record.plan.preset,
        "dataset": protocol.dataset,
        "fingerprint": protocol.fingerprint,
        "split": protocol.split,
        "inputs": protocol.inputs.value,
        "track": protocol.track,
        "seeds": list(protocol.seeds),
        "signature": record.plan.signature,
        "started": record.started,
        "headlines": {task: content.headline(task) for task in content.tasks if not tasks or task in tasks},
        "warnings": content.warnings,
        "efficiency": record.efficiency.model_dump(mode="json") if record.efficiency else None,
        "citations": [vars(work) for work in content.citations],
        "scores": list(_scores(content, tasks, metrics)),
    }


def _scores(content: Content, tasks: Collection[str], metrics: Collection[str]) -> Iterator[dict[str, Any]]:
    """Yield the scores, the mean over training seeds, without those of single classes; NaN becomes None."""
    seeds = set(content.scores["seed"].to_pylist())
    for row in content.scores.select([*SCORE, "seed", "class"]).to_pylist():
        if row["class"] or (MEAN in seeds and row["seed"] != MEAN):
            continue
        if (not tasks or row["task"] in tasks) and (not metrics or row["metric"] in metrics):
            yield {name: _finite(row[name]) for name in SCORE}


def _finite(value: Any) -> Any:  # noqa: ANN401 - a value of a column
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return spreadsheet(value) if isinstance(value, str) else repr(value)
