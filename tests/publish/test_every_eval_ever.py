"""The export to Every Eval Ever, by the documented fields of its schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mmeval.publish.every_eval_ever import export
from mmeval.runs.folder import RunFolder

REQUIRED = {
    "": ("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library"),
    "source_metadata": ("source_type", "source_organization_name", "evaluator_relationship"),
    "model_info": ("name", "id"),
    "eval_library": ("name", "version"),
}
ALLOWED = {
    "": {*REQUIRED[""], "evaluation_timestamp", "evaluation_results", "detailed_evaluation_results"},
    "result": {"evaluation_name", "evaluation_timestamp", "source_data", "metric_config", "score_details"},
    "score": {"score", "details", "uncertainty"},
    "uncertainty": {"standard_error", "confidence_interval", "num_samples", "num_bootstrap_samples"},
}


def record(folder: RunFolder, output: Path, **options: Any) -> dict[str, Any]:
    tree = export(folder.path, output, **options)
    name = next(name for name in tree if name.endswith(".json"))
    facts: dict[str, Any] = json.loads((output / name).read_text(encoding="utf-8"))
    return facts


def test_the_record_has_the_fields_of_the_schema(finished: RunFolder, tmp_path: Path) -> None:
    facts = record(finished, tmp_path)
    assert facts["schema_version"] == "0.3.0"
    assert set(facts) <= ALLOWED[""]
    for part, names in REQUIRED.items():
        assert set(names) <= set(facts[part] if part else facts)
    assert facts["source_metadata"]["source_type"] in ("documentation", "evaluation_run")
    for result in facts["evaluation_results"]:
        assert set(result) <= ALLOWED["result"]
        assert set(result["score_details"]) <= ALLOWED["score"]
        assert set(result["score_details"]["uncertainty"]) <= ALLOWED["uncertainty"]
        assert isinstance(result["metric_config"]["lower_is_better"], bool)
        if result["metric_config"].get("score_type") == "continuous":
            assert {"min_score", "max_score"} <= set(result["metric_config"])
        assert all(isinstance(value, str) for value in result["score_details"]["details"].values())
        assert all(isinstance(value, str) for value in result["source_data"]["additional_details"].values())


def test_each_language_has_its_score_with_interval_and_number_of_rows(finished: RunFolder, tmp_path: Path) -> None:
    by_name = {result["evaluation_name"]: result for result in record(finished, tmp_path)["evaluation_results"]}
    german = by_name["colours/colour/test/de/top1"]["score_details"]
    row = next(
        row
        for row in finished.scores.to_pylist()
        if (row["task"], row["language"], row["metric"], row["slice"], row["seed"])
        == ("colour", "de", "top1", "all", "mean")
    )
    assert german["score"] == row["value"]
    assert german["uncertainty"]["num_samples"] == row["n"]
    interval = german["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"], interval["confidence_level"]) == (row["low"], row["high"], 0.95)
    assert interval["method"].startswith(row["method"])
    assert by_name["colours/colour/test/gap/top1"]["metric_config"]["lower_is_better"]
    assert by_name["colours/colour/test/de/log_loss"]["metric_config"]["lower_is_better"]


def test_the_predictions_are_json_lines_with_their_checksum(finished: RunFolder, tmp_path: Path) -> None:
    facts = record(finished, tmp_path, predictions=True, repo="owner/thing", dataset_repo="owner/colours")
    detailed = facts["detailed_evaluation_results"]
    path = next(tmp_path.rglob("*_samples.jsonl"))
    assert detailed == {
        "format": "jsonl",
        "file_path": path.name,
        "hash_algorithm": "sha256",
        "checksum": hashlib.sha256(path.read_bytes()).hexdigest(),
        "total_rows": 42 + 40,
    }
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["evaluation_id"] == facts["evaluation_id"]
    assert first["model_id"] == "owner/thing"
    assert first["evaluation"]["is_correct"] == (first["output"]["raw"] == first["input"]["reference"])
    assert facts["evaluation_results"][0]["source_data"]["hf_repo"] == "owner/colours"


def test_a_second_export_writes_the_same_files(finished: RunFolder, tmp_path: Path) -> None:
    once = export(finished.path, tmp_path / "out")
    assert export(finished.path, tmp_path / "out") == once
    assert len(list((tmp_path / "out").rglob("*.json"))) == len(once)


def test_a_trial_run_writes_nothing(finished: RunFolder, tmp_path: Path) -> None:
    assert export(finished.path, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("hostile", ["<script>\u202e", "/home/somebody/x"])
def test_control_characters_and_paths_are_escaped_or_shortened(
    rewrite: Any, finished: RunFolder, tmp_path: Path, hostile: str
) -> None:
    folder = rewrite(data=finished.record.data | {"summary": f"table {hostile}"})
    text = "".join(
        path.read_text(encoding="utf-8") for path in [tmp_path / name for name in export(folder.path, tmp_path)]
    )
    assert "\u202e" not in text
    assert "somebody" not in text
