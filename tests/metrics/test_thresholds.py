"""Recall at 90 % precision against scikit-learn's precision-recall curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from mmeval import Task
from mmeval.metrics import thresholds
from mmeval.metrics.outcomes import Codes, Outcomes
from mmeval.metrics.predictions import read_predictions, write_predictions
from mmeval.metrics.thresholds import precision_thresholds, recall_rows, recalls, thresholds_of

TASK = Task("kind", ("boots", "shoes", "hats"))


def draw(n: int, classes: int, seed: int, digits: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, n)
    logits = random.normal(size=(n, classes)) * 2
    logits[np.arange(n), true] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return true, np.round(probabilities, digits).astype(np.float32)


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 10**6), st.sampled_from([1, 6]))
@settings(deadline=None, max_examples=80)
def test_recall_on_the_same_rows_equals_the_best_point_of_the_curve(
    n: int, classes: int, seed: int, digits: int
) -> None:
    true, probabilities = draw(n, classes, seed, digits)
    own = probabilities[np.arange(n), true]
    batches = [probabilities[start : start + 7] for start in range(0, n, 7)]
    limits = precision_thresholds(true, own, batches, classes)
    ((recall,), (counts,)) = recalls(true, own, limits, np.zeros(n, np.int64), 1)
    for class_ in range(classes):
        is_true = true == class_
        assert counts[class_] == is_true.sum()
        if not is_true.any():
            assert np.isnan(recall[class_])
            assert np.isinf(limits[class_])
            continue
        precision, curve, _ = precision_recall_curve(is_true, probabilities[:, class_])
        reached = [r for p, r in zip(precision[:-1], curve[:-1], strict=True) if p >= 0.9]
        assert recall[class_] == pytest.approx(max(reached, default=0))


def test_few_candidates_in_memory_give_the_same_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    true, probabilities = draw(3000, 6, 0, 6)
    own = probabilities[np.arange(3000), true]
    batches = [probabilities[start : start + 100] for start in range(0, 3000, 100)]
    expected = precision_thresholds(true, own, batches, 6)
    monkeypatch.setattr(thresholds, "_BUFFER", 50)
    assert precision_thresholds(true, own, batches, 6).tolist() == expected.tolist()


@pytest.mark.parametrize("buffer", [10, 10**6])
def test_the_highest_candidates_of_each_class_are_kept(buffer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "_BUFFER", buffer)
    true, probabilities = draw(200, 4, 3, 6)
    most = np.array([1, 3, 7, 60])
    highest = thresholds._HighestFalse(np.zeros(4), most)
    for start in range(0, 200, 50):
        highest.add(true[start : start + 50], probabilities[start : start + 50])
    classes, scores = highest.drop()
    for class_ in range(4):
        expected = np.sort(probabilities[true != class_, class_])[::-1][: most[class_]]
        assert scores[classes == class_].tolist() == expected.tolist()


def test_examples_without_a_label_are_left_out() -> None:
    true, probabilities = draw(200, 3, 1, 6)
    own = probabilities[np.arange(200), true]
    expected = precision_thresholds(true[:150], own[:150], [probabilities[:150]], 3)
    true[150:] = -1
    assert precision_thresholds(true, own, [probabilities], 3).tolist() == expected.tolist()


def test_rows_have_the_mean_over_classes_by_language_and_each_class() -> None:
    true = np.array([0, 0, 1, 1, 0, 2], np.int32)
    own = np.array([0.9, 0.4, 0.8, 0.3, 0.6, 0.7], np.float32)
    outcomes = Outcomes(true, true, {}, 3, own, own)
    rows = recall_rows(TASK, outcomes, Codes.of(["cs", "cs", "cs", "et", "et", "et"]), np.array([0.5, 0.7, np.inf]))
    values = {(row.language, row.klass): (row.value, row.n) for row in rows}
    assert values["cs", ""] == (pytest.approx((1 / 2 + 1) / 2), 3), "hats don't occur in Czech"
    assert values["et", ""] == (pytest.approx((1 + 0 + 0) / 3), 3)
    assert values["macro", ""][0] == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert values["all", ""] == (pytest.approx((2 / 3 + 1 / 2 + 0) / 3), 6)
    assert values["all", "boots"] == (pytest.approx(2 / 3), 3)
    assert values["all", "hats"] == (0, 1), "no threshold reaches 90 % precision"


def test_thresholds_come_from_the_file_of_validation_predictions(tmp_path: Path) -> None:
    true, probabilities = draw(300, 3, 2, 6)
    probabilities /= probabilities.sum(1, keepdims=True)
    names = [str(i) for i in range(300)]
    columns = {"id": names, "language": ["cs"] * 300, "cluster": names}
    path = tmp_path / "seed-0.validation.parquet"
    write_predictions(path, [TASK], columns, {"kind": true}, [{"kind": probabilities}])
    own = probabilities[np.arange(300), true]
    expected = precision_thresholds(true, own, [probabilities], 3)
    limits = thresholds_of(read_predictions(path), TASK)
    assert limits is not None
    assert limits.tolist() == expected.tolist()
