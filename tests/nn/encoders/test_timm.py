"""Image encoders of timm: the model's own features, with its published preprocessing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmeval import UserError
from mmeval.data.store import Store
from mmeval.engine.embeddings import image_embeddings
from mmeval.errors import MissingExtraError, MissingWeightsError
from mmeval.nn import ImageEncoder, image_encoder
from tests.hub import hub, tiny

VIT = "vit_tiny_patch16_224"


def pixels(encoder: ImageEncoder, count: int = 2) -> Tensor:
    seeded = torch.Generator().manual_seed(0)
    size = (count, 3, encoder.input.height, encoder.input.width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=seeded)


def random_encoder(name: str) -> Any:
    torch.manual_seed(0)
    encoder: Any = image_encoder(f"timm:{name}{'&' if '?' in name else '?'}weights=random").eval()
    tiny.moved(encoder)
    return encoder


@pytest.mark.parametrize(
    ("name", "prefix_tokens", "layout"),
    [
        ("resnet18?size=64", 0, "NCHW"),
        (f"{VIT}?size=32", 1, "tokens"),
        ("vit_small_patch14_reg4_dinov2?size=28", 5, "tokens"),
        ("deit_tiny_distilled_patch16_224?size=32", 2, "tokens"),
        ("swin_tiny_patch4_window7_224?size=56", 0, "NHWC"),
        ("convnext_atto?size=64", 0, "NCHW"),
    ],
)
def test_tokens_and_pooled_match_the_model(name: str, prefix_tokens: int, layout: str) -> None:
    """Tokens exclude class and register tokens; grids are flattened row by row in either memory layout."""
    encoder = random_encoder(name)
    images = pixels(encoder)
    with torch.no_grad():
        states = encoder.model.forward_features(encoder.input.normalise(images))
        pooled = encoder.model(encoder.input.normalise(images))
        encoded = encoder.encode(images)
    if layout == "NCHW":
        states = states.permute(0, 2, 3, 1)
    if layout != "tokens":
        states = states.flatten(1, 2)
    torch.testing.assert_close(encoded.tokens, states[:, prefix_tokens:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoded.pooled, pooled, rtol=1e-5, atol=1e-5)
    assert encoded.mask.shape == encoded.tokens.shape[:2]
    assert encoded.mask.all()
    assert encoder.width == pooled.shape[1] == states.shape[2]


def test_pooled_is_a_resnets_average_and_a_vits_class_token() -> None:
    resnet, vit = random_encoder("resnet18?size=64"), random_encoder(f"{VIT}?size=32")
    encoded = resnet.encode(pixels(resnet))
    torch.testing.assert_close(encoded.pooled, encoded.tokens.mean(1), rtol=1e-5, atol=1e-5)
    states = vit.model.forward_features(vit.input.normalise(pixels(vit)))
    torch.testing.assert_close(vit.encode(pixels(vit)).pooled, states[:, 0], rtol=1e-5, atol=1e-5)


def test_declared_input_is_the_published_one() -> None:
    resnet, vit = random_encoder("resnet18.a1_in1k").input, random_encoder(VIT).input
    assert (resnet.height, resnet.interpolation, resnet.crop) == (224, "bicubic", 0.95)
    assert resnet.mean == (0.485, 0.456, 0.406)
    assert (vit.mean, vit.std, vit.crop) == ((0.5,) * 3, (0.5,) * 3, 0.9)


def test_crop_mode_squash_stretches_the_image(tmp_path: Path) -> None:
    config = json.loads((tiny.folder("timm_model") / "config.json").read_text())["pretrained_cfg"]
    folder = tiny.copy("timm_model", tmp_path / "squash", pretrained_cfg={**config, "crop_mode": "squash"})
    assert image_encoder(f"local:{folder}").input.crop == 0.0


def test_unused_wider_head_is_frozen() -> None:
    """Tokens and pooled must have the same width, so the layer that widens the pooled vector is not used."""
    encoder = random_encoder("mobilenetv3_small_050?size=64")
    encoded = encoder.encode(pixels(encoder))
    torch.testing.assert_close(encoded.pooled, encoded.tokens.mean(1))
    encoded.pooled.square().sum().backward()
    for name, p in encoder.named_parameters():
        assert p.requires_grad == (p.grad is not None) == ("conv_head" not in name), name


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", 1 + 8), (VIT, 1 + 12), ("convnext_atto", 1 + 12)])
def test_blocks_are_the_stem_then_the_layers(name: str, blocks: int) -> None:
    encoder = random_encoder(name)
    inside = [p for block in encoder.blocks() for p in block.parameters()]
    assert len(encoder.blocks()) == blocks
    assert len({id(p) for p in inside}) == len(inside)  # each parameter is in one block only
    order = [id(p) for p in encoder.parameters()]
    assert id(inside[0]) == order[0] or name == VIT
    if name == VIT:
        stem = {id(p) for p in encoder.blocks()[0].parameters()}
        assert {id(encoder.model.cls_token), id(encoder.model.pos_embed)} < stem


def test_hub_and_folder_give_the_same_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.folder("timm_model")
    with hub({"timm/resnet18.a1_in1k": folder}):
        named = image_encoder("timm:resnet18.a1_in1k", frozen=True)
        with pytest.raises(MissingWeightsError, match="could not be loaded: the Hub has no model"):
            image_encoder("timm:resnet34.a1_in1k")
    local = image_encoder(f"local:{folder}", frozen=True)
    assert named.published
    assert not local.published
    assert named.restorable_state() == set(named.state_dict())
    for key, value in local.state_dict().items():
        assert torch.equal(named.state_dict()[key], value)
    images = pixels(named)
    assert torch.equal(named.encode(images).pooled, local.encode(images).pooled)
    assert capsys.readouterr() == ("", "")


def test_frozen_encoder_runs_once_per_image(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(3)
    name = f"local:{tiny.folder('timm_model')}?size=64"
    first = image_embeddings(image_encoder(name, frozen=True, tokens=True), store, rows, torch.device("cpu"))
    again = image_encoder(name, frozen=True, tokens=True)
    monkeypatch.setattr(type(again), "encode", lambda *_: pytest.fail("encoded again"))
    embeddings = image_embeddings(again, store, rows, torch.device("cpu"))
    assert np.array_equal(embeddings.gather(rows), first.gather(rows))
    tokens, mask = embeddings.gather_tokens(rows)
    assert tokens.shape == (3, 4, 512)
    assert mask.all()


def test_random_weights_differ_and_are_not_published() -> None:
    first, second = (image_encoder("timm:resnet18?weights=random&size=64") for _ in range(2))
    assert first.identity() != second.identity()
    assert not first.published
    assert first.restorable_state() == set()


def test_offline_mode_raises_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError) as error:
        image_encoder("timm:resnet152.a1_in1k")
    assert str(error.value) == (
        "The weights of timm:resnet152.a1_in1k could not be loaded: HF_HUB_OFFLINE is set, and this machine has no "
        "copy. Download them on a machine with a network, or name a folder that holds them: local:PATH."
    )


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match='The image encoder timm:resnet18 needs the package "timm"'):
        image_encoder("timm:resnet18")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timm:", '"timm:": write timm:NAME.'),
        ("timm:resnet", '"timm:resnet": timm says: Unknown model (resnet).'),
        ("timm:resnet18.best", '"timm:resnet18.best": timm says: Invalid pretrained tag (best) for resnet18.'),
        ("timm:resnet18?revision=1", 'this encoder has no option "revision"; it has size, weights.'),
        (f"timm:{VIT}?weights=random&size=8", "it does not accept images of 8 pixels"),
    ],
)
def test_unsupported_names_raise_user_error(name: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        image_encoder(name)
    assert sentence in str(error.value)
