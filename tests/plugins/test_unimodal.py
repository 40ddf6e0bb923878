"""Unimodal baselines: they ignore the other modality, and have the published sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmeval import Batch, ModelContext, Task, UserError
from mmeval.nn import BertEncoder, TextInput
from mmeval.plugin.configure import configure
from mmeval_unimodal import build
from mmeval_unimodal import model as module
from mmeval_unimodal.config import UnimodalConfig
from mmeval_unimodal.model import Unimodal

CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
SMALL = ["image_encoder=small-cnn:32", "text_encoder=small-bert:1x32", "tuning.frozen=false"]


def model(*changes: str) -> Unimodal:
    torch.manual_seed(0)
    return build(configure(UnimodalConfig, "unimodal", {}, [*SMALL, *changes]), CONTEXT)


def batch(net: Unimodal, size: int = 5, **changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    fields: dict[str, Any] = {
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.ones(size, dtype=torch.bool),
        "languages": ("de",) * size,
        "labels": {},
        "seeds": torch.arange(size),
        "images": torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator),
    }
    if net.text_encoder is not None:
        fields["text_ids"], fields["text_mask"] = net.text_encoder.tokenize([f"wort {i}" for i in range(size)])
    return Batch(**(fields | changes))


def probabilities(net: Unimodal, b: Batch) -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits["t"].softmax(-1)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_the_other_modality_is_ignored(modality: str) -> None:
    """Its encoder is not built, and its input changes nothing."""
    net = model(f"modality={modality}")
    other = "has_image" if modality == "text" else "has_text"
    assert (net.image_encoder is None) == (modality == "text")
    assert (net.text_encoder is None) == (modality == "image")
    b = batch(net)
    gone = batch(net, **{other: torch.zeros(5, dtype=torch.bool)}, **({"images": None} if modality == "text" else {}))
    torch.testing.assert_close(probabilities(net, gone), probabilities(net, b), rtol=0, atol=0)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_without_its_modality_it_predicts_the_class_prior(modality: str) -> None:
    net = model(f"modality={modality}")
    b = batch(net, **{f"has_{modality}": torch.arange(5) > 0})
    torch.testing.assert_close(probabilities(net, b)[0], torch.tensor([0.1, 0.2, 0.7]))
    torch.testing.assert_close(probabilities(net, b)[1:], probabilities(net, batch(net))[1:])


def test_pooler_reads_the_first_token() -> None:
    """tanh(W x + b) of [CLS], then the linear layer: BertForSequenceClassification."""
    net = model("pooler=true", "normalise=raw").eval()
    b = batch(net)
    pooler: Any = net.pooler
    with torch.no_grad():
        first = net.text_encoder(b).tokens[:, 0]  # type: ignore[misc]
        expected = net.heads(torch.tanh(pooler.dense(first)))["t"].softmax(-1)
    torch.testing.assert_close(probabilities(net, b), expected)
    for changes in (["modality=image"], ["text_encoder=char-ngrams:512x16"]):
        with pytest.raises(UserError, match="pooler=true needs a text encoder that is a BERT; leave it out"):
            model("pooler=true", *changes)


def heads_input(net: Unimodal, b: Batch, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Return the input of the linear layers."""
    seen: list[Tensor] = []
    forward = net.heads.forward

    def told(x: Tensor) -> dict[str, Tensor]:
        seen.append(x.detach())
        return forward(x)

    monkeypatch.setattr(net.heads, "forward", told)
    net(b)
    return seen[-1]


