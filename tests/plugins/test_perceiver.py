"""Perceiver IO: equality with the implementation in transformers, published sizes, missing modalities, options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Task, UserError
from mmeval.nn import image_encoder, text_encoder
from mmeval.plugin.configure import configure
from mmeval_perceiver import build
from mmeval_perceiver import model as module
from mmeval_perceiver.config import PerceiverConfig
from mmeval_perceiver.model import Attention, Layer, Modalities, Perceiver, Trunk, fourier, grid_of

ONE = ModelContext((Task("t", tuple("abcdefg")),), {"t": (1, 2, 7, 3, 3, 2, 2)}, ("de",))
TWO = ModelContext((Task("t", ("a", "b", "c")), Task("u.v", ("x", "y"))), {"t": (1, 2, 7), "u.v": (1, 4)}, ("de",))
SMALL = [
    *("image_input=patches", "image_size=32", "patch_size=8", "text_input=bytes", "text_length=24", "byte_width=32"),
    *("input_width=0", "dropout=0", "bands=4", "padding=6", "latents=6", "latent_width=64", "blocks=3", "layers=2"),
    *("heads=8", "cross_heads=8", "modality_dropout=0"),
]
TEXTS = ["rot", "grüner Hut", "blau und weiß gestreift", "x"]


def model(*changes: str, context: ModelContext = ONE) -> Perceiver:
    torch.manual_seed(0)
    return build(configure(PerceiverConfig, "perceiver", {}, [*SMALL, *changes]), context)


def batch(net: Perceiver, texts: list[str] | None = None, **changes: Any) -> Batch:
    texts = TEXTS if texts is None else texts
    size = len(texts)
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize(texts)
    generator = torch.Generator().manual_seed(1)
    fields: dict[str, Any] = {
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.ones(size, dtype=torch.bool),
        "languages": ("de",) * size,
        "labels": {},
        "seeds": torch.arange(size),
        "images": torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator),
        "text_ids": ids,
        "text_mask": mask,
    }
    return Batch(**(fields | changes))


def logits(net: Perceiver, b: Batch, task: str = "t") -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits[task]


# The reference.


def reference(own: Perceiver, qk: int | None = None, v: int | None = None, shape: str = "kv") -> Any:
    """Return the same architecture from transformers, with different weights."""
    from transformers import PerceiverConfig as Config
    from transformers import PerceiverModel
    from transformers.models.perceiver import modeling_perceiver as hf

    c = own.config
    config = Config(
        num_latents=c.latents,
        d_latents=c.latent_width,
        d_model=c.byte_width,
        num_blocks=c.blocks,
        num_self_attends_per_block=c.layers,
        num_self_attention_heads=c.heads,
        num_cross_attention_heads=c.cross_heads,
        qk_channels=qk,
        v_channels=v,
        cross_attention_shape_for_attention=shape,
        self_attention_widening_factor=c.widening,
        cross_attention_widening_factor=c.widening,
        max_position_embeddings=c.text_length,
        num_labels=7,
        attn_implementation="eager",
    )
    untyped: Any = hf  # its classes have no annotations
    image = untyped.PerceiverImagePreprocessor(
        config,
        prep_type="patches",
        spatial_downsample=c.patch_size,
        temporal_downsample=1,
        position_encoding_type="fourier",
        in_channels=3,
        out_channels=40,
        fourier_position_encoding_kwargs={
            "num_bands": c.bands,
            "max_resolution": (4, 4),
            "sine_only": False,
            "concat_pos": True,
        },
    )
    parts = {"image": image, "text": untyped.PerceiverTextPreprocessor(config)}
    torch.manual_seed(3)
    whole: Any = PerceiverModel(
        config,
        input_preprocessor=untyped.PerceiverMultimodalPreprocessor(parts, min_padding_size=c.padding),
        decoder=untyped.PerceiverClassificationDecoder(
            config,
            num_channels=c.latent_width,
            use_query_residual=c.decoder_residual,
            num_heads=c.decoder_heads,
            trainable_position_encoding_kwargs={"num_channels": c.latent_width, "index_dims": 1},
        ),
    ).eval()
    with torch.no_grad():  # as if norms and biases had been trained
        for p in whole.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return whole


PARTS = {
    "attention.q": "attention.self.query",
    "attention.k": "attention.self.key",
    "attention.v": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention.norm": "attention.self.layernorm1",
    "attention.norm_read": "attention.self.layernorm2",
    "norm": "layernorm",
    "mlp.0": "mlp.dense1",
    "mlp.2": "mlp.dense2",
}


def copy_layer(own: Layer, theirs: nn.Module) -> None:
    state = theirs.state_dict()
    actual = {
        f"{a}.{w}": state.pop(f"{b}.{w}") for a, b in PARTS.items() for w in ("weight", "bias") if f"{b}.{w}" in state
    }
    assert not state
    own.load_state_dict(actual)


@torch.no_grad()
def copy(own: Perceiver, theirs: Any) -> None:
    """Copy the weights of the reference into our model."""
    text: Any = own.text_encoder
    text.bytes.load_state_dict(theirs.input_preprocessor.modalities["text"].embeddings.state_dict())
    text.positions.load_state_dict(theirs.input_preprocessor.modalities["text"].position_embeddings.state_dict())
    for name in ("image", "text"):
        own.modalities.padding[name].copy_(theirs.input_preprocessor.padding[name][0])
    own.trunk.latents.copy_(theirs.embeddings.latents)
    copy_layer(own.trunk.read, theirs.encoder.cross_attention)
    for a, b in zip(own.trunk.layers, theirs.encoder.self_attends, strict=True):
        assert isinstance(a, Layer)
        copy_layer(a, b)
    decoder = theirs.decoder.decoder
    own.decoder.queries.copy_(decoder.output_position_encodings.position_embeddings)
    copy_layer(own.decoder.read, decoder.decoding_cross_attention)
    own.decoder.heads.layers[0].load_state_dict(decoder.final_layer.state_dict())


WHOLE: dict[str, tuple[list[str], dict[str, Any]]] = {
    "kv": ([], {}),
    "q": (["cross_shape=q"], {"shape": "q"}),
    "explicit widths": (["qk_width=32", "v_width=64"], {"qk": 32, "v": 64}),
    "decoder": (["decoder_residual=false", "decoder_heads=4", "widening=2", "query=shared"], {}),
    "unused stand-ins": (["missing=token", "modality_dropout=1"], {}),
}


@pytest.mark.parametrize("case", WHOLE)
def test_logits_equal_the_reference(case: str) -> None:
    """From pixels and bytes to logits, with padding and shared blocks, and the reference's random weights."""
    changes, kinds = WHOLE[case]
    own = model(*changes)
    theirs = reference(own, **kinds)
    copy(own, theirs)
    b = batch(own)
    assert own.image_encoder is not None
    assert b.images is not None
    assert b.text_mask is not None
    assert not b.text_mask.all()
    shown = torch.cat([torch.ones(4, 16, dtype=torch.bool), b.text_mask], 1)
    pixels = own.image_encoder.input.normalise(b.images)[:, None]
    with torch.no_grad():
        expected = theirs(inputs={"image": pixels, "text": b.text_ids}, attention_mask=shown).logits
    torch.testing.assert_close(logits(own, b), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["kv", "self"])
