"""CoCa against open_clip's, and what is told of its masks, losses and missing inputs."""

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
from mmeval_coca.layers import AttentionalPooler, Layer, causal
from mmeval_coca.model import CoCa, Core, FeatureDropout, Multimodal, contrastive_loss
from mmeval_coca.published import taken
from mmeval_coca.towers import Bytes, TextDecoder, ViT

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
    assert net.text_encoder is not None
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


@pytest.fixture(scope="module")
def open_clip() -> Any:
    return pytest.importorskip("open_clip", reason="the extra `models` brings the reference")


def theirs(open_clip: Any, *, correct: bool = False) -> Any:
    """open_clip's CoCa, small, every weight drawn: at random it leaves some as they lay in memory."""
    net = open_clip.create_model("coca_ViT-B-32", pretrained=None, **TINY).eval()
    net.text.correct_cls_mask = correct
    generator = torch.Generator().manual_seed(3)
    for name, p in net.named_parameters():
        p.data = torch.randn(p.shape, generator=generator) * 0.2 + (1.0 if "ln_" in name and "weight" in name else 0.0)
    return net


def as_downloaded(net: Any, open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if these were the published weights."""
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: net)
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: TINY)


@pytest.fixture
def offline(open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    net = theirs(open_clip)
    as_downloaded(net, open_clip, monkeypatch)
    return net


@pytest.mark.parametrize("correct", [False, True])
def test_a_published_coca_gives_what_open_clip_gives(
    correct: bool, open_clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image and text embedding, caption tokens, logits of the words to come; else its weights would be noise here."""
    net = theirs(open_clip, correct=correct)
    as_downloaded(net, open_clip, monkeypatch)
    ours = model(f"weights={PUBLISHED}").eval()
    assert ours.image_encoder is not None
    assert ours.text_encoder is not None
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)
    ids = torch.randint(1, 100, (3, 16), generator=generator)
    ids[1, 9:] = ids[2, 3:] = 0
    mask = ids != 0
    with torch.no_grad():
        told = net.visual.preprocess_cfg
        mean, std = (torch.tensor(told[k])[:, None, None] for k in ("mean", "std"))
        pixels = (images / 255 - mean) / std
        expected = net(pixels, ids)
        _, expected_tokens = net.visual(pixels)
        seen = ours.image_encoder.encode(images)
        assert ours.core.poolers is not None
        tokens, contrast = ours.core.poolers(seen.tokens, seen.mask)
        text = ours.text_encoder.encode(ids, mask)
        assert ours.core.multimodal is not None
        assert ours.core.vocabulary is not None
        states, _ = ours.core.multimodal(text.tokens, mask, text.pooled, tokens)
        words = ours.core.vocabulary(states)[:, :-1]
        close = {"rtol": 1e-5, "atol": 1e-5}
        torch.testing.assert_close(tokens, expected_tokens, **close)
        torch.testing.assert_close(ours.core.embed_image(contrast), expected["image_features"], **close)
        torch.testing.assert_close(ours.core.embed_text(text.pooled), expected["text_features"], **close)
        torch.testing.assert_close(words[mask[:, :-1]], expected["logits"][mask[:, :-1]], **close)
        assert ours.core.logit_scale is not None
        torch.testing.assert_close(ours.core.logit_scale.exp(), expected["logit_scale"])


def test_the_losses_are_open_clips(open_clip: Any) -> None:
    """Contrast in both directions, and cross-entropy of the words to come, padding left out."""
    reference = open_clip.loss.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0)
    net = model().train()
    b = batch(net)
    losses = net(b).losses
    with torch.no_grad():
        seen = net._look(b, b.has_image, b.has_text)
        assert net.core.poolers is not None
        assert net.core.multimodal is not None
        assert net.core.vocabulary is not None
        assert net.core.logit_scale is not None
        tokens, contrast = net.core.poolers(seen.image, seen.image_mask)
        states, _ = net.core.multimodal(seen.text, seen.text_mask, seen.cls, tokens)
        unit = net.core.embed_image(contrast), net.core.embed_text(seen.cls)
        words = net.core.vocabulary(states)[:, :-1]
        assert b.text_ids is not None
        expected = reference(*unit, words, b.text_ids[:, 1:], net.core.logit_scale.exp())
    torch.testing.assert_close((losses["contrastive"], losses["captioning"]), expected)


