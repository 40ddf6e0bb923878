"""Tuning of encoders: frozen layers, learning rates by depth, adapters, gradient checkpointing."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmeval import Tuning, UserError
from mmeval.errors import MissingExtraError
from mmeval.nn import Encoder, ImageEncoder, image_encoder, text_encoder
from mmeval.nn.tuning import apply_frozen_epochs, lr_multipliers
from tests.hub import tiny

TEXT = ["bert", "distilbert", "mt5", "clip", "siglip"]
IMAGE = ["vit", "dinov2", "resnet", "swin", "clip", "siglip", "timm"]
EVERY = [("text", family) for family in TEXT] + [("image", family) for family in IMAGE]
LINEAR = [(modality, family) for modality, family in EVERY if family not in ("resnet", "timm")]
CHECKPOINTED = [(modality, family) for modality, family in EVERY if family != "resnet"]


def make(modality: str, family: str, **tuning: Any) -> Any:
    name = f"local:{tiny.folder('timm_model')}?size=64" if family == "timm" else f"local:{tiny.folder(family)}"
    torch.manual_seed(0)
    return (image_encoder if modality == "image" else text_encoder)(name, Tuning(**tuning))


def outputs(encoder: Any, seed: int = 0) -> Tensor:
    if isinstance(encoder, ImageEncoder):
        seeded = torch.Generator().manual_seed(seed)
        size = (4, 3, encoder.input.height, encoder.input.width)
        encoded = encoder.encode(torch.randint(0, 256, size, dtype=torch.uint8, generator=seeded))
    else:
        encoded = encoder.encode(*encoder.tokenize(["Hemd für dich", "A red shirt", "rot " * 9]))
    total: Tensor = encoded.pooled.square().sum() + (encoded.tokens * encoded.mask[:, :, None]).square().sum()
    return total


def state(encoder: Encoder) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in encoder.state_dict().items()}


def step(encoder: Any) -> set[str]:
    """Take a step in training mode; returns the names of the parameters and buffers that it changed."""
    before = state(encoder.train())
    learning = [p for p in encoder.parameters() if p.requires_grad]
    if learning:
        optimizer = torch.optim.SGD(learning, lr=0.1)
        outputs(encoder).backward()
        optimizer.step()
        optimizer.zero_grad()
    else:
        with torch.no_grad():
            outputs(encoder)
    return {key for key, value in encoder.state_dict().items() if not torch.equal(before[key], value)}


@pytest.mark.parametrize(("modality", "family"), EVERY)
def test_frozen_encoder_does_not_change(modality: str, family: str) -> None:
    """Weights, batch-norm statistics and dropout are fixed; otherwise cached embeddings would be wrong."""
    encoder = make(modality, family, frozen=True)
    assert step(encoder) == set()
    assert not any(module.training for module in encoder.modules())
    assert lr_multipliers(encoder).keys() == set(encoder.parameters())


@pytest.mark.parametrize(("modality", "family"), EVERY)
def test_first_layers_are_frozen(modality: str, family: str) -> None:
    """Their batch-norm statistics are frozen too; all layers above learn."""
    count = len(make(modality, family).blocks())
    assert count >= 3
    encoder = make(modality, family, frozen_layers=count - 1)
    changed = step(encoder)
    names = {id(p): name for name, p in encoder.named_parameters()}
    below = {names[id(p)] for block in encoder.blocks()[:-1] for p in block.parameters()}
    last = {names[id(p)] for p in encoder.blocks()[-1].parameters()}
    assert last & changed
    assert not below & changed
    own = set(encoder.modules())
    for block in encoder.blocks()[:-1]:
        assert not any(module.training for module in block.modules() if module in own)
    assert all(module.training for module in encoder.blocks()[-1].modules() if module in own)
    statistics = {name for name, _ in encoder.named_buffers() if "running" in name}
    assert bool(statistics & changed) == bool(statistics)  # those of the last block change
    for name in statistics & changed:
        assert name.rsplit(".", 1)[0] + ".weight" not in below


@pytest.mark.parametrize(("modality", "family"), [*LINEAR, ("image", "resnet"), ("image", "timm")])
def test_layers_frozen_in_the_first_epochs_learn_later(modality: str, family: str) -> None:
    # Batch-norm statistics change from the start.
    encoder = make(modality, family, frozen_epochs=2, frozen_layers=1)
    names = {id(p): name for name, p in encoder.named_parameters()}
    blocks = {names[id(p)] for block in encoder.blocks() for p in block.parameters()}
    stem = {names[id(p)] for p in encoder.blocks()[0].parameters()}
    statistics = {name for name, _ in encoder.named_buffers() if "running" in name}
    for epoch in (1, 2, 3):
        apply_frozen_epochs(encoder, epoch)
        changed = step(encoder)
        assert bool(changed & statistics) == bool(statistics)
        assert not changed & stem  # the stem is frozen in all epochs
        assert bool(changed & (blocks - stem)) == (epoch == 3), epoch


def test_learning_rates_decrease_with_depth() -> None:
    encoder = make("text", "clip", lr_multiplier=0.1, layer_decay=0.5)
    factors = {name: lr_multipliers(encoder)[p] for name, p in encoder.named_parameters()}
    assert factors["model.text_projection.weight"] == pytest.approx(0.1)  # above all blocks
    assert factors["model.text_model.encoder.layers.1.mlp.fc1.weight"] == pytest.approx(0.05)
    assert factors["model.text_model.encoder.layers.0.mlp.fc1.weight"] == pytest.approx(0.025)
    assert factors["model.text_model.embeddings.token_embedding.weight"] == pytest.approx(0.0125)


@pytest.mark.parametrize(("modality", "family"), EVERY)
def test_every_parameter_has_one_learning_rate(modality: str, family: str) -> None:
    encoder = make(modality, family, layer_decay=0.5)
    multipliers = lr_multipliers(encoder)
    assert multipliers.keys() == set(encoder.parameters())
    count = len(encoder.blocks())
    assert set(multipliers.values()) <= {0.5**power for power in range(count + 1)}
    assert {0.5**power for power in range(1, count + 1)} <= set(multipliers.values())


@pytest.mark.parametrize(("modality", "family"), LINEAR)
def test_only_adapters_learn(modality: str, family: str) -> None:
    """Adapters change nothing at first; afterwards only they change, and a published encoder saves only them."""
    plain, encoder = make(modality, family), make(modality, family, lora_rank=2, frozen_layers=1)
    plain.eval(), encoder.eval()
    torch.testing.assert_close(outputs(plain), outputs(encoder))
    changed = step(encoder)
    assert changed
    assert all("lora_" in name for name in changed)
    learning = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in learning)
    inside = {id(p) for block in encoder.blocks()[1:] for p in block.parameters()}
    assert all(id(p) in inside for p in encoder.parameters() if p.requires_grad)
    encoder.published = True
    buffers = {name for name, _ in encoder.named_buffers()}
    assert encoder.state_dict().keys() - encoder.restorable_state() - buffers == learning


@pytest.mark.parametrize(("modality", "family"), [("text", "bert"), ("image", "siglip")])
def test_saved_adapters_load_back(modality: str, family: str) -> None:
    encoder, again = make(modality, family, lora_rank=2), make(modality, family, lora_rank=2)
    step(encoder), step(encoder)
    encoder.published = True
    saved = {key: value for key, value in encoder.state_dict().items() if key not in encoder.restorable_state()}
    assert sum(value.numel() for value in saved.values()) < 0.3 * sum(p.numel() for p in encoder.parameters())
    report = again.load_state_dict(saved, strict=False)
    assert report.unexpected_keys == []
    torch.testing.assert_close(outputs(again.eval()), outputs(encoder.eval()), rtol=0, atol=0)


@pytest.mark.parametrize(("modality", "family"), CHECKPOINTED)
@pytest.mark.parametrize("tuning", [{}, {"frozen_layers": 1}])
def test_gradients_are_the_same_with_checkpointing(modality: str, family: str, tuning: dict[str, Any]) -> None:
    plain, encoder = make(modality, family, **tuning), make(modality, family, checkpointing=True, **tuning)
    for model in (plain.train(), encoder.train()):
        outputs(model).backward()
    for (name, p), q in zip(plain.named_parameters(), encoder.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-4, atol=1e-5 + 1e-4 * float(p.grad.abs().max()))


@pytest.mark.parametrize(("modality", "family"), CHECKPOINTED)
def test_checkpointing_computes_layers_twice(modality: str, family: str) -> None:
    """The first layer of the last block is called again in the backward pass; otherwise no memory is saved."""
    encoder = make(modality, family, checkpointing=True).train()
    calls: list[str] = []
    first = next(m for m in encoder.blocks()[-1].modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    first.register_forward_pre_hook(lambda *_: calls.append("called"))
    total = outputs(encoder)
    assert len(calls) == 1
    total.backward()
    assert len(calls) == 2


def test_adapters_work_with_checkpointing() -> None:
    encoder = make("text", "bert", lora_rank=2, checkpointing=True)
    assert all("lora_" in name for name in step(encoder))
    assert step(encoder)


def test_copy_learns_like_the_original() -> None:
    encoder = make("image", "vit", frozen_layers=1)
    assert step(copy.deepcopy(encoder)) == step(encoder)


@pytest.mark.parametrize(
    ("modality", "name", "tuning", "sentence"),
    [
        ("image", "small-cnn:32", {"frozen_layers": 5}, "small-cnn:32 has 4 blocks, of which 5 can't be frozen."),
        (
            "image",
            "small-cnn:32",
            {"checkpointing": True},
            "small-cnn:32 has no gradient checkpointing; leave tuning.checkpointing out.",
        ),
        (
            "image",
            "small-cnn:32",
            {"lora_rank": 2},
            "small-cnn:32 has no linear layer in its blocks for an adapter; leave lora_rank out.",
        ),
        ("text", "char-ngrams:64x8", {"frozen": True}, 'The text encoder "char-ngrams:64x8" has no pretrained weights'),
    ],
)
def test_unsupported_tuning_raises_user_error(modality: str, name: str, tuning: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        (image_encoder if modality == "image" else text_encoder)(name, Tuning(**tuning))
    assert sentence in str(error.value)


def test_model_without_checkpointing_raises_user_error() -> None:
    with pytest.raises(UserError, match=r"has no gradient checkpointing; leave tuning\.checkpointing out"):
        make("image", "resnet", checkpointing=True)


def test_missing_peft_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError) as error:
        text_encoder("small-bert:1x32", Tuning(lora_rank=4))
    assert str(error.value) == (
        'LoRA of small-bert:1x32 needs the package "peft", which is not installed; '
        "run: pip install 'mmeval-multilingual[models]'"
    )