def test_layer_equals_the_reference(mode: str) -> None:
    """Separate norms of query and key, the residual from before the norm, heads that share the widths."""
    from transformers import PerceiverConfig as Config
    from transformers.models.perceiver.modeling_perceiver import PerceiverLayer

    torch.manual_seed(0)
    read = 20 if mode == "kv" else None
    own = Layer(24, read, 12, 24, 4, widening=2)
    theirs: Any = PerceiverLayer(  # type: ignore[no-untyped-call]
        Config(attention_probs_dropout_prob=0),
        is_cross_attention=read is not None,
        qk_channels=12,
        v_channels=24,
        num_heads=4,
        q_dim=24,
        kv_dim=read or 24,
        widening_factor=2,
    )
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.5)
    copy_layer(own, theirs)
    x, y = torch.randn(2, 5, 24), torch.randn(2, 7, 20) if read else None
    torch.testing.assert_close(own(x, y), theirs(x, inputs=y)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "columns", "bands", "most"), [(4, 4, 4, (4, 4)), (3, 5, 64, (224, 112)), (1, 1, 2, (1, 1))]
)
def test_fourier_features_equal_the_reference(rows: int, columns: int, bands: int, most: tuple[int, int]) -> None:
    from transformers.models.perceiver import modeling_perceiver as hf

    untyped: Any = hf
    encoding = untyped.PerceiverFourierPositionEncoding(num_bands=bands, max_resolution=most)
    expected = encoding([rows, columns], 1, device="cpu", dtype=torch.float32)[0]
    actual = fourier(rows, columns, bands, most)
    assert actual.shape == (rows * columns, encoding.output_size())
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_fourier_features_differ_at_every_position() -> None:
    """With 64 bands they have the paper's width, 258 (261 with the pixel)."""
    code = fourier(8, 8, 64, (224, 224))
    assert code.shape == (64, 258)
    assert len(torch.unique(code, dim=0)) == 64
    assert code[:, :2].min() == -1
    assert code[:, :2].max() == 1


