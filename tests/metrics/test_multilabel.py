"""Metrics of multi-label tasks: equal to scikit-learn's, with the right derivatives, and defined where data is thin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, precision_score, recall_score

from mmeval.metrics import multilabel as ml
from mmeval.metrics.counts import Counts, f1_per_class, macro_f1


def drawn(seed: int, n: int = 60, classes: int = 5, steps: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores; ``steps`` rounds the scores, so that many are equal."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, classes)) < rng.uniform(0.05, 0.6, classes)
    scores = np.clip(truth * 0.3 + rng.random((n, classes)) * 0.7, 0, 1)
    return truth, (np.round(scores * steps) / steps if steps else scores).astype(np.float32)


@pytest.mark.parametrize("steps", [0, 4, 1])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_equals_scikit_learn(seed: int, steps: int) -> None:
    truth, scores = drawn(seed, steps=steps)
    has = truth.any(0)
    expected = average_precision_score(truth[:, has], scores[:, has], average=None)
    np.testing.assert_allclose(ml.average_precision(truth, scores)[has], expected, atol=1e-12)
    macro = average_precision_score(truth[:, has], scores[:, has], average="macro")
    assert ml.mean_average_precision(truth, scores) == pytest.approx(macro, abs=1e-9)


def test_a_class_that_no_example_has_is_left_out_of_the_mean() -> None:
    """scikit-learn gives it 0 with a warning, which would make the score depend on the length of the class list."""
    truth, scores = drawn(1)
    more = np.concatenate([truth, np.zeros((len(truth), 1), bool)], 1)
    wider = np.concatenate([scores, scores[:, :1]], 1)
    assert np.isnan(ml.average_precision(more, wider)[-1])
    assert ml.mean_average_precision(more, wider) == ml.mean_average_precision(truth, scores)
    assert np.isnan(ml.mean_average_precision(np.zeros_like(truth), scores))


@pytest.mark.parametrize("steps", [0, 3])
def test_influence_is_the_derivative_by_the_weight_of_an_example(steps: int) -> None:
    truth, scores = drawn(7, n=25, classes=3, steps=steps)
    _, influence = ml.mean_average_precision_influence(truth, scores)
    h = 1e-5
    for row in range(len(truth)):
        sides = []
        for sign in (1, -1):
            weights = np.ones(len(truth))
            weights[row] += sign * h
            own = [average_precision_score(truth[:, c], scores[:, c], sample_weight=weights) for c in range(3)]
            sides.append(np.mean(own))
        assert influence[row] == pytest.approx((sides[0] - sides[1]) / (2 * h), abs=1e-8)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_f1_precision_and_recall_equal_scikit_learn(seed: int) -> None:
    truth, scores = drawn(seed)
    predicted = ml.predicted_classes(scores)
    counts = Counts(*(part[0] for part in ml.label_counts(truth, predicted, np.zeros(60, np.int64), 1)))
    assert ml.micro_f1(counts) == pytest.approx(f1_score(truth, predicted, average="micro"), abs=1e-12)
    assert macro_f1(counts) == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-12)
    for own, theirs in ((ml.precision, precision_score), (ml.recall, recall_score), (f1_per_class, f1_score)):
        np.testing.assert_allclose(own(counts), theirs(truth, predicted, average=None), atol=1e-12)
    assert ml.subset_correct(truth, predicted).mean() == accuracy_score(truth, predicted)


def test_counts_of_groups_are_the_counts_of_their_rows() -> None:
    truth, scores = drawn(3)
    predicted, group = ml.predicted_classes(scores), np.arange(60) % 4
    counts = ml.label_counts(truth, predicted, group, 5)
    for number in range(5):
        rows = group == number
        np.testing.assert_array_equal(counts.hits[number], (truth & predicted)[rows].sum(0))
        np.testing.assert_array_equal(counts.true[number], truth[rows].sum(0))
        np.testing.assert_array_equal(counts.predicted[number], predicted[rows].sum(0))
    assert np.isnan(ml.micro_f1(counts)[4])
    assert np.isnan(macro_f1(counts)[4])


def test_validation_score_is_the_mean_over_languages() -> None:
    truth, scores = drawn(4)
    languages = ["de", "et", "et"] * 20
    labels = truth.astype(np.int8)
    labels[0] = -1
    known = np.arange(60) > 0
    of = {
        name: ml.mean_average_precision(truth[rows], scores[rows])
        for name in ("de", "et")
        for rows in [known & (np.asarray(languages) == name)]
    }
    assert ml.mean_language_map(labels, scores, languages) == pytest.approx(np.mean(list(of.values())), abs=1e-15)
    with pytest.raises(ValueError, match="no example has any"):
        ml.mean_language_map(np.zeros_like(labels), scores, languages)


def test_the_best_threshold_has_the_highest_micro_f1() -> None:
    truth, scores = drawn(5, steps=20)
    best = ml.best_threshold(truth, scores)
    f1 = {t: f1_score(truth, scores >= t, average="micro") for t in np.unique(scores)}
    assert f1[np.float32(best)] == max(f1.values())
    assert not (scores >= ml.best_threshold(np.zeros_like(truth), scores)).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_metrics_do_not_depend_on_the_order_of_rows(seed: int, steps: int) -> None:
    truth, scores = drawn(seed, n=20, steps=steps)
    order = np.random.default_rng(seed).permutation(20)
    before, influence = ml.mean_average_precision_influence(truth, scores)
    after, moved = ml.mean_average_precision_influence(truth[order], scores[order])
    np.testing.assert_allclose(after, before, atol=1e-12)
    np.testing.assert_allclose(moved, influence[order], atol=1e-12)
