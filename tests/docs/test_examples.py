"""The example plugins of the documentation keep the contract, run, and use public names only."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmeval
import mmeval.nn
import mmeval.testing
from mmeval.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PUBLIC = {"mmeval": mmeval, "mmeval.nn": mmeval.nn, "mmeval.testing": mmeval.testing}
PLUGINS = [*sorted((ROOT / "plugins").rglob("*.py")), *sorted(EXAMPLES.glob("*.py"))]


@mmeval.testing.contract(str(EXAMPLES / "gated_fusion.py"))
def test_the_torch_model_keeps_the_contract(check: mmeval.testing.BoundCheck) -> None:
    check()


@mmeval.testing.contract(str(EXAMPLES / "tfidf_fusion.py"))
def test_the_plain_model_keeps_the_contract(check: mmeval.testing.BoundCheck) -> None:
    check()


@pytest.mark.parametrize("model", ["gated_fusion", "tfidf_fusion"])
def test_models_data_set_and_metric_run_together(model: str, command: Callable[..., int], tmp_path: Path) -> None:
    """The metric is in Scores and in every report without further code."""
    files = {name: EXAMPLES / f"{name}.py" for name in (model, "digits", "brier")}
    options = ["--plugin", files[model], "--dataset", files["digits"], "--metric", files["brier"]]
    assert command("run", *options, "--limit", 300, "--device", "cpu", "--output", tmp_path / "run") == 0
    folder = RunFolder(tmp_path / "run")
    scores = pq.read_table(folder.scores_file).to_pylist()
    brier = {row["language"]: row["value"] for row in scores if row["metric"] == "brier"}
    assert set(brier) == {"de", "en", "fr", "it", "all", "macro", "worst", "gap"}
    assert brier["worst"] == max(brier[language] for language in ("de", "en", "fr", "it")), "lower is better"
    assert brier["all"] < 0.9, "uniform probabilities over ten digits score 0.9"
    assert "brier" in folder.report_path.read_text(encoding="utf-8")
    assert "brier" in folder.readme_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_use_public_names_only(path: Path) -> None:
    """Our plugins too, so that the public API suffices for others."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "mmeval":
            assert node.module in PUBLIC, node.module
            assert {alias.name for alias in node.names} <= set(PUBLIC[node.module].__all__)
        if isinstance(node, ast.Import):
            assert all(alias.name in PUBLIC for alias in node.names if alias.name.partition(".")[0] == "mmeval")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mmeval":
            assert node.attr in mmeval.__all__ or f"mmeval.{node.attr}" in PUBLIC