def test_fourier_features_are_computed_once_and_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a constant buffer, which moves with the model but is not saved."""
    net = model()
    buffers, saved = dict(net.named_buffers()), net.state_dict()
    monkeypatch.setattr(module, "fourier", None)
    b = batch(net)
    before = logits(net, b)
    net.train()(b)
    assert [name for name, buffer in buffers.items() if buffer.shape == (16, 18)] == ["image_code"]
    assert "image_code" not in saved
    net.load_state_dict(saved)
    torch.testing.assert_close(logits(net, b), before, rtol=0, atol=0)


def test_building_the_model_changes_no_running_statistics() -> None:
    """The model encodes a blank image to count its tokens, which must not enter running statistics."""
    net = model("image_input=conv", "conv_width=8")
    norm: Any = net.image_encoder.norm  # type: ignore[union-attr]
    assert net.training
    assert norm.training
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0


def test_tokens_before_the_grid_have_no_fourier_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class token before the grid must not shift the features of all other tokens by one."""
    net = model("input_width=24")
    encoder: Any = net.image_encoder
    encode = type(encoder).encode

    def with_class_token(self: Any, images: Tensor) -> Any:
        encoded = encode(self, images)
        tokens = torch.cat([encoded.pooled[:, None], encoded.tokens], 1)
        return type(encoded)(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), encoded.pooled)

    monkeypatch.setattr(type(encoder), "encode", with_class_token)
    net = model("input_width=24")
    with torch.no_grad():
        image = net.image_encoder(batch(net))  # type: ignore[misc]
        read = net.eval()._image(image)
        own = net.image_tokens(image.tokens)
    torch.testing.assert_close(read[:, :, :24], own)
    assert not read[:, 0, 24:].any()
    torch.testing.assert_close(read[0, 1:, 24:], fourier(4, 4, 4, (4, 4)))


# The paper's sizes.


