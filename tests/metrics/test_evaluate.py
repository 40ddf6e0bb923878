"""All metrics of a task together, from predictions files of test and validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmeval import MetricSpec, Task
from mmeval.metrics.catalogue import CATALOGUE, describe
from mmeval.metrics.evaluate import Labelled, absent_metrics, evaluate, mean_over_seeds
from mmeval.metrics.hierarchy import hierarchy_of
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.predictions import read_predictions, write_predictions
from mmeval.metrics.row import ScoreRow
from mmeval.metrics.scores import RunColumns, score
from mmeval.metrics.validation import Calibrated, calibrated

TASK = Task("kind", ("shoes > boots", "shoes > sandals", "bags"))
KAPPA = MetricSpec(name="agreement", summary="-", function=lambda labels, guess: float((labels == guess).mean()))
SURE = MetricSpec(name="sure", summary="-", function=lambda _, p: float(p.max(1).mean()), uses="probabilities")


def write(path: Path, n: int, seed: int = 0, only_labels: bool = False) -> Path:
    random = np.random.default_rng(seed)
    true = random.integers(-1, 3, n)
    matrix = random.random((n, 3)) + 2 * np.eye(3)[true] * (random.random((n, 1)) < 0.7)
    matrix /= matrix.sum(1, keepdims=True)
    ids = [str(i) for i in range(n)]
    columns = {"id": ids, "language": ["cs", "et"] * (n // 2), "cluster": ids, "slice:source": ["a", "b"] * (n // 2)}
    blocks = [] if only_labels else [{"kind": matrix.astype(np.float32)}]
    predicted = {"kind": matrix.argmax(1)} if only_labels else None
    write_predictions(path, [TASK], columns, {"kind": true}, blocks, predicted)
    return path


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Calibrated]:
    return calibrated(read_predictions(write(tmp_path / "validation.parquet", 120, seed=1)))


def test_every_metric_of_the_catalogue_is_in_scores(tmp_path: Path, facts: dict[str, Calibrated]) -> None:
    conformal = {task: each.conformal for task, each in facts.items()}
    predictions = read_predictions(write(tmp_path / "p.parquet", 100), [KAPPA, SURE], conformal=conformal)
    columns = RunColumns("r", "m", "d", "test", "text")
    table = score(columns, {0: predictions}, [KAPPA, SURE], resamples=20, validation={0: facts}).to_pylist()
    names = {row["metric"] for row in table}
    own = {f"conformal_{what}_own" for what in ("coverage", "size", "empty")}
    levels = {"accuracy_level_1", "accuracy_level_2"}
    single = {name for name, metric in CATALOGUE.items() if not metric.multilabel}
    assert names == {*single, "top2", "agreement", "sure"} | own | levels
    rows = {(row["metric"], row["slice"], row["language"], row["class"]): row for row in table}
    assert len(rows) == len(table), "no row stands twice"
    for name in names:
        metric = describe(name)
        if metric is not None and metric.per_class:
            assert rows[name, "all", "all", "bags"]["value"] > 0
            continue
        if name.startswith("top1_standardized"):
            continue  # has its own tests
        for language in ("cs", "et", "macro", "all"):
            assert np.isfinite(rows[name, "all", language, ""]["value"]), (name, language)
    assert rows["agreement", "all", "all", ""]["value"] == pytest.approx(rows["top1", "all", "all", ""]["value"])
    assert rows["accuracy_level_2", "all", "et", ""]["value"] == rows["top1", "all", "et", ""]["value"]
    assert rows["accuracy_level_1", "all", "et", ""]["low"] > 0


def test_predicted_labels_alone_have_the_metrics_of_labels(tmp_path: Path, facts: dict[str, Calibrated]) -> None:
    predictions = read_predictions(write(tmp_path / "p.parquet", 100, only_labels=True), [KAPPA, SURE])
    (labelled,) = Labelled.of_seeds([predictions], TASK)
    names = {row.metric for row in evaluate(labelled, facts["kind"], hierarchy_of(TASK, {}), [KAPPA, SURE])}
    hierarchical = {"hierarchical_precision", "hierarchical_recall", "hierarchical_f1", "tree_distance"}
    assert names == {"precision", "recall", "f1", "agreement"} | hierarchical
    (note,) = absent_metrics(TASK, labelled.outcomes, facts["kind"], [KAPPA, SURE])
    assert note.startswith("The predictions of kind have no probabilities, so these are absent: recall at 90 % prec")
    assert note.endswith("sure.")


def test_without_validation_predictions_the_metrics_are_absent_with_a_note(tmp_path: Path) -> None:
    predictions = read_predictions(write(tmp_path / "p.parquet", 100))
    (labelled,) = Labelled.of_seeds([predictions], TASK)
    assert "recall_at_90_precision" not in {row.metric for row in evaluate(labelled)}
    assert absent_metrics(TASK, labelled.outcomes, None) == [
        "There are no validation predictions of kind, so these are absent: recall at 90 % precision, coverage of 90 % "
        "sets, size of 90 % sets, empty 90 % sets."
    ]


def test_examples_without_labels_have_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    columns = {"id": ["1"], "language": ["cs"], "cluster": ["1"]}
    block = {"kind": np.full((1, 3), 1 / 3, np.float32)}
    write_predictions(path, [TASK], columns, {"kind": np.array([-1])}, [block])
    predictions: Predictions = read_predictions(path)
    assert evaluate(Labelled.of_seeds([predictions], TASK)[0], metrics=[KAPPA]) == []


def test_means_over_seeds_cover_the_seeds_that_have_a_value() -> None:
    seeds = [
        [ScoreRow("f1", 0.2, 10, klass="a"), ScoreRow("precision", float("nan"), 10, klass="a")],
        [
            ScoreRow("f1", 0.4, 10, klass="a"),
            ScoreRow("precision", 0.5, 10, klass="a"),
            ScoreRow("f1", 0, 0, klass="b"),
        ],
    ]
    means = mean_over_seeds(seeds)
    assert [(row.metric, row.klass, pytest.approx(row.value), row.n) for row in means] == [
        ("f1", "a", 0.3, 10),
        ("precision", "a", 0.5, 10),
        ("f1", "b", 0, 0),
    ]
