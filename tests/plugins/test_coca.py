"""CoCa: parity with open_clip, parameter counts, masks, losses and missing inputs."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, MissingExtraError, MissingWeightsError, ModelContext, Task, UserError
from mmeval.plugin.configure import configure
from mmeval_coca import build
from mmeval_coca.config import CoCaConfig
from mmeval_coca.model import (
    MLP,
    AttentionalPooler,
    Bytes,
    CascadedPoolers,
    CoCa,
    ContrastiveLoss,
    CrossAttention,
    LastTokenAttention,
    MultimodalDecoder,
    MultimodalLayer,
    SelfAttention,
    SinglePooler,
    StateDecoder,
    TextDecoder,
    TransformerLayer,
    causal_mask,
    contrastive_loss,
)
from mmeval_coca.published import Published, from_open_clip

CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
SMALL = [
    *("image_encoder=vit:1x32x16x32?head=16", "image_tuning.frozen=false", "text_encoder=bytes", "width=32"),
    *("text_tuning.frozen=false", "text_length=12", "queries=3", "embedding=16", "caption_weight=2"),
    *("input_dropout=0", "dropout=0", "modality_dropout=0"),
]
PUBLISHED = "open_clip:coca_ViT-B-32/laion2b_s13b_b90k"
SIZE = {"width": 32, "heads": 4, "layers": 2, "context_length": 16, "vocab_size": 100}
POOLED = {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8} | POOLED,
    "text_cfg": SIZE | {"embed_cls": True, "output_tokens": True},
    "multimodal_cfg": SIZE,
}


def config(*changes: str) -> CoCaConfig:
    return configure(CoCaConfig, "coca", {}, [*SMALL, *changes])


def model(*changes: str) -> CoCa:
    torch.manual_seed(0)
    return build(config(*changes), CONTEXT)


def batch(net: CoCa, size: int = 6, **changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    ids, mask = net.text_encoder.tokenize([f"wort {'x' * i}" for i in range(size)])
    fields: dict[str, Any] = {
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.ones(size, dtype=torch.bool),
        "languages": ("de",) * size,
        "labels": {},
        "seeds": torch.arange(size) * 7919,
        "images": torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator),
        "text_ids": ids,
        "text_mask": mask,
    }
    return Batch(**(fields | changes))


def logits(net: CoCa, b: Batch) -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits["t"].log_softmax(-1)


def contrastive(net: CoCa) -> ContrastiveLoss:
    loss = net.losses["contrastive"]
    assert isinstance(loss, ContrastiveLoss)
    return loss


def words(net: CoCa) -> nn.Linear:
    layer = net.losses["captioning"].words
    assert isinstance(layer, nn.Linear)
    return layer


@pytest.fixture(scope="module")
def open_clip() -> Any:
    return pytest.importorskip("open_clip", reason="the extra `models` brings the reference")


def reference_model(open_clip: Any, *, correct: bool = False) -> Any:
    """Return open_clip's CoCa, small, with every weight drawn: open_clip leaves some uninitialised."""
    net = open_clip.create_model("coca_ViT-B-32", pretrained=None, **TINY).eval()
    net.text.correct_cls_mask = correct
    generator = torch.Generator().manual_seed(3)
    for name, p in net.named_parameters():
        p.data = torch.randn(p.shape, generator=generator) * 0.2 + (1.0 if "ln_" in name and "weight" in name else 0.0)
    return net


