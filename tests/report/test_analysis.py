"""The numbers of a report beside Scores agree with scikit-learn and with plain counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from mmeval import Task
from mmeval.metrics.calibration import reliability_bins, risk_coverage
from mmeval.metrics.outcomes import Predictions
from mmeval.metrics.predictions import read_predictions, write_predictions
from mmeval.record import DataCheck
from mmeval.report import analysis
from mmeval.report.analysis import TaskAnalysis, analyse

CLASSES, LANGUAGES, ROWS = ("a", "b", "c", "never"), ("de", "ja"), 400
TASK = Task("t", CLASSES)
LABELS = Task("tags", ("x", "y"), multilabel=True)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Predictions]:
    """Predictions of two training seeds with a single-label and a multi-label task; some rows have no label."""
    truth = np.random.default_rng(0)
    true = truth.integers(-1, 3, ROWS)
    tags = truth.integers(0, 2, (ROWS, 2))
    tags[0] = -1
    columns = {
        "id": [f"{row}" for row in range(ROWS)],
        "language": [LANGUAGES[row % 3 == 0] for row in range(ROWS)],
        "cluster": [f"{row // 2}" for row in range(ROWS)],
    }
    files = []
    for seed in range(2):
        rng = np.random.default_rng(seed + 1)
        logits = rng.normal(size=(ROWS, 4)) + 1.5 * np.eye(4)[np.maximum(true, 0)] - [0, 0, 0, 9]
        matrix = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        scores = np.clip(0.5 * np.maximum(tags, 0) + rng.random((ROWS, 2)) * 0.6, 0, 1)
        block = {"t": matrix.astype(np.float32), "tags": scores.astype(np.float32)}
        files.append(tmp_path_factory.mktemp("p") / "p.parquet")
        write_predictions(files[-1], (TASK, LABELS), columns, {"t": true, "tags": tags}, [block])
    return [read_predictions(file) for file in files]


@pytest.fixture(scope="module")
def single(seeds: list[Predictions]) -> TaskAnalysis:
    return analyse(seeds)["t"]


def test_classes_have_the_values_of_scikit_learn_and_intervals_around_them(
    seeds: list[Predictions], single: TaskAnalysis
) -> None:
    known = seeds[0].outcomes["t"].true >= 0
    expected = np.mean(
        [
            precision_recall_fscore_support(
                each.outcomes["t"].true[known], each.outcomes["t"].predicted[known], labels=range(3)
            )
            for each in seeds
        ],
        0,
    )
    assert [row.name for row in single.classes] == ["a", "b", "c"], "a class that never occurs has no row"
    for number, row in enumerate(single.classes):
        values = (row.precision, row.recall, row.f1, row.n)
        assert [getattr(value, "value", value) for value in values] == pytest.approx(expected[:, number].tolist())
        for value in (row.precision, row.recall, row.f1):
            assert value.interval.low < value.value < value.interval.high


def test_the_heat_map_counts_rows_and_hits_of_each_class_and_language(
    seeds: list[Predictions], single: TaskAnalysis
) -> None:
    heat, first = single.heat, seeds[0]
    assert (heat.classes, heat.languages) == (("a", "b", "c"), LANGUAGES)
    for label in range(3):
        for language in range(2):
            rows = (first.outcomes["t"].true == label) & (first.languages.codes == language)
            assert heat.n[label, language] == rows.sum()
            hits = np.mean([each.outcomes["t"].hits[rows].mean() for each in seeds])
            assert heat.recall[label, language] == pytest.approx(hits)


def test_confusions_are_pairs_of_classes_in_the_order_of_their_rows(
    seeds: list[Predictions], single: TaskAnalysis
) -> None:
    counts = {
        (CLASSES[true], CLASSES[predicted]): np.mean(
            [((each.outcomes["t"].true == true) & (each.outcomes["t"].predicted == predicted)).sum() for each in seeds]
        )
        for true in range(3)
        for predicted in range(3)
        if true != predicted
    }
    found = {(each.true, each.predicted): each for each in single.confusions}
    assert {pair: each.count for pair, each in found.items()} == counts
    assert [each.count for each in single.confusions] == sorted(counts.values(), reverse=True)
    assert all(each.reverse == counts[each.predicted, each.true] for each in single.confusions)
    assert single.mistakes == pytest.approx(sum(counts.values()))
    assert sum(each.count for pairs in single.by_language.values() for each in pairs) <= single.mistakes


def test_confidence_agrees_with_the_metrics(seeds: list[Predictions]) -> None:
    (result, *_) = analyse(seeds[:1]).values()
    outcomes = seeds[0].outcomes["t"]
    known = outcomes.true >= 0
    assert outcomes.confidence is not None
    confidence, hits = outcomes.confidence[known], outcomes.hits[known]
    bins = reliability_bins(confidence, hits)
    (curve,) = result.reliability
    assert curve.error == pytest.approx(bins.error)
    assert [each.n for each in curve.bins] == bins.counts[bins.counts > 0].tolist()
    assert all(each.accuracy.interval.low <= each.accuracy.value <= each.accuracy.interval.high for each in curve.bins)
    assert result.risk is not None
    assert result.risk.area == pytest.approx(risk_coverage(confidence, hits))
    assert result.risk.risk[-1] == pytest.approx(1 - hits.mean())
    assert result.risk.coverage[-1] == 1
    assert [each.language for each in result.confidence] == list(LANGUAGES)


def test_the_majority_baseline_is_that_of_the_training_split_if_it_is_known(seeds: list[Predictions]) -> None:
    check = DataCheck.model_validate(
        {"split": "test", "languages": {}, "classes": {}, "rejected": {"rows": 0, "total": 0}}
        | {"majority": {"t": {"label": "b", "top1": 0.3, "mean_over_languages": 0.3}}}
    )
    true, language = seeds[0].outcomes["t"].true, seeds[0].languages.codes
    baseline = analyse(seeds, check)["t"].baseline
    assert baseline is not None
    assert (baseline.label, baseline.trained) == ("b", True)
    shares = [(true[(language == code) & (true >= 0)] == 1).mean() for code in range(2)]
    assert list(baseline.languages.values()) == pytest.approx(shares)
    assert baseline.mean == pytest.approx(np.mean(shares))
    own = analyse(seeds)["t"].baseline
    assert own is not None
    assert (own.label, own.trained) == (CLASSES[np.bincount(true[true >= 0]).argmax()], False)


def test_a_multi_label_task_has_recall_pairs_and_frequencies(seeds: list[Predictions]) -> None:
    result = analyse(seeds)["tags"]
    truth = seeds[0].multilabel["tags"].true[1:] > 0
    guesses = [each.multilabel["tags"].scores[1:] >= 0.5 for each in seeds]
    assert result.rows == ROWS - 1
    recall = np.mean([(truth & guess).sum(0) / truth.sum(0) for guess in guesses], 0)
    assert [row.recall.value for row in result.classes] == pytest.approx(recall.tolist())
    swapped = np.mean([(truth[:, 0] & ~guess[:, 0] & ~truth[:, 1] & guess[:, 1]).sum() for guess in guesses])
    pairs = {(each.true, each.predicted): each.count for each in result.confusions}
    assert pairs.get(("x", "y"), 0) == swapped
    assert result.risk is None
    assert result.baseline is not None
    assert result.baseline.pooled == pytest.approx(truth.mean(0).mean())
    assert sum(each.n for each in result.reliability[0].bins) == 2 * (ROWS - 1)


def test_tables_of_many_classes_have_the_most_frequent_ones(
    seeds: list[Predictions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "MOST_CLASSES", 2)
    result = analyse(seeds)["t"]
    counts = np.bincount(seeds[0].outcomes["t"].true[seeds[0].outcomes["t"].true >= 0])
    assert {row.name for row in result.classes} == {CLASSES[label] for label in np.argsort(-counts)[:2]}
    assert result.total_classes == 3


def test_predictions_without_probabilities_have_classes_but_no_confidence(tmp_path: Path) -> None:
    columns = {name: ["1", "2"] for name in ("id", "language", "cluster")}
    labels = {"t": np.array([0, 1])}
    write_predictions(tmp_path / "p", (TASK,), columns, labels, [], {"t": np.array([0, 0])})
    result = analyse([read_predictions(tmp_path / "p")])["t"]
    assert not result.has_confidence
    assert result.reliability == ()
    assert [(each.true, each.predicted, each.count) for each in result.confusions] == [("b", "a", 1)]


def test_rows_without_labels_have_an_empty_analysis(tmp_path: Path) -> None:
    columns = {name: ["1", "2"] for name in ("id", "language", "cluster")}
    matrix = np.full((2, 4), 0.25, np.float32)
    write_predictions(tmp_path / "p", (TASK,), columns, {"t": np.array([-1, -1])}, [{"t": matrix}])
    result = analyse([read_predictions(tmp_path / "p")])["t"]
    assert (result.rows, result.classes, result.confusions, result.baseline) == (0, (), (), None)