SIZES = {"coca_ViT-B-32": 253.56, "coca_ViT-L-14": 638.45}


def parameters(config: CoCaConfig, vocabulary: int) -> tuple[int, int, int]:
    """Of image encoder, both text decoders with all words, and poolers with projections; without memory for them."""
    with torch.device("meta"):
        image, text = ViT(config.image_encoder), TextDecoder(config, Bytes(), vocabulary)
        core = Core(config, image.width, vocabulary)
    own, whole = (sum(p.numel() for p in one.parameters()) for one in (image, core))
    assert core.multimodal is not None
    assert core.vocabulary is not None
    decoder = sum(p.numel() for part in (core.multimodal, core.vocabulary) for p in part.parameters())
    return own, decoder + sum(p.numel() for p in text.parameters()), whole - decoder


@pytest.mark.parametrize("name", SIZES)
def test_open_clips_sizes_are_taken_whole(name: str, open_clip: Any) -> None:
    """As many parameters as open_clip tells of (millions): no part of the published weights is left out or added."""

    class Visual:
        preprocess_cfg = open_clip.transform.PreprocessCfg().__dict__

    class Text:
        correct_cls_mask = False

    class Model:
        visual, text = Visual, Text

        @staticmethod
        def state_dict() -> dict[str, Tensor]:
            return {}

    whole = taken(config(f"weights=open_clip:{name}/x"), open_clip.get_model_config(name), Model)
    assert round(sum(parameters(whole.config, whole.vocabulary)) / 1e6, 2) == SIZES[name]


@pytest.mark.parametrize(
    ("layers", "width", "heads", "image", "text"), [(12, 768, 12, 86, 297), (24, 1024, 16, 303, 484)]
)
def test_the_papers_layer_has_one_mlp(layers: int, width: int, heads: int, image: int, text: int) -> None:
    """Sizes of Base and Large (millions, 64k words) come out with it, and not with open_clip's two."""
    changes = (f"image_encoder=vit:{layers}x{width}x18x288", f"width={width}", f"heads={heads}", "text_length=64")
    rest = ("unimodal_layers=12", "multimodal_layers=12", f"embedding={width}", "queries=256", f"pooler_heads={heads}")
    own, decoders, _ = parameters(config(*changes, *rest), 64000)
    assert own / 1e6 == pytest.approx(image, abs=1)
    assert decoders / 1e6 == pytest.approx(text, abs=1)
    _, two, _ = parameters(config(*changes, *rest, "multimodal_block=open_clip"), 64000)
    assert two / 1e6 > text + 50