def publish(net: Any, open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make open_clip return ``net`` as if these were the published weights."""
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: net)
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: TINY)


@pytest.fixture
def offline(open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    net = reference_model(open_clip)
    publish(net, open_clip, monkeypatch)
    return net


@pytest.mark.parametrize("correct", [False, True])
def test_published_model_matches_open_clip(correct: bool, open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same image and text embeddings, caption tokens and logits of the next words, under either mask of [CLS]."""
    net = reference_model(open_clip, correct=correct)
    publish(net, open_clip, monkeypatch)
    ours = model(f"weights={PUBLISHED}").eval()
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)
    ids = torch.randint(1, 100, (3, 16), generator=generator)
    ids[1, 9:] = ids[2, 3:] = 0
    mask = ids != 0
    with torch.no_grad():
        cfg = net.visual.preprocess_cfg
        mean, std = (torch.tensor(cfg[k])[:, None, None] for k in ("mean", "std"))
        pixels = (images / 255 - mean) / std
        expected = net(pixels, ids)
        _, expected_tokens = net.visual(pixels)
        states = ours._states(batch(ours, 3, images=images, text_ids=ids, text_mask=mask), *torch.ones(2, 3).bool())
        encoded = ours.image_encoder.encode(images)
        tokens, _ = ours.poolers(encoded.tokens, encoded.mask)
        next_words = words(ours)(states.multimodal)[:, :-2]
        loss = contrastive(ours)
        close = {"rtol": 1e-5, "atol": 1e-5}
        torch.testing.assert_close(tokens, expected_tokens, **close)
        torch.testing.assert_close(loss.embed_image(states.contrast), expected["image_features"], **close)
        torch.testing.assert_close(loss.embed_text(states.text_cls), expected["text_features"], **close)
        torch.testing.assert_close(next_words[mask[:, :-1]], expected["logits"][mask[:, :-1]], **close)
        torch.testing.assert_close(loss.logit_scale.exp(), expected["logit_scale"])


def test_losses_match_open_clip(open_clip: Any) -> None:
    """Contrast in both directions, and cross-entropy of the next words without padding."""
    reference = open_clip.loss.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)
    net = model().train()
    b = batch(net)
    losses = net(b).losses
    loss = contrastive(net)
    with torch.no_grad():
        states = net._states(b, b.has_image, b.has_text)
        unit = loss.embed_image(states.contrast), loss.embed_text(states.text_cls)
        next_words = words(net)(states.multimodal)[:, :-2]
        assert b.text_ids is not None
        expected = reference(*unit, next_words, b.text_ids[:, 1:], loss.logit_scale.exp())
    torch.testing.assert_close((losses["contrastive"], losses["captioning"]), expected)


SIZES = {"coca_ViT-B-32": 253.56, "coca_ViT-L-14": 638.45}