@pytest.mark.parametrize("normalise", ["layer", "raw"])
def test_vector_is_normalised_before_dropout(normalise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout comes after the norm, which would undo it; `raw` has no norm."""
    net = model(f"normalise={normalise}", "dropout=0.25")
    b = batch(net, 64)
    whole, dropped = (heads_input(net.train(mode), b, monkeypatch) for mode in (False, True))
    if normalise == "layer":
        torch.testing.assert_close(whole.mean(1), torch.zeros(64), rtol=0, atol=1e-5)
        torch.testing.assert_close(whole.var(1, correction=0), torch.ones(64), rtol=1e-2, atol=0)
    else:
        torch.testing.assert_close(whole, net.eval().text_encoder.pool(b))  # type: ignore[union-attr]
    assert (whole != 0).all()
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_missing_modality_does_not_affect_the_gradients(modality: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any value in its place is ignored, NaN included."""
    net = model(f"modality={modality}").train()
    here = torch.arange(5) > 1
    b = batch(net, **{f"has_{modality}": here})
    encoder: Any = net._encoder()
    pooled = encoder.pool(b)
    monkeypatch.setattr(encoder, "pool", lambda _: torch.where(here[:, None], pooled, torch.nan))
    net(b).logits["t"].logsumexp(1).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("modality", ["text", "image"])
def test_tuning_option_applies_to_the_encoder(modality: str) -> None:
    assert model(f"modality={modality}", "tuning.lr_multiplier=0.25")._encoder().tuning.lr_multiplier == 0.25


def test_frozen_encoder_keeps_tokens_only_for_the_pooler() -> None:
    """The cache holds tokens only if they are needed, as they are large."""
    assert [model(f"pooler={pooler}").text_encoder.keeps_tokens for pooler in ("true", "false")] == [True, False]  # type: ignore[union-attr]


FINE_TUNING = {
    "optimizer": "adamw",
    "learning_rate": 2e-5,
    "batch_size": 32,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "schedule": "linear",
    "warmup_ratio": 0.1,
}
"""The recipe of BERT (arXiv 1810.04805, appendix A), within its ranges for fine-tuning."""


@pytest.mark.parametrize(
    ("preset", "dropout", "decay"),
    [("paper", 0.1, 1), ("paper-image", 0, 1), ("base", 0.1, 1), ("base-image", 0.1, 0.8)],
)
def test_presets_have_the_fine_tuning_recipe_of_bert(preset: str, dropout: float, decay: float) -> None:
    from mmeval.plugin.manager import Manager

    config = configure(UnimodalConfig, "unimodal", Manager().model("unimodal").presets[preset])
    assert {name: getattr(config.recipe, name) for name in FINE_TUNING} == FINE_TUNING
    assert (config.dropout, config.tuning.layer_decay, config.tuning.frozen) == (dropout, decay, False)
    assert config.normalise == "raw"


FOOD = replace(CONTEXT, tasks=(Task("food", tuple(map(str, range(101)))),), class_counts={"food": (1,) * 101})


def test_paper_preset_matches_bert_for_101_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """109.56 million parameters and the logits of BertForSequenceClassification on UPMC Food-101."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    from mmeval.nn.encoders.tokens import ByteTokenizer

    def encoder(name: str, *_: Any, **__: Any) -> BertEncoder:
        with torch.device("meta"):
            return BertEncoder(name, BertModel(BertConfig()), ByteTokenizer(), TextInput(512, "bytes"), "cls")

    monkeypatch.setattr(module, "text_encoder", encoder)
    config = configure(UnimodalConfig, "unimodal", {}, ["tuning.frozen=false", "normalise=raw", "pooler=true"])
    with torch.device("meta"):
        reference = BertForSequenceClassification(BertConfig(num_labels=101))
        own = build(config, FOOD)
    count = sum(p.numel() for p in own.parameters())
    assert count == sum(p.numel() for p in reference.parameters()) == 109_559_909


def test_paper_image_preset_has_the_size_of_vit_for_101_classes() -> None:
    """85.876 million parameters, as ViTForImageClassification."""
    pytest.importorskip("timm", reason="the encoder's own package")
    changes = ["modality=image", "image_encoder=timm:vit_base_patch16_224?weights=random", "tuning.frozen=false"]
    with torch.device("meta"):
        own = build(configure(UnimodalConfig, "unimodal", {}, [*changes, "normalise=raw"]), FOOD)
    assert sum(p.numel() for p in own.parameters()) == 85_876_325