def count(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def test_image_model_has_the_published_number_of_parameters() -> None:
    """48.4M: latents, encoder over pixels of 3 + 258, decoder, 1000 classes; `paper` adds the text input."""
    from mmeval.plugin.manager import Manager
    from mmeval_perceiver.model import Decoder

    config = configure(PerceiverConfig, "perceiver", Manager().model("perceiver").presets["paper"])
    context = ModelContext((Task("t", tuple(map(str, range(1000)))),), {"t": (1,) * 1000}, ("en",))
    with torch.device("meta"):
        trunk, decoder = Trunk(config, 3 + 2 * (2 * config.bands + 1)), Decoder(config, context)
        whole = build(config, context)
    assert count(trunk, decoder) == 48_440_627
    # In addition: bytes and positions, and cross-attention that reads 770 features instead of 261.
    assert whole.modalities.width == 770
    assert count(whole) == 52_309_753


def test_language_model_has_the_published_number_of_parameters() -> None:
    """201.1M: bytes, encoder, and a decoder over 2048 queries of 768, whose output matrix is the table of bytes."""
    sizes = [
        "latents=256",
        "latent_width=1280",
        "layers=26",
        "heads=8",
        "cross_heads=8",
        "qk_width=256",
        "v_width=1280",
    ]
    with torch.device("meta"):
        text = text_encoder("bytes:2048x768")
        trunk = Trunk(configure(PerceiverConfig, "perceiver", {}, sizes), 768)
        decoder = Layer(768, 1280, 256, 768, 8, residual=False)
    queries, bias = 2048 * 768, 262
    assert count(text, trunk, decoder) + queries + bias == 201_108_230


def test_blocks_share_their_weights() -> None:
    """Eight blocks have as many parameters as one, but compute another function."""
    deep, flat = model("blocks=8"), model("blocks=1")
    assert count(deep) == count(flat)
    flat.load_state_dict(deep.state_dict())
    assert not torch.allclose(logits(deep, batch(deep)), logits(flat, batch(deep)))


# Missing modalities and independence of the batch.


def without(net: Perceiver, modality: str, rows: list[int]) -> Batch:
    present = torch.ones(4, dtype=torch.bool)
    present[rows] = False
    return batch(net, **{modality: present})


@pytest.mark.parametrize("missing", ["drop", "token"])
@pytest.mark.parametrize("modality", ["has_image", "has_text"])
def test_missing_modality_has_no_influence(missing: str, modality: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its placeholder values, even NaN, change neither predictions nor gradients."""
    net = model(f"missing={missing}")
    b = without(net, modality, [0, 2])
    clean = logits(net, b)
    encoder: Any = net.image_encoder if modality == "has_image" else net.text_encoder
    encode = encoder.encode

    def dirty(*inputs: Tensor) -> Any:
        encoded = encode(*inputs)
        encoded.tokens[[0, 2]] = torch.nan
        return encoded

    monkeypatch.setattr(encoder, "encode", dirty)
    torch.testing.assert_close(logits(net, b), clean, rtol=0, atol=0)
    net.train()(b).logits["t"].logsumexp(1).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    monkeypatch.setattr(encoder, "encode", encode)
    assert (logits(net, batch(net)) - clean).abs().amax(1).gt(1e-4).tolist() == [True, False, True, False]


def test_stand_in_replaces_a_missing_modality() -> None:
    """The stand-in influences only examples that lack the modality; `missing=drop` has none."""
    net = model("missing=token")
    b = without(net, "has_text", [1])
    before = logits(net, b)
    with torch.no_grad():
        net.modalities.stand_in["text"] += torch.randn(net.modalities.width)
    assert (logits(net, b) - before).abs().amax(1).gt(1e-4).tolist() == [False, True, False, False]
    assert not model("missing=drop").modalities.stand_in


@pytest.mark.parametrize("missing", ["drop", "token"])
def test_prediction_does_not_depend_on_the_batch(missing: str) -> None:
    """Neither on the padding of the batch, nor on the images of other examples."""
    net = model(f"missing={missing}", context=TWO)
    short = batch(net, TEXTS[:1], images=torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    images = torch.stack([torch.full((3, 32, 32), shade, dtype=torch.uint8) for shade in (0, 90)])
    for has in ("", "has_image", "has_text"):
        alone = Batch(**(vars(short) | ({has: torch.tensor([False])} if has else {})))
        beside = batch(
            net, [TEXTS[0], "viel länger"], images=images, **({has: torch.tensor([False, True])} if has else {})
        )
        torch.testing.assert_close(logits(net, beside)[:1], logits(net, alone), rtol=1e-5, atol=1e-5)
        if has == "has_image":
            no_images = Batch(**(vars(alone) | {"images": None}))
            torch.testing.assert_close(logits(net, no_images), logits(net, alone), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("missing", ["drop", "token"])
def test_without_image_and_text_it_predicts_the_training_prior(missing: str) -> None:
    nothing = torch.zeros(4, dtype=torch.bool)
    net = model(f"missing={missing}", context=TWO)
    b = batch(net, has_image=nothing, has_text=nothing)
    torch.testing.assert_close(logits(net, b).softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
    net.train()(b).logits["t"].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_modality_dropout_hides_one_modality_in_training_only() -> None:
    """The reference hides tokens in evaluation too, so that scores would differ between runs."""
    net = model("modality_dropout=0.5", "missing=token")
    b = batch(net)
    torch.testing.assert_close(logits(net, b), logits(net, b), rtol=0, atol=0)
    torch.manual_seed(0)
    there = {"image": torch.ones(8000, 3, dtype=torch.bool), "text": torch.ones(8000, 2, dtype=torch.bool)}
    there["text"][:2000] = False
    kept = net._hide(there)
    image, text = kept["image"].any(1), kept["text"].any(1)
    assert image[:2000].all()
    assert (image | text).all()
    assert (~image[2000:]).float().mean() == pytest.approx(0.25, abs=0.02)
    assert (~text[2000:]).float().mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("width", ["input_width=0", "input_width=24"])
@pytest.mark.parametrize("place", ["image_tokens", "text_tokens", "decoder"])
def test_dropout_applies_in_training_only(width: str, place: str) -> None:
    """Each dropout alone: of the tokens of each modality, and of the decoder's output."""
    net = model("dropout=0.5", width)
    for name, part in net.named_modules():
        if isinstance(part, nn.Dropout):
            assert part.p == 0.5
            part.p = 0.5 if name.startswith(place) else 0.0
    b = batch(net)
    torch.manual_seed(0)
    first, second = (net.train()(b).logits["t"] for _ in range(2))
    assert not torch.allclose(first, second, atol=1e-4)
    torch.testing.assert_close(logits(net, b), logits(net, b), rtol=0, atol=0)


def test_attention_dropout_applies_in_training_only() -> None:
    """In every attention: the encoder's, two layers of self-attention, the decoder's."""
    net = model("attention_dropout=0.5")
    attentions = [part for part in net.modules() if isinstance(part, Attention)]
    assert [part.dropout for part in attentions] == [0.5] * 4
    attention, x = attentions[1], torch.randn(2, 5, 64)
    torch.manual_seed(0)
    assert not torch.allclose(attention.train()(x), attention(x), atol=1e-4)
    torch.testing.assert_close(attention.eval()(x), attention(x), rtol=0, atol=0)


@pytest.mark.parametrize(("weights", "deviation"), [("fan-in", 64**-0.5), ("fixed", 0.02)])
def test_weights_option_initializes_linear_layers(weights: str, deviation: float) -> None:
    """Normal, truncated at two standard deviations, with zero biases."""
    net = model(f"weights={weights}", "widening=4")
    first: Any = net.trunk.layers[0].mlp[0]  # type: ignore[union-attr, index]
    # Truncation at two standard deviations reduces the deviation to 0.88 of it.
    assert first.weight.std().item() == pytest.approx(0.88 * deviation, rel=0.03)
    assert first.weight.abs().max() <= 2 * deviation
    linear = [layer for part in (net.trunk, net.decoder) for layer in part.modules() if isinstance(layer, nn.Linear)]
    assert not any(layer.bias.any() for layer in linear)


def test_initial_scale_option_initializes_learned_vectors() -> None:
    """Latents, queries, padding and stand-ins have standard deviation `initial_scale`."""
    net = model("initial_scale=0.1", "missing=token", "latents=64", "padding=256")
    drawn = [
        net.trunk.latents,
        net.decoder.queries,
        *net.modalities.padding.values(),
        *net.modalities.stand_in.values(),
    ]
    for vector in drawn:
        assert vector.std().item() == pytest.approx(0.1, rel=0.25)


def test_modality_dropout_equals_a_missing_modality() -> None:
    net = model("modality_dropout=1")
    none, b = torch.zeros(4, dtype=torch.bool), batch(net)
    image, text = (logits(net, batch(net, **{missing: none})) for missing in ("has_text", "has_image"))
    torch.manual_seed(1)
    shown = net.train()(b).logits["t"]
    by_image, by_text = (torch.isclose(shown, expected, rtol=1e-4, atol=1e-5).all(1) for expected in (image, text))
    assert (by_image ^ by_text).all()
    assert by_image.any()
    assert by_text.any()


def test_padding_identifies_the_modality() -> None:
    """Otherwise two modalities with equal tokens would be the same to the model."""
    torch.manual_seed(0)
    join = Modalities({"text": 4, "image": 6}, 2, 5, 1.0, stand_in=False)
    masks = {name: torch.ones(1, 3, dtype=torch.bool) for name in ("image", "text")}
    out, _ = join({"text": torch.ones(1, 3, 4), "image": torch.zeros(1, 3, 6)}, masks)
    assert join.width == 10
    assert out[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]  # in alphabetical order: image, text
    torch.testing.assert_close(out[0, :3, 6:], join.padding["image"].expand(3, -1))
    torch.testing.assert_close(out[0, 3:, 4:], join.padding["text"].expand(3, -1))


# Options.


def test_each_task_has_its_own_query() -> None:
    """A change of one task's query changes that task only; a shared query changes both."""
    for query, moved in (("task", [True, False]), ("shared", [True, True])):
        net = model(f"query={query}", context=TWO)
        b = batch(net)
        before = [logits(net, b, task) for task in ("t", "u.v")]
        with torch.no_grad():
            net.decoder.queries[0] += torch.randn(64)
        after = [logits(net, b, task) for task in ("t", "u.v")]
        assert [not torch.allclose(x, y) for x, y in zip(before, after, strict=True)] == moved


@pytest.mark.parametrize(
    "changes",
    [
        ["image_input=pixels", "image_size=8"],
        ["image_input=conv", "conv_width=8"],
        ["image_input=encoder", "image_encoder=small-cnn:32", "image_tuning.frozen=false"],
        ["text_input=encoder", "text_encoder=small-bert:1x32", "text_tuning.frozen=false"],
        ["input_width=24"],
        ["weights=fixed", "initial_scale=1"],
    ],
)
def test_every_kind_of_input_influences_the_logits(changes: list[str]) -> None:
    """Both image and text change the logits, for every kind of input."""
    net = model(*changes)
    side = net.image_encoder.input.height  # type: ignore[union-attr]
    pixels = torch.randint(256, (4, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = logits(net, batch(net, images=pixels))
    assert not torch.allclose(whole, logits(net, batch(net, images=pixels.flip(0))), atol=1e-5)
    assert not torch.allclose(whole, logits(net, batch(net, TEXTS[::-1], images=pixels)), atol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "height", "width", "grid"),
    [
        (16, 128, 128, (4, 4, 0)),
        (197, 224, 224, (14, 14, 1)),
        (261, 224, 224, (16, 16, 5)),
        (6, 64, 96, (2, 3, 0)),
        (1, 64, 64, (1, 1, 0)),
        (50, 224, 224, (7, 7, 1)),
    ],
)
def test_token_grid_is_inferred_from_the_image_size(
    tokens: int, height: int, width: int, grid: tuple[int, int, int]
) -> None:
    """Class tokens and registers come before the grid and must not shift it."""
    assert grid_of(tokens, height, width) == grid


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["heads=5"], "5 heads can't share 64 features."),
        (["qk_width=30"], "8 heads can't share 30 features."),
        (["decoder_heads=7"], "7 heads of the decoder can't share 64 features."),
        (["patch_size=5"], "SIZE must be a multiple of 5"),
    ],
)
def test_indivisible_sizes_raise_user_error(changes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(*changes)


def test_input_width_is_padded_to_a_multiple_of_the_heads() -> None:
    """The reference fails here; 32 + 6 features for seven heads become 42."""
    net = model("image_size=8", "patch_size=2", "bands=1", "cross_heads=7", "heads=8")
    assert net.modalities.width == 42
    assert logits(net, batch(net, images=torch.zeros(4, 3, 8, 8, dtype=torch.uint8))).isfinite().all()


def test_preset_base_has_no_unused_pooling_head() -> None:
    """The Perceiver reads tokens only: SigLIP's pooling head would be saved but never learn."""
    from mmeval.plugin.manager import Manager

    name = Manager().model("perceiver").presets["base"]["image_encoder"]
    with torch.device("meta"):
        encoder = image_encoder(f"{name}?weights=random")
    assert [path for path, _ in encoder.named_parameters() if "attn_pool" in path] == []
