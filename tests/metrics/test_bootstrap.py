"""Intervals: right where theory knows the answer, the same each time, and honest about shared images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mmeval import Task
from mmeval.metrics import bootstrap
from mmeval.metrics.bootstrap import Judged, resampled
from mmeval.metrics.counts import macro_f1
from mmeval.metrics.predictions import Predictions
from mmeval.metrics.scores import Source, score


def judged(n: int, accuracy: float, classes: int = 4, seed: int = 0) -> Judged:
    rng = np.random.default_rng(seed)
    true = rng.integers(classes, size=n)
    predicted = np.where(rng.random(n) < accuracy, true, rng.integers(classes, size=n))
    return Judged(true, predicted, np.stack([true == predicted] * 2, 1).astype(float), classes)


def test_a_resample_is_scored_as_if_its_rows_stood_there() -> None:
    """The fast way (sums of weights) against the plain way (take the rows, call scikit-learn)."""
    sample, languages = judged(60, 0.6), np.arange(60) % 2
    groups = [np.flatnonzero(languages == one) for one in (0, 1)]
    weights = bootstrap._draw(60, 5, np.random.default_rng([7, 0]))
    (statistics,) = resampled(sample, groups, np.arange(60), 5, seed=7)
    for group, rows in enumerate(groups):
        scores = macro_f1(statistics[group].counts)
        for number in range(5):
            taken = np.repeat(rows, weights[rows, number].astype(int))
            assert statistics[group].size[number] == len(taken)
            hits = statistics[group].sums[number, 0]
            assert hits == (sample.true[taken] == sample.predicted[taken]).sum()
            expected = f1_score(sample.true[taken], sample.predicted[taken], average="macro")
            assert scores[number] == pytest.approx(expected)


def test_the_interval_of_an_accuracy_has_the_width_that_theory_gives() -> None:
    low, high = interval(predictions(judged(2000, 0.7), list(map(str, range(2000)))))
    accuracy = 0.7 + 0.3 / 4
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / 2000), rel=0.12)


def test_examples_that_share_a_image_widen_the_interval() -> None:
    """Fourteen texts of one image are not fourteen independent examples."""
    one = judged(150, 0.7)
    copied = Judged(*(np.repeat(part, 14, axis=0) for part in one[:3]), one.classes)
    independent = interval(predictions(copied, [str(i) for i in range(2100)]))
    shared = interval(predictions(copied, [str(i // 14) for i in range(2100)]))
    assert (shared[1] - shared[0]) / (independent[1] - independent[0]) == pytest.approx(np.sqrt(14), rel=0.15)


def test_intervals_depend_neither_on_threads_nor_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = predictions(judged(100, 0.5), list(map(str, range(100))))
    first = interval(data)
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: 1)
    assert interval(data) == first


def test_a_mean_over_seeds_is_resampled_with_the_same_examples() -> None:
    """Two seeds that predict alike must not get a narrower interval than one."""
    data = predictions(judged(200, 0.6), list(map(str, range(200))))
    rows = score(SOURCE, {0: data, 1: data}).to_pylist()
    by_seed = {r["seed"]: r for r in rows if r["language"] == "all" and r["metric"] == "top1"}
    assert set(by_seed) == {"0", "1", "mean"}
    assert by_seed["mean"]["low"] == by_seed["0"]["low"]
    assert by_seed["mean"]["high"] == by_seed["0"]["high"]


SOURCE = Source(run="r", model="m", dataset="d", split="test", inputs="text")


def predictions(sample: Judged, clusters: list[str]) -> Predictions:
    n = len(clusters)
    task = Task("t", tuple("abcd"))
    return Predictions([str(i) for i in range(n)], ["cs"] * n, clusters, {}, (task,), {"t": sample})


def interval(data: Predictions) -> tuple[float, float]:
    rows = score(SOURCE, {0: data}).to_pylist()
    return next((r["low"], r["high"]) for r in rows if r["language"] == "all" and r["metric"] == "top1")


def test_the_worst_language_over_seeds_is_a_language_of_the_mean() -> None:
    """Seeds that are bad at different languages: the mean of their minima would be nobody's score."""
    true = np.zeros(40, np.int64)
    task, languages, ids = Task("t", ("a", "b")), ["cs"] * 20 + ["et"] * 20, [str(i) for i in range(40)]

    def seed(bad: slice) -> Predictions:
        predicted = true.copy()
        predicted[bad] = 1
        values = np.stack([predicted == true] * 2, 1).astype(float)
        return Predictions(ids, languages, ids, {}, (task,), {"t": Judged(true, predicted, values, 2)})

    table = score(SOURCE, {0: seed(slice(0, 10)), 1: seed(slice(20, 32))}).to_pylist()
    rows = {r["language"]: r for r in table if r["seed"] == "mean" and r["metric"] == "top1"}
    assert rows["cs"]["value"] == pytest.approx(0.75)
    assert rows["worst"]["value"] == rows["et"]["value"] == pytest.approx(0.7)
    assert (rows["worst"]["low"], rows["worst"]["high"]) == (rows["et"]["low"], rows["et"]["high"])
    assert rows["gap"]["value"] == pytest.approx(0.05)
    assert rows["gap"]["low"] <= rows["gap"]["value"] <= rows["gap"]["high"]
