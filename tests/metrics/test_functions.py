"""Plugin metrics that are functions of labels and predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import cohen_kappa_score, log_loss, matthews_corrcoef

from mmeval import MetricSpec
from mmeval.errors import PluginError
from mmeval.metrics import functions
from mmeval.metrics.functions import function_rows, labelled_probabilities
from mmeval.metrics.outcomes import Codes, Outcomes
from mmeval.metrics.row import ScoreRow

Place = tuple[str, str]


def metric(function: Callable[..., Any], uses: str = "labels") -> MetricSpec:
    return MetricSpec(name="mine", summary="-", function=function, uses=uses, distribution="acme 1.0")


class Data:
    """Examples in two languages and two slices, with an image per two rows."""

    def __init__(self, n: int = 200, languages: Sequence[str] = ("cs", "et"), classes: int = 3) -> None:
        random = np.random.default_rng(0)
        self.true = random.integers(0, classes, n).astype(np.int32)
        matrix = random.random((n, classes)) + 1.5 * np.eye(classes)[self.true] * (random.random((n, 1)) < 0.6)
        self.matrix = (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)
        self.predicted = self.matrix.argmax(1).astype(np.int32)
        self.outcomes = Outcomes(self.true, self.predicted, {}, classes, self.matrix.max(1), self.matrix.max(1))
        self.language = np.array([languages[i % len(languages)] for i in range(n)])
        self.source = np.array(["shop" if i % 3 else "user" for i in range(n)])
        self.cluster = np.array([str(i // 2) for i in range(n)])

    def rows(self, spec: MetricSpec) -> dict[Place, ScoreRow]:
        rows = function_rows(
            spec,
            self.outcomes,
            Codes.of(self.language.tolist()),
            {"source": Codes.of(self.source.tolist())},
            Codes.of(self.cluster.tolist()),
            self.matrix,
        )
        return {(row.slice, row.language): row for row in rows}


def test_a_scikit_learn_function_is_applied_to_each_language_and_slice() -> None:
    data = Data()
    rows = data.rows(metric(cohen_kappa_score))
    assert len(rows) == 3 * 4
    for (slice_, language), row in rows.items():
        mask = np.ones(200, bool) if slice_ == "all" else data.source == slice_.removeprefix("source=")
        if language == "macro":
            expected = np.mean([rows[slice_, name].value for name in ("cs", "et")])
        else:
            mask &= (data.language == language) | (language == "all")
            expected = cohen_kappa_score(data.true[mask], data.predicted[mask])
            assert row.n == mask.sum()
        assert row.value == pytest.approx(expected, abs=1e-12), (slice_, language)


def test_a_function_may_take_probabilities() -> None:
    data = Data()
    rows = data.rows(metric(lambda labels, p: log_loss(labels, p, labels=range(3)), "probabilities"))
    mask = data.language == "et"
    assert rows["all", "et"].value == pytest.approx(log_loss(data.true[mask], data.matrix[mask]), rel=1e-6)


def test_intervals_leave_out_a_part_of_the_clusters_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many parts as clusters, the interval of a mean is the clustered t interval."""
    monkeypatch.setattr(functions, "PARTS", 100)
    data = Data()
    row = data.rows(metric(lambda labels, guess: float((labels == guess).mean())))["all", "all"]
    hit = (data.true == data.predicted).astype(float)
    sums = (hit - hit.mean()).reshape(100, 2).sum(1)
    half = t.ppf(0.975, 99) * math.sqrt(100 / 99 * (sums**2).sum()) / 200
    assert row.interval.low == pytest.approx(row.value - half)
    assert row.interval.high == pytest.approx(row.value + half)
    assert (row.interval.method, row.interval.reliable) == ("jackknife", True)


def test_intervals_contain_the_value_and_only_rows_of_all_slices_have_them() -> None:
    for (slice_, _), row in Data().rows(metric(matthews_corrcoef)).items():
        if slice_ == "all":
            assert row.interval.low < row.value < row.interval.high
        else:
            assert row.interval.method == "none"


def test_few_clusters_have_no_interval() -> None:
    rows = Data(44, ["cs"] * 10 + ["et"]).rows(metric(cohen_kappa_score))
    assert rows["all", "et"].interval.method == "none"
    assert rows["all", "all"].interval.method == "jackknife"
    assert not rows["all", "all"].interval.reliable


def test_equal_values_have_no_interval() -> None:
    assert {row.interval.method for row in Data().rows(metric(lambda *_: 0.5)).values()} == {"none"}


def test_many_rows_have_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MOST_ROWS", 199)
    assert {row.interval.method for row in Data().rows(metric(matthews_corrcoef)).values()} == {"none"}


def test_a_function_that_fails_for_a_language_alone_is_undefined_there() -> None:
    data = Data()
    data.true[data.language == "et"] = 1

    def needs_two_classes(labels: np.ndarray, _: np.ndarray) -> float:
        if len(set(labels)) < 2:
            raise ValueError("only one class")
        return 0.25

    rows = data.rows(metric(needs_two_classes))
    assert math.isnan(rows["all", "et"].value)
    assert rows["all", "macro"].value == rows["all", "cs"].value == rows["all", "all"].value == 0.25
    assert rows["all", "macro"].n == 100


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda *_: 1 / 0, r'The metric "mine" \(acme 1\.0\) failed: ZeroDivisionError: division by zero'),
        (lambda labels, _: labels, r"must return a number, but returned an array of shape \(200,\)\."),
        (lambda *_: "high", r'The metric "mine" \(acme 1\.0\) failed: ValueError: could not convert'),
        (lambda *_: math.inf, r"must return a finite number, but returned inf\."),
    ],
)
def test_a_function_that_fails_for_all_examples_is_named(function: Callable[..., Any], complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        Data().rows(metric(function))


def test_a_function_can_not_change_the_predictions() -> None:
    def spoil(labels: np.ndarray, guess: np.ndarray) -> float:
        value = float((labels == guess).mean())
        labels[:] = guess[:] = 0
        return value

    data = Data()
    rows = data.rows(metric(spoil))
    assert rows["all", "all"].value == pytest.approx((data.true == data.predicted).mean())


def test_probabilities_of_labelled_rows_come_from_batches() -> None:
    matrix = np.random.default_rng(0).random((10, 3)).astype(np.float32)
    rows = np.array([0, 3, 4, 9])
    batches = iter([matrix[:4], matrix[4:5], matrix[5:]])
    assert labelled_probabilities(batches, rows, 3).tolist() == matrix[rows].tolist()