def test_the_second_pooler_stands_on_the_first() -> None:
    """The paper's cascade, against torch's own attention: the caption tokens, then one query over them."""
    net = model("poolers=cascade", "width=32", "queries=5").eval()
    poolers = net.core.poolers
    assert poolers is not None
    assert poolers.second is not None
    x = torch.randn(2, 7, 32)
    mask = torch.ones(2, 7, dtype=torch.bool)

    def pooled(own: AttentionalPooler, x: Tensor) -> Tensor:
        attention = nn.MultiheadAttention(32, own.attention.heads, batch_first=True)
        one = own.attention
        attention.in_proj_weight.data = torch.cat([one.q.weight, one.k.weight, one.v.weight])
        attention.in_proj_bias.data = torch.cat([one.q.bias, one.k.bias, one.v.bias])
        attention.out_proj = one.out  # type: ignore[assignment]
        keys = own.source_norm(x)
        out: Tensor = own.norm(attention(own.query_norm(own.queries).expand(2, -1, -1), keys, keys)[0])
        return out

    with torch.no_grad():
        tokens, contrast = poolers(x, mask)
        torch.testing.assert_close(tokens, pooled(poolers.first, x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(contrast, pooled(poolers.second, tokens)[:, 0], rtol=1e-5, atol=1e-5)
        single = model("poolers=single", "queries=5").core.poolers
        assert single is not None
        tokens, contrast = single(x, mask)
        every = single.first(x)
    torch.testing.assert_close((contrast, tokens), (every[:, 0], every[:, 1:]))


def test_cls_sees_its_text_and_no_padding() -> None:
    """Else the embedding of a text would change with the longest one of its batch."""
    seen = causal(torch.tensor([[True, True, False, False], [False] * 4]))[:, 0].int()
    assert seen[0].tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 1]]
    assert seen[1, 4].tolist() == [0, 0, 0, 0, 1]
    assert (seen.sum(-1) > 0).all()
    old = causal(torch.tensor([[True, True, False, False]]), shifted=True)[0, 0, 4].int()
    assert old.tolist() == [1, 1, 1, 0, 0]
    net = model().eval()
    assert isinstance(net.text_encoder, TextDecoder)
    ids, mask = net.text_encoder.tokenize(["ab"])
    longer, more = F.pad(ids, (0, 5), value=7), F.pad(mask, (0, 5))
    with torch.no_grad():
        short, long = net.text_encoder.encode(ids, mask), net.text_encoder.encode(longer, more)
    torch.testing.assert_close(long.pooled, short.pooled, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(long.tokens[:, :4], short.tokens, rtol=1e-5, atol=1e-6)


def test_no_state_sees_the_words_to_come() -> None:
    """Neither decoder may: captioning would be copying. And only the multimodal one sees the image."""
    net = model().eval()
    ids, mask = torch.randint(3, 200, (1, 8)), torch.ones(1, 8, dtype=torch.bool)
    other = ids.clone()
    other[0, 5] = 250
    assert isinstance(net.text_encoder, TextDecoder)
    decoder: Multimodal | None = net.core.multimodal
    assert decoder is not None
    image = torch.randn(1, 3, 32)
    with torch.no_grad():
        a, b = net.text_encoder.encode(ids, mask), net.text_encoder.encode(other, mask)
        fused = [decoder(one.tokens, mask, one.pooled, image) for one in (a, b)]
        elsewhere, cls = decoder(a.tokens, mask, a.pooled, image + torch.randn(1, 3, 32))
        nothing, alone = decoder(a.tokens, mask, a.pooled, image, words=False)
    for one, two in ((a.tokens, b.tokens), (fused[0][0], fused[1][0])):
        torch.testing.assert_close(one[:, :5], two[:, :5], rtol=0, atol=1e-6)
        assert not torch.allclose(one[:, 5:], two[:, 5:], atol=1e-3)
    assert not torch.allclose(a.pooled, b.pooled, atol=1e-3)
    assert not torch.allclose(fused[0][0][:, 0], elsewhere[:, 0], atol=1e-3)
    assert not torch.allclose(fused[0][1], cls, atol=1e-3)
    assert nothing.shape[1] == 0
    torch.testing.assert_close(alone, fused[0][1], rtol=1e-5, atol=1e-6)


def test_losses_over_the_batch_are_of_pairs_and_of_training_alone() -> None:
    """In evaluation neighbours mustn't count; an example without an image has nothing to be contrasted with."""
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


def test_contrast_prefers_the_own_text() -> None:
    unit = F.normalize(torch.randn(8, 16), dim=-1)
    scale, alone = torch.tensor(10.0), torch.eye(8, dtype=torch.bool)
    assert contrastive_loss(unit, unit, scale, alone) < contrastive_loss(unit, unit.flip(0), scale, alone)


@pytest.mark.parametrize("cached", [False, True])
def test_names_of_one_image_are_not_held_against_each_other(cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Perfect embeddings of 8 images in 14 languages have no loss; as each other's negatives they had log 14."""
    net = model("caption_weight=0").train()
    b = batch(net, 112)
    assert b.images is not None
    images = b.images[:8].repeat_interleave(14, 0)
    vectors = torch.randn(8, 32).repeat_interleave(14, 0)
    b = Batch(**(vars(b) | ({"images": None, "image_embeddings": vectors} if cached else {"images": images})))
    perfect = F.normalize(torch.eye(8, 16), dim=-1).repeat_interleave(14, 0)
    assert net.core.logit_scale is not None
    with torch.no_grad():
        net.core.logit_scale.fill_(10)  # 100, once clipped
    monkeypatch.setattr(net.core, "embed_image", lambda _: perfect)
    monkeypatch.setattr(net.core, "embed_text", lambda _: perfect)
    assert net(b).losses["contrastive"] < 1e-6
    monkeypatch.setattr(net.core, "embed_text", lambda _: perfect.roll(14, 0))
    # Each text of the other image at 100, which the scale is clipped at, against the own one at 0.
    assert net(b).losses["contrastive"].item() == pytest.approx(100 + math.log(14), abs=0.01)


def test_only_rows_with_equal_pixels_show_one_image() -> None:
    """An image of another shade is another one, however close an encoder puts it."""
    net = model()
    b = batch(net)
    assert b.images is not None
    images = b.images[[0, 1, 0, 1, 4, 5]].clone()
    images[3, 0, 0, 0] ^= 1
    same = Batch(**(vars(b) | {"images": images})).same_image()
    expected = torch.eye(6, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = True
    assert torch.equal(same, expected)


def test_losses_have_their_weights_and_the_contrast_its_temperature() -> None:
    losses = [dict(model(*changes).train()(batch(model())).losses) for changes in ((), WEIGHTS)]
    torch.testing.assert_close(losses[1]["contrastive"], 3 * losses[0]["contrastive"])
    torch.testing.assert_close(losses[1]["captioning"], 0.25 * losses[0]["captioning"])
    scale = model("temperature=0.05").core.logit_scale
    assert scale is not None
    assert scale.requires_grad
    assert scale.exp().item() == pytest.approx(20)


WEIGHTS = ("contrastive_weight=3", "caption_weight=0.5")  # 1 and 2 by default here


def test_a_single_pair_has_nothing_to_be_contrasted_with() -> None:
    net = model().train()
    assert set(net(batch(net, has_image=torch.arange(6) == 2)).losses) == {"captioning"}


def test_a_feature_is_dropped_of_all_tokens_of_an_example_at_once() -> None:
    torch.manual_seed(0)
    drop, x = FeatureDropout(0.25), torch.ones(40, 5, 50)
    out = drop.train()(x)
    assert torch.equal(out, out[:, :1].expand_as(x))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out[:, 0] == 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(drop.eval()(x), x)


def test_dropout_is_of_each_residual_branch() -> None:
    """Where all of it is dropped, a layer gives back what it got; in evaluation it doesn't."""
    torch.manual_seed(0)
    layer, x, image = Layer(32, 4, 0.5, cross=True, two_mlps=True), torch.randn(2, 5, 32), torch.randn(2, 3, 32)
    layer.dropout.p = 1
    torch.testing.assert_close(layer.train()(x, None, image), x)
    assert not torch.allclose(layer.eval()(x, None, image), x, atol=1e-2)


def test_both_decoders_drop_as_the_option_says() -> None:
    net = model("dropout=0.25", "unimodal_layers=2", "multimodal_layers=2")
    assert isinstance(net.text_encoder, TextDecoder)
    assert net.core.multimodal is not None
    layers: list[Any] = [*net.text_encoder.unimodal.layers, *net.core.multimodal.layers]
    assert [layer.dropout.p for layer in layers] == [0.25] * 4
    assert [layer.dropout.p for layer in net.image_encoder.layers] == [0.0]  # type: ignore[union-attr]
    assert net.dropout.p == 0.25


def test_what_is_classified_is_dropped_in_training() -> None:
    """Where all of it is, only the bias speaks."""
    net = model("classify=both")
    net.dropout.p = 1
    b, layer = batch(net), net.heads.layers[0]
    torch.testing.assert_close(net.train()(b).logits["t"], layer.bias.expand(6, -1))  # type: ignore[operator, union-attr]
    assert not torch.allclose(net.eval()(b).logits["t"], layer.bias.expand(6, -1), atol=1e-3)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("of", ["image", "text"])
def test_features_of_encoders_are_dropped_in_training(of: str) -> None:
    """Where all of an encoder's are, what it read doesn't matter; in evaluation it does."""
    changes = ("caption_weight=0", "contrastive_weight=0", "classify=both", "input_dropout=0.5")
    net = model("text_encoder=char-ngrams:512x16", *changes)
    nn.init.normal_(net.text_encoder.vectors.weight)  # type: ignore[union-attr, arg-type]
    assert net.adapter is not None
    drop: Any = net.input_dropout if of == "image" else net.adapter[1]  # type: ignore[index]
    for one in (net.input_dropout, net.adapter[1]):  # type: ignore[index]
        assert one.p == 0.5
        one.p = 0
    drop.p = 1
    b = batch(net)
    assert b.images is not None
    assert b.text_ids is not None
    changed = {"images": 255 - b.images} if of == "image" else {"text_ids": b.text_ids + 1}
    other = Batch(**(vars(b) | changed))
    torch.testing.assert_close(net.train()(other).logits["t"], net(b).logits["t"])
    assert not torch.allclose(net.eval()(other).logits["t"], net(b).logits["t"], atol=1e-4)


def test_words_and_projections_start_at_the_scale_that_they_need() -> None:
    """What torch draws by default is too little for a vocabulary, and fifty times too much for words."""
    net = model("width=64", "embedding=64")
    core, text = net.core, net.text_encoder
    assert isinstance(text, TextDecoder)
    assert text.words.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for layer in (core.vocabulary, core.image_projection, core.text_projection):
        assert layer is not None
        assert layer.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)


@pytest.mark.parametrize("of", ["image", "text"])
def test_checkpointing_makes_activations_again_in_the_backward_pass(of: str) -> None:
    """Each layer runs twice in a step; the gradients are the same."""
    plain, net = model(), model(f"{of}_tuning.checkpointing=true")
    layers: Any = net.image_encoder.layers if of == "image" else net.text_encoder.unimodal.layers  # type: ignore[union-attr]
    runs: list[int] = []
    layers[0].register_forward_pre_hook(lambda *_: runs.append(1))
    gradients = []
    for one in (plain, net):
        b = batch(one)
        sum(one.train()(b).losses.values()).backward()  # type: ignore[union-attr]
        gradients.append({name: p.grad for name, p in one.named_parameters()})
    assert len(runs) == 2
    torch.testing.assert_close(gradients[1], gradients[0])
    net.eval()(batch(net))
    assert len(runs) == 3


@pytest.mark.parametrize("of", ["image", "text"])
def test_frozen_layers_stay_so_when_the_others_are_released(of: str) -> None:
    net = model(f"{of}_tuning.frozen_layers=1", f"{of}_tuning.frozen_epochs=1")
    encoder: Any = net.image_encoder if of == "image" else net.text_encoder
    for held in (True, False):
        encoder.hold(held)
    learns = [any(p.requires_grad for p in block.parameters()) for block in encoder.blocks()]
    assert learns == [False, True]


MODES = ["multimodal-cls", "unimodal+pooled", "both"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_a_missing_modality_never_leaks(mode: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where it should be, NaN included, moves nothing, in evaluation and in training."""
    net = model(f"classify={mode}")
    gone = torch.tensor([False, False, True, False, True, False])
    b = batch(net, **{missing: gone})
    clean = logits(net, b)
    assert clean.isfinite().all()
    encoder = net.image_encoder if missing == "has_image" else net.text_encoder
    assert encoder is not None
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
def test_with_nothing_at_all_it_predicts_the_training_prior(mode: str) -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    net = model(f"classify={mode}")
    with torch.no_grad():
        out = net.eval()(batch(net, has_image=nothing, has_text=nothing)).logits
    torch.testing.assert_close(out["t"].softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
    assert net.train()(batch(net, has_image=nothing, has_text=nothing)).logits["t"].isfinite().all()


@pytest.mark.parametrize("poolers", ["cascade", "single"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", ["1 2", "1 0", "0 2", "0 0"])
def test_only_what_is_used_is_built(poolers: str, mode: str, weights: str) -> None:
    """A part that no loss reaches would stay as it was drawn, and count as a parameter."""
    contrast, caption = weights.split()
    net = model(
        f"poolers={poolers}", f"classify={mode}", f"contrastive_weight={contrast}", f"caption_weight={caption}"
    ).train()
    out = net(batch(net))
    loss = sum(out.losses.values(), sum(F.cross_entropy(x, torch.arange(6) % 2) for x in out.logits.values()))
    assert torch.is_tensor(loss)
    loss.backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None or not (p.grad != 0).any()]


def test_modality_dropout_hides_one_of_two() -> None:
    """Never the only one; as often the image as the text; not in evaluation."""
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


def test_in_training_an_example_is_shown_by_one_modality_as_if_the_other_were_missing() -> None:
    net = model("modality_dropout=0.999", "contrastive_weight=0", "caption_weight=0")
    none, b = torch.zeros(6, dtype=torch.bool), batch(net)
    image, text = (logits(net, batch(net, **{missing: none})) for missing in ("has_text", "has_image"))
    torch.manual_seed(0)
    shown = net.train()(b).logits["t"].log_softmax(-1)
    by_image, by_text = (torch.isclose(shown, one, rtol=1e-4, atol=1e-5).all(1) for one in (image, text))
    assert (by_image ^ by_text).all()
    assert by_image.any()
    assert by_text.any()


@pytest.mark.parametrize("hidden", ["has_image", "has_text"])
@pytest.mark.parametrize("words", ["bytes", "char-ngrams:512x16"])
def test_what_is_hidden_is_missing(hidden: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else modality dropout would teach what it never meets, and let through what it hides."""
    net = model(f"text_encoder={words}", "caption_weight=0", "classify=both")
    b, gone = batch(net), torch.tensor([True, False, True, False, True, True])
    expected = logits(net, Batch(**(vars(b) | {hidden: gone})))
    shown = {"has_image": b.has_image, "has_text": b.has_text} | {hidden: gone}
    monkeypatch.setattr(net, "_shown", lambda _: tuple(shown.values()))
    torch.testing.assert_close(logits(net, b), expected, rtol=0, atol=1e-6)


def test_states_of_another_encoder_take_the_place_of_words() -> None:
    """As in `tiny`; a text longer than `text_length` is cut."""
    net = model("text_encoder=char-ngrams:512x16", "caption_weight=0", "text_length=4")
    b = batch(net)
    assert logits(net, b).isfinite().all()
    assert b.text_ids is not None
    assert b.text_ids.shape[1] > 4
    cut = Batch(**(vars(b) | {"text_ids": b.text_ids[:, :4], "text_mask": b.text_mask[:, :4]}))  # type: ignore[index]
    torch.testing.assert_close(logits(net, cut), logits(net, b))


def test_bytes_are_cut_between_begin_and_end() -> None:
    ids, mask = Bytes()(["ab", "", "abcdef"], 5)
    assert ids.tolist() == [[1, 100, 101, 2, 0], [1, 2, 0, 0, 0], [1, 100, 101, 102, 2]]
    assert torch.equal(mask, ids != 0)


def test_published_weights_that_are_frozen_are_not_saved_again(offline: Any) -> None:
    """And its text decoder can be frozen too, without captioning; the image is prepared as open_clip does."""
    net = model(
        f"weights={PUBLISHED}", "image_tuning.frozen=true", "text_tuning.frozen=true", "caption_weight=0", "width=64"
    )
    assert net.image_encoder is not None
    assert net.text_encoder is not None
    assert not [k for k in net.learned_state() if k.startswith(("image_encoder.", "text_encoder."))]
    assert "core.poolers.first.queries" in net.learned_state()
    assert net.text_encoder.keeps_tokens
    read = net.image_encoder.input
    assert (read.height, read.interpolation, read.crop) == (32, "bicubic", 1.0)  # type: ignore[union-attr]
    both = model(f"weights={PUBLISHED}", "image_tuning.frozen_layers=1", "image_tuning.checkpointing=true")
    assert both.image_encoder is not None
    trained = [n for n, p in both.image_encoder.named_parameters() if p.requires_grad]
    assert all(n.startswith("layers.") for n in trained)
    assert trained


def test_a_text_that_is_missing_is_none_under_the_mask_of_old_either(offline: Any) -> None:
    """That mask shows the first word always, even one of a text that isn't there."""
    net = model(f"weights={PUBLISHED}")
    gone = torch.tensor([True, False])
    b = batch(net, 2, has_text=gone, text_ids=torch.randint(1, 100, (2, 16)), text_mask=torch.ones(2, 16).bool())
    assert b.text_ids is not None
    other = Batch(**(vars(b) | {"text_ids": torch.where(gone[:, None], b.text_ids, 5)}))
    torch.testing.assert_close(logits(net, other), logits(net, b), rtol=0, atol=0)


MISTAKES = {
    "weights=laion": 'coca: weights "laion"; write open_clip:MODEL/TAG or leave it empty.',
    "image_encoder=vit:2x64x7x32": '"vit:2x64x7x32" is no ViT; write vit:LAYERSxWIDTHxPATCHxSIZE, PATCH a divisor of '
    "SIZE and WIDTH a multiple of 64, or of N behind ?head=N.",
    "text_tuning.frozen=true": "coca: the text encoder bytes starts from nothing: frozen, it would say nothing.",
    "text_encoder=char-ngrams:64x8": "coca: captioning predicts words, and the states of char-ngrams:64x8 have seen "
    "those to come; set caption_weight=0, or text_encoder to bytes or clip-bpe.",
    "heads=5": "coca: 5 attention heads can't share 32 features; choose a divisor.",
    "image_tuning.lora_rank=2": "coca: the image encoder vit:1x32x16x32?head=16 takes no adapters; leave lora_rank "
    "out.",
    "image_tuning.frozen_layers=9": "coca: the image encoder vit:1x32x16x32?head=16 has 2 blocks, not 9 to freeze.",
}


@pytest.mark.parametrize("change", MISTAKES)
def test_mistakes_are_named(change: str) -> None:
    with pytest.raises(UserError) as caught:
        model(change)
    assert str(caught.value) == MISTAKES[change]


def test_captioning_needs_words_that_the_cache_of_a_frozen_decoder_has_not(offline: Any) -> None:
    with pytest.raises(UserError, match=r"^coca: captioning needs the words, .* set caption_weight=0 or text_tuning"):
        model(f"weights={PUBLISHED}", "text_tuning.frozen=true")


def test_weights_that_cannot_be_had_are_told_of(open_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback without a network, without the package, or for a name that open_clip doesn't know."""

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


def test_weights_without_a_part_are_refused(offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {k: v for k, v in offline.state_dict().items() if "ln_post" not in k}
    monkeypatch.setattr(offline, "state_dict", lambda: state)
    with pytest.raises(UserError, match=r"is no CoCa that is known here: it has no weights for core\.poolers\.first\."):
        model(f"weights={PUBLISHED}")


def test_clips_words_are_cut_as_open_clip_cuts_them(open_clip: Any) -> None:
    """Its tokenizer, and its mask of padding."""
    net = model("text_encoder=clip-bpe", "text_length=10")
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize(["a red dress", ""])
    assert torch.equal(ids, open_clip.get_tokenizer("coca_ViT-B-32")(["a red dress", ""], 10))
    assert mask.sum(1).tolist() == [5, 2]
    assert logits(net, batch(net)).isfinite().all()


def test_random_weights_of_a_published_size_are_drawn_whole_and_saved(offline: Any) -> None:
    """open_clip leaves the decoder's last layer as the memory was; and nobody else has these weights."""
    with torch.no_grad():
        offline.text_decoder.text_projection.fill_(float("nan"))
    net = build(config(f"weights={PUBLISHED}?weights=random"), CONTEXT)
    assert all(bool(p.isfinite().all()) for p in net.parameters())
    assert 0 < net.core.vocabulary.weight.std() < 1
    frozen = ["image_tuning.frozen=true", "text_tuning.frozen=true", "caption_weight=0"]
    held = build(config(f"weights={PUBLISHED}?weights=random", *frozen), CONTEXT)
    assert set(held.learned_state()) == set(held.state_dict())
