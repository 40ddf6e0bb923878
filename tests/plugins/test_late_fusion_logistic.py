"""Late fusion with scikit-learn's logistic regression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mmeval import FitContext, ModelContext, Task, UserError
from mmeval.plugin.configure import configure
from mmeval_late_fusion import build
from mmeval_late_fusion.config import LateFusionConfig
from mmeval_late_fusion.logistic import LogisticLateFusion

CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})


class FakeExamples:
    """Examples with given vectors; a vector of NaN is a missing modality."""

    def __init__(self, image: Any, text: Any, labels: Any) -> None:
        self.vectors = [np.nan_to_num(x).astype(np.float32) for x in (image, text)]
        self.image_rows = np.where(np.isnan(image[:, 0]), -1, 0)
        self.texts = ["" if missing else "x" for missing in np.isnan(text[:, 0])]
        self.labels = labels.__getitem__

    def __len__(self) -> int:
        return len(self.texts)


@pytest.fixture(autouse=True)
def _given_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the vectors of fake examples instead of running encoders."""
    monkeypatch.setattr(LogisticLateFusion, "_embed", lambda self, examples, device: examples.vectors)


def create_model(*changes: str) -> LogisticLateFusion:
    model = build(configure(LateFusionConfig, "late-fusion", {}, ["head=logistic", "c=0.5", *changes]), CONTEXT)
    assert isinstance(model, LogisticLateFusion)
    return model


def fit(model: LogisticLateFusion, examples: Any, folder: Path) -> LogisticLateFusion:
    model.fit(examples, examples, FitContext(0, "cpu", folder))
    return model


def predict(model: LogisticLateFusion, examples: Any, folder: Path) -> dict[str, Any]:
    (block,) = model.predict(examples, FitContext(0, "cpu", folder))
    return block


def random_examples(classes: int = 3) -> FakeExamples:
    """90 examples, of which every fifth has no label of task u."""
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(90, 4)) * 3 + 1, rng.normal(size=(90, 3))
    rows = np.arange(90)
    return FakeExamples(image, text, {"t": rows % classes, "u": np.where(rows % 5, rows % 2, -1)})


def test_encoder_that_is_not_frozen_raises_user_error() -> None:
    with pytest.raises(UserError, match=r"head=logistic needs frozen encoders: --set text_tuning\.frozen=true\."):
        create_model("text_tuning.frozen=false")


@pytest.mark.parametrize("fusion", ["concat", "average"])
@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_equal_those_of_scikit_learn(fusion: str, classes: int, tmp_path: Path) -> None:
    """Also if training has only two of three classes."""
    examples = random_examples(classes)
    predicted = predict(fit(create_model(f"fusion={fusion}"), examples, tmp_path), examples, tmp_path)["t"]
    image, text = examples.vectors
    labels, logs = examples.labels("t"), []
    for x in [np.concatenate([image, text], 1)] if fusion == "concat" else [image, text]:
        x = StandardScaler().fit_transform(x)
        logs.append(LogisticRegression(C=0.5, max_iter=200).fit(x, labels).predict_log_proba(x))
    expected = np.exp(np.mean(logs, 0))
    np.testing.assert_allclose(predicted[:, :classes], expected / expected.sum(1, keepdims=True), atol=2e-3)


@pytest.mark.parametrize("fusion", ["concat", "average"])
@pytest.mark.parametrize("classes", [1, 2])
def test_classes_that_training_lacks_get_almost_no_probability(fusion: str, classes: int, tmp_path: Path) -> None:
    examples = random_examples(classes)
    predicted = predict(fit(create_model(f"fusion={fusion}"), examples, tmp_path), examples, tmp_path)["t"]
    assert predicted[:, classes:].max() < 1e-6
    np.testing.assert_allclose(predicted.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("fusion", ["concat", "average"])
def test_loaded_model_predicts_the_same(fusion: str, tmp_path: Path) -> None:
    examples = random_examples()
    model, loaded = fit(create_model(f"fusion={fusion}"), examples, tmp_path), create_model(f"fusion={fusion}")
    model.save(tmp_path)
    loaded.load(tmp_path)
    for task in ("t", "u"):
        expected = predict(model, examples, tmp_path)[task]
        np.testing.assert_array_equal(predict(loaded, examples, tmp_path)[task], expected)


def test_loading_from_a_folder_without_a_model_raises_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model with the head logistic"):
        create_model().load(tmp_path)


@pytest.mark.parametrize("fusion", ["concat", "average"])
def test_example_without_image_and_text_gets_the_class_shares(fusion: str, tmp_path: Path) -> None:
    examples = random_examples()
    model = fit(create_model(f"fusion={fusion}"), examples, tmp_path)
    image, text = (x.copy() for x in examples.vectors)
    image[0], text[0], image[1] = np.nan, np.nan, np.nan
    predicted = predict(model, FakeExamples(image, text, {}), tmp_path)["t"]
    np.testing.assert_allclose(predicted[0], [0.1, 0.2, 0.7], rtol=1e-6)
    assert np.isfinite(predicted).all()


def images_with_gaps() -> Any:
    """Every third image is missing, one feature is constant, and one image is an outlier."""
    image = np.random.default_rng(0).normal(size=(90, 4)) * 3 + 5
    image[:, 3] = 2
    image[1] = 1000
    image[::3] = np.nan
    return image


def fit_on_gaps(model: LogisticLateFusion, labels: Any, folder: Path) -> LogisticLateFusion:
    text = np.random.default_rng(1).normal(size=(90, 3))
    return fit(model, FakeExamples(images_with_gaps(), text, {"t": labels, "u": labels % 2}), folder)


LABELS = np.arange(90) // 7 % 3


def test_mean_and_deviation_are_those_of_present_images(tmp_path: Path) -> None:
    arrays = fit_on_gaps(create_model(), LABELS, tmp_path).arrays
    image = images_with_gaps()
    present = image[~np.isnan(image[:, 0])]
    np.testing.assert_allclose(arrays["0.mean"], present.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["0.deviation"][:3], present.std(0)[:3], rtol=1e-5)
    assert arrays["0.deviation"][3] == pytest.approx(present.std(0)[3])
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("fusion", ["concat", "average"])
def test_image_head_is_not_trained_on_examples_without_an_image(fusion: str, tmp_path: Path) -> None:
    """The head on the concatenation is: it reads their text."""
    changed = LABELS.copy()
    changed[::3] = (changed[::3] + 1) % 3
    before, after = (
        fit_on_gaps(create_model(f"fusion={fusion}"), labels, tmp_path).arrays["0.0.weight"]
        for labels in (LABELS, changed)
    )
    assert np.allclose(before, after, atol=1e-4) == (fusion == "average")


def test_features_are_clipped_at_five_deviations(tmp_path: Path) -> None:
    model = fit_on_gaps(create_model(), LABELS, tmp_path)
    ((x, _),) = model._inputs([np.full((2, 4), 1e6, np.float32), np.zeros((2, 3), np.float32)], np.ones((2, 2), bool))
    assert np.abs(x).max() == 5


def test_constant_feature_causes_no_division_by_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {"t": np.arange(20) % 3, "u": np.arange(20) % 2}
    examples = FakeExamples(np.full((20, 2), 3.0), rng.normal(size=(20, 2)), labels)
    predicted = predict(fit(create_model(), examples, tmp_path), examples, tmp_path)
    assert np.isfinite(predicted["t"]).all()
