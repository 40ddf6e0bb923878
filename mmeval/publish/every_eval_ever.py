"""Scores as JSON of Every Eval Ever, schema 0.3.0: one record per run, one result per task, metric and language.

The schema is that of https://github.com/evaleval/every_eval_ever; its package is not imported.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmeval.data.reading.text import without_folders
from mmeval.errors import UserError
from mmeval.escaping import json_text
from mmeval.files import write_text
from mmeval.metrics.catalogue import describe
from mmeval.metrics.predictions import read_predictions
from mmeval.metrics.row import ALL, GAP, MACRO, MEAN, SUMMARIES, WEIGHTED, WORST
from mmeval.publish.private import shorten
from mmeval.publish.results import file_name
from mmeval.publish.tree import Tree
from mmeval.record import Record
from mmeval.report.content import SUMMARY_TITLES
from mmeval.runs.folder import RunFolder
from mmeval.version import __version__

SCHEMA = "0.3.0"
LIBRARY = "mmeval"
LEVEL = 0.95
"""The level of all intervals."""
EXPORTED = ("top1", "top2", "top3", "top5", "macro_f1", "weighted_f1", "map", "micro_f1", "subset_accuracy", "log_loss")
"""Metrics that are exported."""
UNBOUNDED = ("log_loss",)


def export(
    run: Path,
    output: Path,
    *,
    repo: str = "",
    dataset_repo: str = "",
    predictions: bool = False,
    dry_run: bool = False,
) -> Tree:
    """Write the record of a run to ``output/data/DATASET/DEVELOPER/MODEL/UUID.json``; return the files.

    The same run always gives the same files.

    Args:
        run: the run folder.
        output: the folder, which may hold records of other runs.
        predictions: write ``UUID_samples.jsonl`` too, with the true and the predicted class of each row.
        repo: the repository of the model on the Hub, ``owner/name``; empty if it has none.
        dataset_repo: the repository of the data set on the Hub.
        dry_run: write nothing.

    Raises:
        UserError: there is no finished run, its scores were changed, or the folder can't be written.
    """
    folder = RunFolder(run)
    original = folder.record
    record = shorten(original).record
    facts = evaluation(record, folder.scores.to_pylist(), repo, dataset_repo)
    samples = _samples(folder, record, facts) if predictions else b""
    developer, _, model = (repo or f"unknown/{record.plan.plugin.name}").rpartition("/")
    # The seal identifies the run, so that a second export replaces the first.
    number = uuid.uuid5(uuid.NAMESPACE_URL, original.seal or record.plan.signature)
    path = "/".join(map(file_name, ("data", record.plan.protocol.dataset, developer, model))) + f"/{number}.json"
    tree: Tree = {}
    if samples:
        tree[samples_path := f"{path.removesuffix('.json')}_samples.jsonl"] = samples
        facts["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": samples_path.rpartition("/")[2],
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples).hexdigest(),
            "total_rows": samples.count(b"\n"),
        }
    tree[path] = f"{json_text(facts)}\n".encode()
    if not dry_run:
        try:
            for name, content in tree.items():
                assert isinstance(content, bytes)
                write_text(output / name, content.decode())
        except OSError as error:
            raise UserError(f"--output {output} can't be written: {error.strerror or error}.") from None
    return tree


def evaluation(record: Record, scores: list[dict[str, Any]], repo: str, dataset_repo: str) -> dict[str, Any]:
    """Return the record of a run from its scores."""
    protocol, plugin = record.plan.protocol, record.plan.plugin
    started = dt.datetime.fromisoformat(record.started).timestamp()
    model = repo or f"unknown/{plugin.name}"
    facts: dict[str, Any] = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{protocol.dataset}/{model}/{started:.0f}",
        "evaluation_timestamp": f"{started:.0f}",
        "retrieved_timestamp": f"{started:.0f}",
        "source_metadata": {
            "source_name": LIBRARY,
            "source_type": "evaluation_run",
            "source_organization_name": repo.partition("/")[0] or "unknown",
            "evaluator_relationship": "first_party" if record.source is None else "other",
        },
        "eval_library": {
            "name": LIBRARY,
            "version": record.versions.get("mmeval-multilingual", __version__),
            "additional_details": {"signature": record.plan.signature, "track": protocol.track},
        },
        "model_info": {
            "name": plugin.name,
            "id": model,
            **({"developer": repo.partition("/")[0]} if repo else {}),
            "inference_platform": "local",
            "inference_engine": {"name": plugin.name, "version": plugin.version},
            "additional_details": _texts(
                paper=plugin.paper, licence=plugin.licence, preset=record.plan.preset, config=record.plan.config
            ),
        },
        "evaluation_results": list(_results(record, scores, dataset_repo)),
    }
    return facts


def _results(record: Record, scores: list[dict[str, Any]], dataset_repo: str) -> Iterator[dict[str, Any]]:
    protocol = record.plan.protocol
    several = any(row["seed"] == MEAN for row in scores)
    for row in scores:
        shown = row["slice"] == ALL and not row["class"] and row["metric"] in EXPORTED
        if not shown or (several and row["seed"] != MEAN) or row["value"] != row["value"]:
            continue
        language, summary = row["language"], row["language"] in (ALL, *SUMMARIES)
        name = f"{protocol.dataset}/{row['task']}/{protocol.split}"
        details = {"task": row["task"], "language": "" if summary else language, "seeds": str(len(protocol.seeds))}
        if summary:
            details["aggregate"] = SUMMARY_TITLES.get(language, language)
        yield {
            "evaluation_name": f"{name}/{_summary_name(language) if summary else language}/{row['metric']}",
            "evaluation_timestamp": record.started,
            "source_data": _source(record, dataset_repo, row["n"]),
            "metric_config": _metric(row["metric"], language),
            "score_details": {"score": row["value"], "details": details, "uncertainty": _uncertainty(row)},
        }


def _summary_name(key: str) -> str:
    names = {ALL: "pooled", MACRO: "mean", WEIGHTED: "weighted", WORST: "worst", GAP: "gap"}
    return names.get(key, key)


def _uncertainty(row: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"num_samples": row["n"]}
    if row["low"] == row["low"] and row["high"] == row["high"]:
        facts["confidence_interval"] = {
            "lower": row["low"],
            "upper": row["high"],
            "confidence_level": LEVEL,
            "method": row["method"] if row["reliable"] else f"{row['method']} (not reliable)",
        }
    return facts


def _source(record: Record, dataset_repo: str, samples: int) -> dict[str, Any]:
    protocol = record.plan.protocol
    details = _texts(
        fingerprint=protocol.fingerprint,
        licence=record.data.get("licence", ""),
        summary=without_folders(str(record.data.get("summary", ""))),
    )
    if not dataset_repo:
        return {"dataset_name": protocol.dataset, "source_type": "other", "additional_details": details}
    return {
        "dataset_name": protocol.dataset,
        "source_type": "hf_dataset",
        "hf_repo": dataset_repo,
        "hf_split": protocol.split,
        "samples_number": samples,
        "additional_details": details,
    }


def _metric(name: str, language: str) -> dict[str, Any]:
    described = describe(name)
    assert described is not None
    lower_is_better = not described.higher_is_better or language == GAP
    facts: dict[str, Any] = {"evaluation_description": described.explanation, "lower_is_better": lower_is_better}
    # The schema's type "continuous" needs both bounds.
    bounds = {"score_type": "continuous", "min_score": 0, "max_score": 1}
    return facts if name in UNBOUNDED else facts | bounds


def _samples(folder: RunFolder, record: Record, facts: dict[str, Any]) -> bytes:
    """Return JSON Lines with a line per labelled row and single-label task, of the first seed.

    A run folder has neither texts nor images, so the input of a row is its id in the data set.
    """
    protocol = record.plan.protocol
    path = folder.predictions_file(protocol.seeds[0])
    folder.require_unchanged(path)
    predictions = read_predictions(path)
    ids, languages = predictions.ids.to_pylist(), pq.read_table(path, columns=["language"])["language"].to_pylist()
    lines = []
    for task in predictions.tasks:
        if task.multilabel:
            continue
        outcomes = predictions.outcomes[task.name]
        for row, (true, predicted) in enumerate(zip(outcomes.true.tolist(), outcomes.predicted.tolist(), strict=True)):
            if true < 0:
                continue
            answer = task.classes[predicted]
            sample = {
                "schema_version": SCHEMA,
                "evaluation_id": facts["evaluation_id"],
                "model_id": facts["model_info"]["id"],
                "evaluation_name": f"{protocol.dataset}/{task.name}/{protocol.split}/{languages[row]}",
                "sample_id": ids[row],
                "interaction_type": "single_turn",
                "input": {"raw": ids[row], "reference": [task.classes[true]]},
                "output": {"raw": [answer]},
                "answer_attribution": [
                    {
                        "turn_idx": 0,
                        "source": "output.raw",
                        "extracted_value": answer,
                        "extraction_method": "exact_match",
                        "is_terminal": True,
                    }
                ],
                "evaluation": {"score": float(true == predicted), "is_correct": true == predicted},
                "metadata": {"language": languages[row]},
            }
            lines.append(json.dumps(sample))
    return "".join(f"{line}\n" for line in lines).encode()


def _texts(**facts: Any) -> dict[str, str]:  # noqa: ANN401 - what JSON holds
    """Return details, whose values are texts in the schema; empty ones are left out."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in facts.items()
        if value
    }
