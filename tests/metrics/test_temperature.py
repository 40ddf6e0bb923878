"""Temperature scaling: the temperature of known data is found, and predictions stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from mmeval.metrics.temperature import fit_temperature, scaled_confidence


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_probabilities_wrong_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = softmax(rng.normal(size=(20_000, 4)) * 2)
    true = (honest.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    wrong = softmax(np.log(honest) * temperature)
    found = fit_temperature(wrong, true)
    assert found == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(scaled_confidence(wrong, found), honest.max(1), atol=0.02)


def test_certain_probabilities_stay_finite() -> None:
    certain = np.float32([[1, 0], [1, 0], [0, 1]])
    temperature = fit_temperature(certain, np.array([0, 1, 1]))
    assert np.isfinite(temperature)
    assert np.isfinite(scaled_confidence(certain, temperature)).all()
