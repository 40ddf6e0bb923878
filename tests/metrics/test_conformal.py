"""Conformal prediction sets against MAPIE and values by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from mmeval import Task
from mmeval.metrics.conformal import LanguageThresholds, Threshold, calibrate, rank, set_sizes
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions
from mmeval.metrics.predictions import read_predictions, write_predictions

TASK = Task("kind", ("boots", "shoes", "hats", "bags"))


class Probabilities(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose inputs are its probabilities."""

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> Probabilities:
        self.classes_ = np.arange(x.shape[1])
        return self

    def predict_proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        return x.argmax(1)


def draw(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), n)
    return probabilities, np.array([random.choice(4, p=row) for row in probabilities])


def validation(probabilities: NDArray[np.float64], true: NDArray[np.int64], languages: list[str]) -> Predictions:
    own = probabilities[np.arange(len(true)), true].astype(np.float32)
    guess = probabilities.argmax(1).astype(np.int32)
    outcomes = Outcomes(true.astype(np.int32), guess, {}, 4, own, own)
    ids = pa.array([str(i) for i in range(len(true))])
    return Predictions(ids, Codes.of(languages), Codes.of(ids), {}, (TASK,), {"kind": outcomes})


@pytest.mark.parametrize("n", [10, 19, 57, 200])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_sets_equal_those_of_mapie(n: int, coverage: float) -> None:
    probabilities, true = draw(n + 300)
    model = Probabilities().fit(probabilities, true)
    mapie = SplitConformalClassifier(model, confidence_level=coverage, conformity_score="lac", prefit=True)
    mapie.conformalize(probabilities[:n], true[:n])
    _, sets = mapie.predict_set(probabilities[n:])
    threshold = calibrate(probabilities[np.arange(n), true[:n]], coverage)
    assert ((probabilities[n:] >= threshold.probability) == sets[:, :, 0]).all()
    assert set_sizes(probabilities[n:], threshold.probability).tolist() == sets[:, :, 0].sum(1).tolist()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
@settings(deadline=None, max_examples=100)
def test_threshold_is_the_kth_smallest_score(probabilities: list[float], coverage: float) -> None:
    n = len(probabilities)
    k = -(-(n + 1) * round(coverage * 100) // 100)  # ceil in whole numbers
    assert rank(n, coverage) == k
    threshold = calibrate(np.array(probabilities), coverage)
    assert threshold.probability == (sorted(probabilities, reverse=True)[k - 1] if k <= n else 0)
    assert threshold.n == n


@pytest.mark.parametrize(("n", "every"), [(0, True), (8, True), (9, False)])
def test_fewer_than_nine_examples_give_sets_of_every_class(n: int, every: bool) -> None:
    threshold = calibrate(np.full(n, 0.7))
    assert Threshold(threshold.probability, n).every_class is every
    sizes = set_sizes(np.array([[0.0, 0.3, 0.7]]), threshold.probability)
    assert sizes.tolist() == ([3] if every else [1])


def test_values_use_the_pooled_threshold_and_the_one_of_the_language() -> None:
    sets = LanguageThresholds(Threshold(0.5, 99), {"cs": Threshold(0.2, 50), "et": Threshold(0.7, 49)})
    matrix = np.array([[0.6, 0.3, 0.1, 0], [0.6, 0.3, 0.1, 0], [0.4, 0.3, 0.2, 0.1]], np.float32)
    values = sets.values(pa.array(["cs", "et", "xx"]), np.array([1, 0, 3]), matrix)
    assert {name: of_rows.tolist() for name, of_rows in values.items()} == {
        "conformal_coverage": [0, 1, 0],
        "conformal_size": [1, 1, 0],
        "conformal_empty": [0, 0, 1],
        "conformal_coverage_own": [1, 0, 1],
        "conformal_size_own": [2, 0, 4],  # a language without validation rows has every class
        "conformal_empty_own": [0, 1, 0],
    }


def test_coverage_reaches_its_aim_on_new_rows() -> None:
    probabilities, true = draw(4000)
    sets = LanguageThresholds.of(validation(probabilities[:2000], true[:2000], ["cs", "et"] * 1000), "kind")
    assert sets is not None
    values = sets.values(pa.array(["cs", "et"] * 1000), true[2000:], probabilities[2000:])
    assert values["conformal_coverage"].mean() == pytest.approx(0.9, abs=0.02)
    assert values["conformal_coverage_own"].mean() == pytest.approx(0.9, abs=0.02)


def test_languages_with_too_few_validation_rows_are_named() -> None:
    probabilities, true = draw(40)
    languages = ["cs"] * 32 + ["et"] * 8
    sets = LanguageThresholds.of(validation(probabilities, true, languages), "kind")
    assert sets is not None
    assert sets.notes("kind") == [
        "Conformal sets of kind with a language's own threshold hold every class in et (8): 90% coverage needs 9 "
        "labelled validation rows."
    ]
    few = LanguageThresholds.of(validation(probabilities[:5], true[:5], languages[:5]), "kind")
    assert few is not None
    assert few.notes("kind") == [
        "Conformal sets of kind hold every class: validation has 5 labelled rows, and 90% coverage needs 9."
    ]


def test_unlabelled_validation_rows_do_not_calibrate() -> None:
    probabilities, true = draw(60)
    languages = ["cs", "et"] * 30
    expected = LanguageThresholds.of(validation(probabilities[:40], true[:40], languages[:40]), "kind")
    true[40:] = -1
    assert LanguageThresholds.of(validation(probabilities, true, languages), "kind") == expected


def test_reading_predictions_adds_the_values_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmeval.metrics.predictions.ROWS", 7)
    probabilities, true = draw(20)
    ids, languages = [str(i) for i in range(20)], ["cs", "et"] * 10
    columns = {"id": ids, "language": languages, "cluster": ids}
    blocks = [{"kind": probabilities.astype(np.float32)}]
    write_predictions(tmp_path / "p.parquet", [TASK], columns, {"kind": true}, blocks)
    sets = LanguageThresholds(Threshold(0.25, 99), {"cs": Threshold(0.2, 50), "et": Threshold(0.5, 49)})
    outcomes = read_predictions(tmp_path / "p.parquet", conformal={"kind": sets}).outcomes["kind"]
    expected = sets.values(pa.array(languages), true, probabilities.astype(np.float32))
    for name, values in expected.items():
        assert outcomes.values[name].tolist() == values.tolist()
