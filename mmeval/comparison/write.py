"""The files of a comparison: ``comparison.json`` and ``comparison.parquet``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmeval.comparison.comparison import Comparison, PairComparison
from mmeval.comparison.sentences import sentences
from mmeval.errors import UserError
from mmeval.escaping import json_text
from mmeval.files import atomic_path, write_text
from mmeval.metrics.row import MACRO, WEIGHTED

JSON_FILE, PARQUET_FILE = "comparison.json", "comparison.parquet"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("a", "b", "task", "metric", "correction", "language")]
    + [("rows", pa.int64()), ("clusters", pa.int64())]
    + [(name, pa.float64()) for name in ("only_a", "only_b", "difference", "se", "low", "high", "p", "p_adjusted")]
    + [(name, pa.float64()) for name in ("detectable", "detectable_adjusted")]
    + [("rows_for_0.02", pa.int64()), ("verdict", pa.string())]
)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values, with its sentences."""
    return comparison.to_dict() | {"sentences": sentences(comparison)}


def as_table(comparison: Comparison) -> pa.Table:
    """Return a row per pair and language; the languages ``macro`` and ``weighted`` are the means over languages."""
    rows = [row for pair in comparison.pairs for row in _rows(comparison, pair)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _rows(comparison: Comparison, pair: PairComparison) -> list[dict[str, Any]]:
    shared = {"a": pair.a, "b": pair.b, "task": comparison.task, "metric": comparison.metric}
    shared |= {"correction": comparison.correction}
    rows = []
    for language in pair.languages:
        row = language.to_dict()
        needed = row.pop("rows_for")
        rows.append(shared | row | {"rows_for_0.02": needed["0.02"]})
    for name, mean in ((MACRO, pair.mean), (WEIGHTED, pair.weighted_mean)):
        summary = {key: getattr(mean, key) for key in ("difference", "se", "low", "high", "p")}
        summary |= {"p_adjusted": pair.p_adjusted, "verdict": pair.verdict} if name == MACRO else {}
        rows.append(shared | {"language": name, "rows": comparison.rows} | summary)
    return rows


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.json`` and ``comparison.parquet`` into a folder, which is made if need be.

    Raises:
        UserError: the folder is a run folder, whose files are all accounted for.
    """
    if (folder / "run.json").exists() or (folder / "plan.json").exists():
        raise UserError(f"--output {folder}: this is the folder of a run; name another folder.")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output {folder}: this is a file; name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / JSON_FILE, json_text(as_json(comparison)) + "\n")
    with atomic_path(folder / PARQUET_FILE) as temporary:
        pq.write_table(as_table(comparison), str(temporary), write_page_checksum=True)
