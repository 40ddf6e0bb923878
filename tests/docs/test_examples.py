"""The example plugins of the documentation keep the contract, run, and use public names only."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmeval
import mmeval.data.reading
import mmeval.nn
import mmeval.testing
from mmeval.runs.folder import RunFolder
from tests.forked import fork_fresh_processes

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PUBLIC = {module.__name__: module for module in (mmeval, mmeval.data.reading, mmeval.nn, mmeval.testing)}
DATASETS = ROOT / "mmeval" / "datasets"
PLUGINS = [*sorted((ROOT / "plugins").rglob("*.py")), *sorted(DATASETS.rglob("*.py")), *sorted(EXAMPLES.glob("*.py"))]


@mmeval.testing.contract(str(EXAMPLES / "gated_fusion.py"))
def test_the_torch_model_keeps_the_contract(check: mmeval.testing.BoundCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    fork_fresh_processes(monkeypatch)
    check()


@mmeval.testing.contract(str(EXAMPLES / "tfidf_fusion.py"))
def test_the_plain_model_keeps_the_contract(check: mmeval.testing.BoundCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    fork_fresh_processes(monkeypatch)
    check()


@pytest.mark.parametrize("model", ["gated_fusion", "tfidf_fusion"])
def test_models_data_set_and_metric_run_together(model: str, command: Callable[..., int], tmp_path: Path) -> None:
    """The metric is in Scores and in every report without further code."""
    files = {name: EXAMPLES / f"{name}.py" for name in (model, "digits", "mean_rank", "kappa")}
    options = ["--plugin", files[model], "--dataset", files["digits"], "--metric", files["mean_rank"]]
    options += ["--metric", files["kappa"]]
    assert command("run", *options, "--limit", 300, "--device", "cpu", "--output", tmp_path / "run") == 0
    folder = RunFolder(tmp_path / "run")
    scores = pq.read_table(folder.scores_file).to_pylist()
    ranks = {row["language"]: row["value"] for row in scores if row["metric"] == "mean-rank"}
    assert set(ranks) == {"de", "en", "fr", "it", "all", "macro", "weighted", "worst", "gap"}
    assert ranks["worst"] == max(ranks[language] for language in ("de", "en", "fr", "it")), "lower is better"
    assert ranks["all"] < 5.5, "the mean rank of a guess among ten digits"
    kappas = {row["language"]: row["value"] for row in scores if row["metric"] == "kappa"}
    assert set(kappas) == {"de", "en", "fr", "it", "all", "macro"}
    assert kappas["all"] > 0, "the agreement of a guess"
    for name in ("mean-rank", "kappa"):
        assert name in folder.report_path.read_text(encoding="utf-8")
        assert name in folder.readme_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_and_core_data_sets_use_only_public_names(path: Path) -> None:
    """Our plugins too, so that the public names suffice for others."""
    own_package = f"mmeval.datasets.{path.relative_to(DATASETS).parts[0]}." if path.is_relative_to(DATASETS) else None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            if own_package and f"{node.module}.".startswith(own_package):
                continue
            assert node.module in PUBLIC, node.module
            assert {alias.name for alias in node.names} <= set(PUBLIC[node.module].__all__)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import leads out of sight of this test"
        if isinstance(node, ast.Import):
            assert all(alias.name in PUBLIC for alias in node.names if _is_ours(alias.name))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mmeval":
            assert node.attr in mmeval.__all__ or f"mmeval.{node.attr}" in PUBLIC


def _is_ours(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] == "mmeval"
