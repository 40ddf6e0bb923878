"""Calibration errors against relplot, scikit-learn and values by hand."""

from __future__ import annotations

import numpy as np
import pytest
import relplot
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mmeval.metrics.calibration import (
    calibration,
    calibration_rows,
    confidence_auroc,
    ece,
    ece_equal_mass,
    reliability_bins,
    risk_coverage,
    smooth_ece,
)
from mmeval.metrics.outcomes import Codes, Outcomes

Sample = tuple[NDArray[np.float32], NDArray[np.bool_]]


def sample(n: int, power: float = 1, seed: int = 0) -> Sample:
    """Draw confidences, and hits with the probability ``confidence ** power``: calibrated with 1."""
    random = np.random.default_rng(seed)
    confidence = random.beta(5, 2, n).astype(np.float32)
    return confidence, random.random(n) < confidence**power


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Draw a few examples, some with equal confidences."""
    n = draw(st.integers(1, 30))
    confidence = draw(st.lists(st.sampled_from([0.2, 0.5, 0.65, 0.8, 0.99, 1.0]), min_size=n, max_size=n))
    return np.array(confidence, np.float32), np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))


@pytest.mark.parametrize(("n", "power"), [(1, 1), (5, 1), (200, 3), (3000, 1), (3000, 2)])
def test_smooth_ece_equals_relplot(n: int, power: float) -> None:
    confidence, hit = sample(n, power)
    assert smooth_ece(confidence, hit) == pytest.approx(
        relplot.smECE(confidence.astype(float), hit.astype(float)), abs=1e-9
    )


def test_smooth_ece_of_many_examples_is_computed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence, hit = sample(200)
    expected = smooth_ece(confidence, hit)
    monkeypatch.setattr("mmeval.metrics.calibration._CHUNK", 33)
    assert smooth_ece(confidence, hit) == pytest.approx(expected, abs=1e-12)


@given(samples())
@settings(deadline=None, max_examples=20)
def test_smooth_ece_equals_relplot_with_few_examples_and_ties(data: Sample) -> None:
    confidence, hit = data
    expected = relplot.smECE(confidence.astype(float), hit.astype(float))
    assert smooth_ece(confidence, hit) == pytest.approx(expected, abs=1e-9)


@given(samples())
@settings(deadline=None, max_examples=50)
def test_ece_equals_the_loop_of_the_definition(data: Sample) -> None:
    confidence, hit = data
    expected = 0.0
    for i in range(15):
        inside = (confidence > np.linspace(0, 1, 16)[i]) & (confidence <= np.linspace(0, 1, 16)[i + 1])
        if inside.any():
            distance = abs(hit[inside].mean() - confidence[inside].mean(dtype=np.float64))
            expected += inside.mean() * distance
    assert ece(confidence, hit) == pytest.approx(expected, abs=1e-9)


def test_equal_mass_bins_have_equal_sizes_and_keep_the_order_of_ties() -> None:
    confidence = np.full(32, 0.5, np.float32)
    hit = np.arange(32) < 16
    bins = reliability_bins(confidence, hit, equal_mass=True)
    assert bins.counts.tolist() == [3, 3] + [2] * 13
    assert bins.accuracy.tolist() == [1, 1, 1, 1, 1, 1, 1] + [0] * 8
    assert ece_equal_mass(confidence, hit) == pytest.approx(0.5)


def test_bins_show_counts_mean_confidence_and_accuracy() -> None:
    bins = reliability_bins(np.array([0.25, 0.3, 0.9]), np.array([True, False, True]), bins=4)
    assert bins.counts.tolist() == [1, 1, 0, 1], "the edge 0.25 belongs to the lower bin"
    assert bins.confidence[[0, 1, 3]] == pytest.approx([0.25, 0.3, 0.9])
    assert bins.accuracy[[0, 1, 3]].tolist() == [1, 0, 1]
    assert np.isnan(bins.confidence[2])
    assert bins.error == pytest.approx((0.75 + 0.3 + 0.1) / 3)


@given(samples())
@settings(deadline=None, max_examples=50)
def test_auroc_of_confidence_equals_scikit_learn(data: Sample) -> None:
    confidence, hit = data
    if hit.all() or not hit.any():
        assert np.isnan(confidence_auroc(confidence, hit))
    else:
        assert confidence_auroc(confidence, hit) == pytest.approx(roc_auc_score(hit, confidence), abs=1e-12)


def test_risk_coverage_is_the_mean_of_the_cumulative_risk() -> None:
    confidence = np.array([0.6, 0.9, 0.6, 0.7], np.float32)
    hit = np.array([False, True, True, False])
    # By falling confidence: right, wrong, wrong (the first of the tie), right.
    assert risk_coverage(confidence, hit) == pytest.approx((0 + 1 / 2 + 2 / 3 + 2 / 4) / 4)


@given(samples())
@settings(deadline=None, max_examples=50)
def test_risk_coverage_keeps_the_order_of_ties(data: Sample) -> None:
    confidence, hit = data
    risks = np.cumsum(~hit[np.argsort(-confidence, kind="stable")]) / np.arange(1, len(hit) + 1)
    assert risk_coverage(confidence, hit) == pytest.approx(risks.mean(), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 500])
def test_all_errors_together_equal_each_alone(n: int) -> None:
    confidence, hit = sample(n)
    together = calibration(confidence, hit)
    alone = (ece, ece_equal_mass, smooth_ece, confidence_auroc, risk_coverage)
    np.testing.assert_equal(list(together), [function(confidence, hit) for function in alone])


def test_errors_of_no_example_are_undefined() -> None:
    assert np.isnan(calibration(np.zeros(0, np.float32), np.zeros(0, bool))).all()


def test_rows_have_each_language_their_mean_and_all_rows() -> None:
    confidence, hit = sample(90)
    languages = Codes.of(["cs", "et", "sk"] * 30)
    predicted = np.zeros(90, np.int32)
    outcomes = Outcomes(np.where(hit, 0, 1).astype(np.int32), predicted, {}, 2, confidence, confidence)
    rows = {(row.language, row.metric): row for row in calibration_rows(outcomes, languages)}
    by_language = [ece(confidence[start::3], hit[start::3]) for start in range(3)]
    assert [rows[name, "ece"].value for name in ("cs", "et", "sk")] == pytest.approx(by_language)
    assert rows["macro", "ece"].value == pytest.approx(np.mean(by_language))
    assert rows["all", "ece"].value == pytest.approx(ece(confidence, hit))
    assert (rows["et", "ece"].n, rows["all", "ece"].n) == (30, 90)
    assert len(rows) == 5 * 5


def test_predicted_labels_alone_have_no_calibration() -> None:
    outcomes = Outcomes(np.zeros(2, np.int32), np.zeros(2, np.int32), {}, 2)
    assert calibration_rows(outcomes, Codes.of(["cs", "et"])) == []
