"""Bootstrap intervals: they match theory, are reproducible, and account for shared images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mmeval import Task
from mmeval.metrics import bootstrap
from mmeval.metrics.bootstrap import Outcomes, bootstrap_statistics
from mmeval.metrics.counts import macro_f1
from mmeval.metrics.predictions import Predictions
from mmeval.metrics.scores import RunColumns, score


def outcomes(n: int, accuracy: float, classes: int = 4, seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    true = rng.integers(classes, size=n)
    predicted = np.where(rng.random(n) < accuracy, true, rng.integers(classes, size=n))
    return Outcomes(true, predicted, np.stack([true == predicted] * 2, 1).astype(float), classes)


def test_a_resample_has_the_scores_of_its_rows() -> None:
    """Weighted sums against scikit-learn on the repeated rows."""
    sample, languages = outcomes(60, 0.6), np.arange(60) % 2
    groups = [np.flatnonzero(languages == language) for language in (0, 1)]
    weights = bootstrap._draw(60, 5, np.random.default_rng([7, 0]))
    (statistics,) = bootstrap_statistics(sample, groups, np.arange(60), 5, seed=7)
    for group, rows in enumerate(groups):
        scores = macro_f1(statistics[group].counts)
        for number in range(5):
            taken = np.repeat(rows, weights[rows, number].astype(int))
            assert statistics[group].size[number] == len(taken)
            hits = statistics[group].sums[number, 0]
            assert hits == (sample.true[taken] == sample.predicted[taken]).sum()
            expected = f1_score(sample.true[taken], sample.predicted[taken], average="macro")
            assert scores[number] == pytest.approx(expected)


def test_interval_of_accuracy_matches_the_binomial_width() -> None:
    low, high = interval(predictions(outcomes(2000, 0.7), list(map(str, range(2000)))))
    accuracy = 0.7 + 0.3 / 4
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / 2000), rel=0.12)


def test_shared_images_widen_the_interval() -> None:
    """Fourteen texts of one image are not fourteen independent examples."""
    sample = outcomes(150, 0.7)
    copied = Outcomes(*(np.repeat(array, 14, axis=0) for array in sample[:3]), sample.classes)
    independent = interval(predictions(copied, [str(i) for i in range(2100)]))
    shared = interval(predictions(copied, [str(i // 14) for i in range(2100)]))
    assert (shared[1] - shared[0]) / (independent[1] - independent[0]) == pytest.approx(np.sqrt(14), rel=0.15)


def test_intervals_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = predictions(outcomes(100, 0.5), list(map(str, range(100))))
    first = interval(data)
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: 1)
    assert interval(data) == first


def test_all_seeds_share_their_resamples() -> None:
    """The mean over two identical seeds must not have a narrower interval than one seed."""
    data = predictions(outcomes(200, 0.6), list(map(str, range(200))))
    rows = score(RUN, {0: data, 1: data}).to_pylist()
    by_seed = {r["seed"]: r for r in rows if r["language"] == "all" and r["metric"] == "top1"}
    assert set(by_seed) == {"0", "1", "mean"}
    assert by_seed["mean"]["low"] == by_seed["0"]["low"]
    assert by_seed["mean"]["high"] == by_seed["0"]["high"]


RUN = RunColumns(run="r", model="m", dataset="d", split="test", inputs="text")


def predictions(sample: Outcomes, clusters: list[str]) -> Predictions:
    n = len(clusters)
    task = Task("t", tuple("abcd"))
    return Predictions([str(i) for i in range(n)], ["cs"] * n, clusters, {}, (task,), {"t": sample})


def interval(data: Predictions) -> tuple[float, float]:
    rows = score(RUN, {0: data}).to_pylist()
    return next((r["low"], r["high"]) for r in rows if r["language"] == "all" and r["metric"] == "top1")


def test_worst_language_over_seeds_is_chosen_from_the_means() -> None:
    """Each seed is worst in another language: the mean of their minima would be no language's score."""
    true = np.zeros(40, np.int64)
    task, languages, ids = Task("t", ("a", "b")), ["cs"] * 20 + ["et"] * 20, [str(i) for i in range(40)]

    def seed(bad: slice) -> Predictions:
        predicted = true.copy()
        predicted[bad] = 1
        values = np.stack([predicted == true] * 2, 1).astype(float)
        return Predictions(ids, languages, ids, {}, (task,), {"t": Outcomes(true, predicted, values, 2)})

    table = score(RUN, {0: seed(slice(0, 10)), 1: seed(slice(20, 32))}).to_pylist()
    rows = {r["language"]: r for r in table if r["seed"] == "mean" and r["metric"] == "top1"}
    assert rows["cs"]["value"] == pytest.approx(0.75)
    assert rows["worst"]["value"] == rows["et"]["value"] == pytest.approx(0.7)
    assert (rows["worst"]["low"], rows["worst"]["high"]) == (rows["et"]["low"], rows["et"]["high"])
    assert rows["gap"]["value"] == pytest.approx(0.05)
    assert rows["gap"]["low"] <= rows["gap"]["value"] <= rows["gap"]["high"]