def parameters(net: CoCa) -> tuple[int, int, int]:
    """Count the parameters of the image encoder, of both text decoders with all words, and of poolers and projections.

    Heads are left out.
    """

    def count(*parts: nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters())

    image, decoders = count(net.image_encoder), count(net.text_encoder, net.multimodal, words(net))
    return image, decoders, count(net) - count(net.heads) - image - decoders


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_match_open_clip(name: str, open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameter count (millions) is the one that open_clip reports: no part is missing or added."""

    class Visual:
        preprocess_cfg = open_clip.transform.PreprocessCfg().__dict__

    class Text:
        correct_cls_mask = False

    class Model:
        visual, text = Visual, Text

        @staticmethod
        def state_dict() -> dict[str, Tensor]:
            return {}

    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: Model)
    monkeypatch.setattr(Published, "fill", lambda *a: None)
    whole = from_open_clip(config(f"weights={PUBLISHED}"), open_clip.get_model_config(name), Model)
    monkeypatch.setattr("mmeval_coca.model.load_published", lambda _: whole)
    with torch.device("meta"):
        net = build(config(f"weights={PUBLISHED}"), CONTEXT)
    assert round(sum(parameters(net)) / 1e6, 2) == SIZES[name]


@pytest.mark.parametrize(
    ("layers", "width", "heads", "image", "text"), [(12, 768, 12, 86, 297), (24, 1024, 16, 303, 484)]
)
def test_one_mlp_per_layer_gives_the_sizes_of_the_paper(
    layers: int, width: int, heads: int, image: int, text: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Base and Large have the paper's sizes (millions, 64k words) with one MLP, and not with open_clip's two."""
    monkeypatch.setattr(Bytes, "vocabulary", 64000)
    changes = (f"image_encoder=vit:{layers}x{width}x18x288", f"width={width}", f"heads={heads}", "text_length=64")
    rest = ("unimodal_layers=12", "multimodal_layers=12", f"embedding={width}", "queries=256", f"pooler_heads={heads}")
    with torch.device("meta"):
        one_mlp = build(config(*changes, *rest), CONTEXT)
        two_mlps = build(config(*changes, *rest, "multimodal_block=open_clip"), CONTEXT)
    encoder, decoders, _ = parameters(one_mlp)
    assert encoder / 1e6 == pytest.approx(image, abs=1)
    assert decoders / 1e6 == pytest.approx(text, abs=1)
    assert parameters(two_mlps)[1] / 1e6 > text + 50


def test_contrastive_pooler_reads_the_captioning_pooler() -> None:
    """The paper's cascade against ``nn.MultiheadAttention``; a single pooler splits its queries."""
    poolers = model("poolers=cascade", "width=32", "queries=5").eval().poolers
    assert isinstance(poolers, CascadedPoolers)
    x = torch.randn(2, 7, 32)
    mask = torch.ones(2, 7, dtype=torch.bool)

    def pooled(pooler: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(pooler, AttentionalPooler)
        own = pooler.attention
        attention = nn.MultiheadAttention(32, own.heads, batch_first=True)
        attention.in_proj_weight.data = torch.cat([own.q.weight, own.k.weight, own.v.weight])
        attention.in_proj_bias.data = torch.cat([own.q.bias, own.k.bias, own.v.bias])
        attention.out_proj = own.out  # type: ignore[assignment]
        keys = pooler.source_norm(x)
        out: Tensor = pooler.norm(attention(pooler.query_norm(pooler.queries).expand(2, -1, -1), keys, keys)[0])
        return out

    with torch.no_grad():
        tokens, contrast = poolers(x, mask)
        torch.testing.assert_close(tokens, pooled(poolers.captioning, x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(contrast, pooled(poolers.contrastive, tokens)[:, 0], rtol=1e-5, atol=1e-5)
        single = model("poolers=single", "queries=5").poolers
        assert isinstance(single, SinglePooler)
        tokens, contrast = single(x, mask)
        every = single.pooler(x)
    torch.testing.assert_close((contrast, tokens), (every[:, 0], every[:, 1:]))


def test_cls_attends_to_its_text_and_not_to_padding() -> None:
    """Otherwise the embedding of a text would change with the longest text of its batch."""
    mask = causal_mask(torch.tensor([[True, True, False, False], [False] * 4]))[:, 0].int()
    assert mask[0].tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 1]]
    assert mask[1, 4].tolist() == [0, 0, 0, 0, 1]
    assert (mask.sum(-1) > 0).all()
    shifted = causal_mask(torch.tensor([[True, True, False, False]]), shifted=True)[0, 0, 4].int()
    assert shifted.tolist() == [1, 1, 1, 0, 0]
    net = model().eval()
    ids, known = net.text_encoder.tokenize(["ab"])
    longer, padded = F.pad(ids, (0, 5), value=7), F.pad(known, (0, 5))
    with torch.no_grad():
        short, long = net.text_encoder.encode(ids, known), net.text_encoder.encode(longer, padded)
    torch.testing.assert_close(long.pooled, short.pooled, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(long.tokens[:, :4], short.tokens, rtol=1e-5, atol=1e-6)


def test_decoders_are_causal_and_only_the_multimodal_one_attends_to_the_image() -> None:
    """A state that saw the next word would turn captioning into copying."""
    net = model().eval()
    ids, mask = torch.randint(3, 200, (1, 8)), torch.ones(1, 8, dtype=torch.bool)
    changed = ids.clone()
    changed[0, 5] = 250
    decoder = net.multimodal
    image = torch.randn(1, 3, 32)
    with torch.no_grad():
        unimodal = [net.text_encoder.encode(x, mask) for x in (ids, changed)]
        inputs = [torch.cat([x.tokens, x.pooled[:, None]], 1) for x in unimodal]
        fused = [decoder(x, image, mask) for x in inputs]
        other_image = decoder(inputs[0], image + torch.randn(1, 3, 32), mask)
    for first, second in ((unimodal[0].tokens, unimodal[1].tokens), (fused[0][:, :-1], fused[1][:, :-1])):
        torch.testing.assert_close(first[:, :5], second[:, :5], rtol=0, atol=1e-6)
        assert not torch.allclose(first[:, 5:], second[:, 5:], atol=1e-3)
    assert not torch.allclose(unimodal[0].pooled, unimodal[1].pooled, atol=1e-3)
    assert not torch.allclose(fused[0][:, 0], other_image[:, 0], atol=1e-3)
    assert not torch.allclose(fused[0][:, -1], other_image[:, -1], atol=1e-3)


def test_without_captioning_the_top_layer_computes_cls_only() -> None:
    """And [CLS] is the same as with all tokens."""
    torch.manual_seed(0)
    full, last = SelfAttention(32, 4), LastTokenAttention(32, 4)
    last.load_state_dict(full.state_dict())
    x, mask = torch.randn(2, 5, 32), causal_mask(torch.tensor([[True] * 4, [True, True, False, False]]))
    torch.testing.assert_close(last(x, mask), full(x, mask)[:, -1:])
    tops = [model(f"caption_weight={weight}", "multimodal_layers=2").multimodal for weight in (0, 1)]
    assert all(isinstance(decoder, MultimodalDecoder) for decoder in tops)
    kinds = [[type(layer.attention) for layer in decoder.layers] for decoder in tops]  # type: ignore[union-attr, operator]
    assert kinds == [[SelfAttention, LastTokenAttention], [SelfAttention, SelfAttention]]


def test_losses_are_computed_over_pairs_and_in_training_only() -> None:
    """In evaluation an example must not depend on its batch; without an image it has no contrast."""
    net = model().train()
    half = torch.tensor([True, True, True, False, False, False])
    b = batch(net, has_image=half)
    losses = net(b).losses
    assert set(losses) == {"contrastive", "captioning"}
    first = Batch(
        **(vars(b) | {k: v[:3] for k, v in vars(b).items() if torch.is_tensor(v)} | {"languages": ("de",) * 3})
    )
    torch.testing.assert_close(dict(net(first).losses), dict(losses))
    assert not net(batch(net, has_image=~torch.ones(6, dtype=torch.bool))).losses
    assert not net.eval()(b).losses
    assert not model("contrastive_weight=0", "caption_weight=0").train()(b).losses


def test_contrastive_loss_is_lower_for_matching_texts() -> None:
    unit = F.normalize(torch.randn(8, 16), dim=-1)
    scale, alone = torch.tensor(10.0), torch.eye(8, dtype=torch.bool)
    assert contrastive_loss(unit, unit, scale, alone) < contrastive_loss(unit, unit.flip(0), scale, alone)


@pytest.mark.parametrize("cached", [False, True])
def test_texts_of_the_same_image_are_not_negatives(cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perfect embeddings of 8 images in 14 languages have loss 0; it would be log 14 with the texts as negatives."""
    net = model("caption_weight=0").train()
    b = batch(net, 112)
    assert b.images is not None
    images = b.images[:8].repeat_interleave(14, 0)
    vectors = torch.randn(8, 32).repeat_interleave(14, 0)
    b = Batch(**(vars(b) | ({"images": None, "image_embeddings": vectors} if cached else {"images": images})))
    perfect = F.normalize(torch.eye(8, 16), dim=-1).repeat_interleave(14, 0)
    loss = contrastive(net)
    with torch.no_grad():
        loss.logit_scale.fill_(10)  # a scale of 22026, clamped to 100
    monkeypatch.setattr(loss, "embed_image", lambda _: perfect)
    monkeypatch.setattr(loss, "embed_text", lambda _: perfect)
    assert net(b).losses["contrastive"] < 1e-6
    monkeypatch.setattr(loss, "embed_text", lambda _: perfect.roll(14, 0))
    # The 14 texts of another image have logit 100, the clamped scale, and the matching text has 0.
    assert net(b).losses["contrastive"].item() == pytest.approx(100 + math.log(14), abs=0.01)


def test_same_image_requires_equal_pixels() -> None:
    """An image that differs in one bit is another image."""
    net = model()
    b = batch(net)
    assert b.images is not None
    images = b.images[[0, 1, 0, 1, 4, 5]].clone()
    images[3, 0, 0, 0] ^= 1
    same = Batch(**(vars(b) | {"images": images})).same_image()
    expected = torch.eye(6, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = True
    assert torch.equal(same, expected)


def test_loss_weights_and_temperature_follow_the_options() -> None:
    losses = [dict(model(*changes).train()(batch(model())).losses) for changes in ((), WEIGHTS)]
    torch.testing.assert_close(losses[1]["contrastive"], 3 * losses[0]["contrastive"])
    torch.testing.assert_close(losses[1]["captioning"], 0.25 * losses[0]["captioning"])
    scale = contrastive(model("temperature=0.05")).logit_scale
    assert scale.requires_grad
    assert scale.exp().item() == pytest.approx(20)


WEIGHTS = ("contrastive_weight=3", "caption_weight=0.5")  # 1 and 2 by default here


def test_a_single_pair_has_no_contrastive_loss() -> None:
    net = model().train()
    assert set(net(batch(net, has_image=torch.arange(6) == 2)).losses) == {"captioning"}


def test_dropout_applies_to_each_residual_branch() -> None:
    """With a rate of 1 a layer returns its input in training, and in evaluation it does not."""
    torch.manual_seed(0)
    layer = MultimodalLayer(SelfAttention(32, 4, 1), MLP(32, 1), MLP(32, 1), CrossAttention(32, 4, 1))
    x, image, mask = torch.randn(2, 5, 32), torch.randn(2, 3, 32), torch.ones(5, 5, dtype=torch.bool)
    torch.testing.assert_close(layer.train()(x, image, mask), x)
    assert not torch.allclose(layer.eval()(x, image, mask), x, atol=1e-2)
    plain = TransformerLayer(32, 4, 1)
    torch.testing.assert_close(plain.train()(x), x)
    assert not torch.allclose(plain.eval()(x), x, atol=1e-2)


def test_dropout_option_sets_the_rate_of_both_decoders() -> None:
    net = model("dropout=0.25", "unimodal_layers=2", "multimodal_layers=2")

    def rates(part: nn.Module) -> list[float]:
        return [module.p for module in part.modules() if isinstance(module, nn.Dropout)]

    assert rates(net.text_encoder) == [0.25] * 2 * 2  # attention and MLP
    assert rates(net.multimodal) == [0.25] * 2 * 3  # and cross-attention
    assert set(rates(net.image_encoder)) == {0.0}
    assert net.dropout.p == 0.25


def test_dropout_applies_before_the_classifier() -> None:
    """With a rate of 1 only the bias of the heads is left."""
    net = model("classify=both")
    net.dropout.p = 1
    b, layer = batch(net), net.heads.layers[0]
    torch.testing.assert_close(net.train()(b).logits["t"], layer.bias.expand(6, -1))  # type: ignore[operator, union-attr]
    assert not torch.allclose(net.eval()(b).logits["t"], layer.bias.expand(6, -1), atol=1e-3)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("of", ["image", "text"])
def test_input_dropout_applies_to_encoder_outputs(of: str) -> None:
    """With a rate of 1 the input of the encoder changes nothing in training; in evaluation it does."""
    changes = ("caption_weight=0", "contrastive_weight=0", "classify=both", "input_dropout=0.5")
    net = model("text_encoder=char-ngrams:512x16", *changes)
    nn.init.normal_(net.text_encoder.vectors.weight)  # type: ignore[union-attr, arg-type]
    assert isinstance(net.unimodal, StateDecoder)
    dropouts: dict[str, Any] = {"image": net.input_dropout, "text": net.unimodal.adapter[1]}
    for dropout in dropouts.values():
        assert dropout.p == 0.5
        dropout.p = 0
    dropouts[of].p = 1
    b = batch(net)
    assert b.images is not None
    assert b.text_ids is not None
    changed = {"images": 255 - b.images} if of == "image" else {"text_ids": b.text_ids + 1}
    other = Batch(**(vars(b) | changed))
    torch.testing.assert_close(net.train()(other).logits["t"], net(b).logits["t"])
    assert not torch.allclose(net.eval()(other).logits["t"], net(b).logits["t"], atol=1e-4)


def test_initial_scale_of_embeddings_and_projections() -> None:
    """Torch's defaults are a third of this for a vocabulary, and fifty times too much for word embeddings."""
    net = model("width=64", "embedding=64")
    assert isinstance(net.text_encoder, TextDecoder)
    assert net.text_encoder.words.weight.std().item() == pytest.approx(0.02, rel=0.05)
    loss = contrastive(net)
    for layer in (words(net), loss.image_projection, loss.text_projection):
        assert layer.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)


@pytest.mark.parametrize("of", ["image", "text"])
def test_checkpointing_recomputes_activations_in_the_backward_pass(of: str) -> None:
    """Each layer runs twice in a step, and the gradients are the same."""
    plain, net = model(), model(f"{of}_tuning.checkpointing=true")
    layers: Any = net.image_encoder.layers if of == "image" else net.text_encoder.decoder.layers  # type: ignore[union-attr]
    runs: list[int] = []
    layers[0].register_forward_pre_hook(lambda *_: runs.append(1))
    gradients = []
    for variant in (plain, net):
        b = batch(variant)
        sum(variant.train()(b).losses.values()).backward()  # type: ignore[union-attr]
        gradients.append({name: p.grad for name, p in variant.named_parameters()})
    assert len(runs) == 2
    torch.testing.assert_close(gradients[1], gradients[0])
    net.eval()(batch(net))
    assert len(runs) == 3


@pytest.mark.parametrize("of", ["image", "text"])
def test_frozen_layers_stay_frozen_after_frozen_epochs(of: str) -> None:
    net = model(f"{of}_tuning.frozen_layers=1", f"{of}_tuning.frozen_epochs=1")
    encoder: Any = net.image_encoder if of == "image" else net.text_encoder
    for held in (True, False):
        encoder.freeze_for_now(held)
    learns = [any(p.requires_grad for p in block.parameters()) for block in encoder.blocks()]
    assert learns == [False, True]


MODES = ["multimodal-cls", "unimodal+pooled", "both"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_does_not_affect_the_output(mode: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any value in its place is ignored, NaN included, in evaluation and in training."""
    net = model(f"classify={mode}")
    gone = torch.tensor([False, False, True, False, True, False])
    b = batch(net, **{missing: gone})
    clean = logits(net, b)
    assert clean.isfinite().all()
    encoder = net.image_encoder if missing == "has_image" else net.text_encoder
    own = encoder.encode

    def dirtied(*inputs: Tensor) -> Any:
        out = own(*inputs)
        tokens = torch.where(gone[:, None, None], out.tokens, torch.nan)
        return type(out)(tokens, out.mask, torch.where(gone[:, None], out.pooled, torch.nan))

    monkeypatch.setattr(encoder, "encode", dirtied)
    torch.testing.assert_close(logits(net, b), clean, rtol=0, atol=0)
    if missing == "has_text":
        assert b.text_ids is not None
        changed = torch.where(gone[:, None], b.text_ids, 9)
        b = Batch(**(vars(b) | {"text_ids": changed}))
        torch.testing.assert_close(logits(net, b), clean, rtol=0, atol=1e-6)
    net.train()
    loss = sum(net(b).losses.values(), F.cross_entropy(net(b).logits["t"], torch.zeros(6, dtype=torch.long)))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("mode", MODES)
def test_without_inputs_it_predicts_the_class_prior(mode: str) -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    net = model(f"classify={mode}")
    with torch.no_grad():
        out = net.eval()(batch(net, has_image=nothing, has_text=nothing)).logits
    torch.testing.assert_close(out["t"].softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
    assert net.train()(batch(net, has_image=nothing, has_text=nothing)).logits["t"].isfinite().all()


@pytest.mark.parametrize("poolers", ["cascade", "single"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", ["1 2", "1 0", "0 2", "0 0"])
def test_every_parameter_gets_a_gradient(poolers: str, mode: str, weights: str) -> None:
    """A part that no loss reaches would keep its initial weights and still count as parameters."""
    contrast, caption = weights.split()
    net = model(
        f"poolers={poolers}", f"classify={mode}", f"contrastive_weight={contrast}", f"caption_weight={caption}"
    ).train()
    out = net(batch(net))
    loss = sum(out.losses.values(), sum(F.cross_entropy(x, torch.arange(6) % 2) for x in out.logits.values()))
    assert torch.is_tensor(loss)
    loss.backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None or not (p.grad != 0).any()]


def test_modality_dropout_hides_image_or_text_of_a_pair() -> None:
    """Never the only input; the image as often as the text; not in evaluation."""
    net = model("modality_dropout=0.4").train()
    torch.manual_seed(0)
    b = batch(net, 6)
    has = torch.ones(4000, dtype=torch.bool)
    no_text = torch.arange(4000) >= 100
    big = Batch(**(vars(b) | {"has_image": has, "has_text": no_text, "languages": ("de",) * 4000}))
    image, text = net._shown(big)
    assert (image | text).all()
    assert image[:100].all()
    assert (~image[100:]).float().mean() == pytest.approx(0.2, abs=0.03)
    assert (~text[100:]).float().mean() == pytest.approx(0.2, abs=0.03)
    assert net.eval()._shown(big)[0].all()


def test_modality_dropout_gives_the_output_of_a_missing_modality() -> None:
    net = model("modality_dropout=0.999", "contrastive_weight=0", "caption_weight=0")
    none, b = torch.zeros(6, dtype=torch.bool), batch(net)
    image, text = (logits(net, batch(net, **{missing: none})) for missing in ("has_text", "has_image"))
    torch.manual_seed(0)
    shown = net.train()(b).logits["t"].log_softmax(-1)
    by_image, by_text = (torch.isclose(shown, alone, rtol=1e-4, atol=1e-5).all(1) for alone in (image, text))
    assert (by_image ^ by_text).all()
    assert by_image.any()
    assert by_text.any()


@pytest.mark.parametrize("hidden", ["has_image", "has_text"])
@pytest.mark.parametrize("words", ["bytes", "char-ngrams:512x16"])
def test_a_hidden_input_is_treated_as_missing(hidden: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise training would meet other inputs than evaluation."""
    net = model(f"text_encoder={words}", "caption_weight=0", "classify=both")
    b, gone = batch(net), torch.tensor([True, False, True, False, True, True])
    expected = logits(net, Batch(**(vars(b) | {hidden: gone})))
    shown = {"has_image": b.has_image, "has_text": b.has_text} | {hidden: gone}
    monkeypatch.setattr(net, "_shown", lambda _: tuple(shown.values()))
    torch.testing.assert_close(logits(net, b), expected, rtol=0, atol=1e-6)


def test_token_states_of_another_encoder_replace_word_embeddings() -> None:
    """As in the preset `tiny`; a text longer than `text_length` is cut."""
    net = model("text_encoder=char-ngrams:512x16", "caption_weight=0", "text_length=4")
    b = batch(net)
    assert logits(net, b).isfinite().all()
    assert b.text_ids is not None
    assert b.text_ids.shape[1] > 4
    cut = Batch(**(vars(b) | {"text_ids": b.text_ids[:, :4], "text_mask": b.text_mask[:, :4]}))  # type: ignore[index]
    torch.testing.assert_close(logits(net, cut), logits(net, b))


def test_bytes_are_cut_to_length_with_begin_and_end_kept() -> None:
    ids, mask = Bytes()(["ab", "", "abcdef"], 5)
    assert ids.tolist() == [[1, 100, 101, 2, 0], [1, 2, 0, 0, 0], [1, 100, 101, 102, 2]]
    assert torch.equal(mask, ids != 0)


def test_frozen_published_weights_are_not_saved(offline: Any) -> None:
    """Both encoders can be frozen if captioning is off, and images are preprocessed as open_clip does."""
    net = model(
        f"weights={PUBLISHED}", "image_tuning.frozen=true", "text_tuning.frozen=true", "caption_weight=0", "width=64"
    )
    assert not [k for k in net.learned_state() if k.startswith(("image_encoder.", "text_encoder."))]
    assert "poolers.pooler.queries" in net.learned_state()
    assert net.text_encoder.keeps_tokens
    expected = net.image_encoder.input
    assert (expected.height, expected.interpolation, expected.crop) == (32, "bicubic", 1.0)
    both = model(f"weights={PUBLISHED}", "image_tuning.frozen_layers=1", "image_tuning.checkpointing=true")
    trained = [n for n, p in both.image_encoder.named_parameters() if p.requires_grad]
    assert all(n.startswith("layers.") for n in trained)
    assert trained


def test_missing_text_is_ignored_under_the_shifted_mask_too(offline: Any) -> None:
    """That mask always shows the first token, even if the text is missing."""
    net = model(f"weights={PUBLISHED}")
    gone = torch.tensor([True, False])
    b = batch(net, 2, has_text=gone, text_ids=torch.randint(1, 100, (2, 16)), text_mask=torch.ones(2, 16).bool())
    assert b.text_ids is not None
    other = Batch(**(vars(b) | {"text_ids": torch.where(gone[:, None], b.text_ids, 5)}))
    torch.testing.assert_close(logits(net, other), logits(net, b), rtol=0, atol=0)


MISTAKES = {
    "weights=laion": 'coca: "laion" names no weights; write open_clip:MODEL/TAG, or leave weights empty.',
    "image_encoder=vit:2x64x7x32": '"vit:2x64x7x32" is not a valid ViT; write vit:LAYERSxWIDTHxPATCHxSIZE, where PATCH '
    "divides SIZE and WIDTH is a multiple of 64, or of N if ?head=N follows.",
    "text_tuning.frozen=true": "coca: the text encoder bytes has no pretrained weights, so it cannot be frozen; set "
    "text_tuning.frozen=false.",
    "text_encoder=char-ngrams:64x8": "coca: captioning predicts the next word, which the token states of "
    "char-ngrams:64x8 already contain; set caption_weight=0, or text_encoder to bytes or clip-bpe.",
    "heads=5": "coca: 32 features cannot be split among 5 attention heads; choose a divisor.",
    "image_tuning.lora_rank=2": "coca: the image encoder vit:1x32x16x32?head=16 does not support LoRA; leave "
    "image_tuning.lora_rank out.",
    "image_tuning.frozen_layers=9": "vit:1x32x16x32?head=16 has 2 blocks, of which 9 can't be frozen.",
}


@pytest.mark.parametrize("change", MISTAKES)
def test_wrong_options_raise_user_error(change: str) -> None:
    with pytest.raises(UserError) as caught:
        model(change)
    assert str(caught.value) == MISTAKES[change]


def test_captioning_with_a_frozen_text_encoder_raises_user_error(offline: Any) -> None:
    with pytest.raises(UserError, match=r"^coca: captioning needs token ids, .* set caption_weight=0 or text_tuning"):
        model(f"weights={PUBLISHED}", "text_tuning.frozen=true")


def test_unavailable_weights_raise_user_error(open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network, without the package, and for a name that open_clip does not know."""

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to download.\nmore")

    monkeypatch.setattr(open_clip, "create_model", fails)
    with pytest.raises(MissingWeightsError, match="coca_ViT-B-32/laion2b_s13b_b90k could not be loaded: Failed to"):
        model(f"weights={PUBLISHED}")
    with pytest.raises(UserError, match=r"^coca: open_clip has no weights .*; it has open_clip:coca_ViT-B-32/laion2b"):
        model("weights=open_clip:coca_ViT-B-32/openai")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r'"open-clip-torch".*\[models\]'):
        model(f"weights={PUBLISHED}")
    monkeypatch.setitem(sys.modules, "open_clip.tokenizer", None)
    with pytest.raises(MissingExtraError, match="clip-bpe"):
        model("text_encoder=clip-bpe")


def test_incomplete_weights_raise_user_error(offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {k: v for k, v in offline.state_dict().items() if "ln_post" not in k}
    monkeypatch.setattr(offline, "state_dict", lambda: state)
    with pytest.raises(UserError, match=r"is not a CoCa that mmeval can load: it has no weights for poolers\.pooler\."):
        model(f"weights={PUBLISHED}")


def test_clip_bpe_tokenizes_as_open_clip(open_clip: Any) -> None:
    """Same ids, and a mask that is False at padding."""
    net = model("text_encoder=clip-bpe", "text_length=10")
    ids, mask = net.text_encoder.tokenize(["a red dress", ""])
    assert torch.equal(ids, open_clip.get_tokenizer("coca_ViT-B-32")(["a red dress", ""], 10))
    assert mask.sum(1).tolist() == [5, 2]
    assert logits(net, batch(net)).isfinite().all()


def test_random_weights_of_a_published_model_are_complete_and_saved(offline: Any) -> None:
    """open_clip leaves the decoder's last layer uninitialised; random weights cannot be loaded again by name."""
    with torch.no_grad():
        offline.text_decoder.text_projection.fill_(float("nan"))
    net = build(config(f"weights={PUBLISHED}?weights=random"), CONTEXT)
    assert all(bool(p.isfinite().all()) for p in net.parameters())
    assert 0 < words(net).weight.std() < 1
    frozen = ["image_tuning.frozen=true", "text_tuning.frozen=true", "caption_weight=0"]
    held = build(config(f"weights={PUBLISHED}?weights=random", *frozen), CONTEXT)
    assert set(held.learned_state()) == set(held.state_dict())
