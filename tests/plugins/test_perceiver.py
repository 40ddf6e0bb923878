"""Perceiver IO against the implementation in transformers, and what must hold of missing modalities."""

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
    """The same architecture from transformers, with weights of its own."""
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
    made: Any = hf  # its classes are untyped
    image = made.PerceiverImagePreprocessor(
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
    parts = {"image": image, "text": made.PerceiverTextPreprocessor(config)}
    torch.manual_seed(3)
    whole: Any = PerceiverModel(
        config,
        input_preprocessor=made.PerceiverMultimodalPreprocessor(parts, min_padding_size=c.padding),
        decoder=made.PerceiverClassificationDecoder(
            config,
            num_channels=c.latent_width,
            use_query_residual=c.decoder_residual,
            num_heads=c.decoder_heads,
            trainable_position_encoding_kwargs={"num_channels": c.latent_width, "index_dims": 1},
        ),
    ).eval()
    with torch.no_grad():  # norms and biases as if they had learned
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
    found = {
        f"{a}.{w}": state.pop(f"{b}.{w}") for a, b in PARTS.items() for w in ("weight", "bias") if f"{b}.{w}" in state
    }
    assert not state
    own.load_state_dict(found)


@torch.no_grad()
def copy(own: Perceiver, theirs: Any) -> None:
    """Their weights into ours."""
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
    "stand-ins that nothing needs": (["missing=token", "modality_dropout=1"], {}),
}


@pytest.mark.parametrize("case", WHOLE)
def test_logits_are_the_references(case: str) -> None:
    """From pixels and bytes to logits, padding and shared blocks included, with the reference's random weights."""
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
def test_a_layer_is_the_references(mode: str) -> None:
    """Norms apart on query and key, the residual before the norm, heads over the width of queries and values."""
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
def test_fourier_features_are_the_references(rows: int, columns: int, bands: int, most: tuple[int, int]) -> None:
    from transformers.models.perceiver import modeling_perceiver as hf

    made: Any = hf
    encoding = made.PerceiverFourierPositionEncoding(num_bands=bands, max_resolution=most)
    expected = encoding([rows, columns], 1, device="cpu", dtype=torch.float32)[0]
    found = fourier(rows, columns, bands, most)
    assert found.shape == (rows * columns, encoding.output_size())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_fourier_features_tell_every_position() -> None:
    """258 with 64 bands, 261 with the pixel: the widths that the paper states."""
    code = fourier(8, 8, 64, (224, 224))
    assert code.shape == (64, 258)
    assert len(torch.unique(code, dim=0)) == 64
    assert code[:, :2].min() == -1
    assert code[:, :2].max() == 1


def test_fourier_features_are_made_once_and_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are constant: a buffer that moves with the model. Models saved without it are still read."""
    net = model()
    buffers, saved = dict(net.named_buffers()), net.state_dict()
    monkeypatch.setattr(module, "fourier", None)
    b = batch(net)
    before = logits(net, b)
    net.train()(b)
    assert [name for name, one in buffers.items() if one.shape == (16, 18)] == ["image_code"]
    assert "image_code" not in saved
    net.load_state_dict(saved)
    torch.testing.assert_close(logits(net, b), before, rtol=0, atol=0)


def test_building_the_model_moves_no_statistics() -> None:
    """The image whose tokens are counted is blank, and no example."""
    net = model("image_input=conv", "conv_width=8")
    norm: Any = net.image_encoder.norm  # type: ignore[union-attr]
    assert net.training
    assert norm.training
    assert not norm.running_mean.any()
    assert norm.num_batches_tracked == 0


def test_tokens_of_no_place_have_no_fourier_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class token comes first; were the grid's features put there, all others would be shifted by one."""
    net = model("input_width=24")
    encoder: Any = net.image_encoder
    encode = type(encoder).encode

    def with_class_token(self: Any, images: Tensor) -> Any:
        made = encode(self, images)
        tokens = torch.cat([made.pooled[:, None], made.tokens], 1)
        return type(made)(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), made.pooled)

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


def test_the_image_model_has_the_published_number_of_parameters() -> None:
    """48.4M: latents, encoder over pixels of 3 + 258, decoder, 1000 classes; `paper` is that and what reads texts."""
    from mmeval.plugin.manager import Manager
    from mmeval_perceiver.model import Decoder

    config = configure(PerceiverConfig, "perceiver", Manager().model("perceiver").presets["paper"])
    context = ModelContext((Task("t", tuple(map(str, range(1000)))),), {"t": (1,) * 1000}, ("en",))
    with torch.device("meta"):
        trunk, decoder = Trunk(config, 3 + 2 * (2 * config.bands + 1)), Decoder(config, context)
        whole = build(config, context)
    assert count(trunk, decoder) == 48_440_627
    # Beside it: bytes and positions, and the cross-attention reads 770 features and not 261.
    assert whole.modalities.width == 770
    assert count(whole) == 52_309_753


def test_the_language_model_has_the_published_number_of_parameters() -> None:
    """201.1M: bytes, encoder, and its own decoder over 2048 queries of 768 with the byte table transposed behind it."""
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
    """Eight blocks are as many parameters as one, but not the same function."""
    deep, flat = model("blocks=8"), model("blocks=1")
    assert count(deep) == count(flat)
    flat.load_state_dict(deep.state_dict())
    assert not torch.allclose(logits(deep, batch(deep)), logits(flat, batch(deep)))


# What may be missing, and what mustn't matter.


def without(net: Perceiver, what: str, rows: list[int]) -> Batch:
    gone = torch.ones(4, dtype=torch.bool)
    gone[rows] = False
    return batch(net, **{what: gone})


@pytest.mark.parametrize("missing", ["drop", "token"])
@pytest.mark.parametrize("what", ["has_image", "has_text"])
def test_a_missing_modality_never_leaks(missing: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where it should be, NaN included, moves nothing, in evaluation and in training."""
    net = model(f"missing={missing}")
    b = without(net, what, [0, 2])
    clean = logits(net, b)
    encoder: Any = net.image_encoder if what == "has_image" else net.text_encoder
    encode = encoder.encode

    def dirty(*inputs: Tensor) -> Any:
        made = encode(*inputs)
        made.tokens[[0, 2]] = torch.nan
        return made

    monkeypatch.setattr(encoder, "encode", dirty)
    torch.testing.assert_close(logits(net, b), clean, rtol=0, atol=0)
    net.train()(b).logits["t"].logsumexp(1).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    monkeypatch.setattr(encoder, "encode", encode)
    assert (logits(net, batch(net)) - clean).abs().amax(1).gt(1e-4).tolist() == [True, False, True, False]


def test_a_stand_in_is_read_and_a_dropped_modality_is_not() -> None:
    """The two answers to a missing modality differ, and only for the example that lacks it."""
    net = model("missing=token")
    b = without(net, "has_text", [1])
    before = logits(net, b)
    with torch.no_grad():
        net.modalities.stand_in["text"] += torch.randn(net.modalities.width)
    assert (logits(net, b) - before).abs().amax(1).gt(1e-4).tolist() == [False, True, False, False]
    assert not model("missing=drop").modalities.stand_in


@pytest.mark.parametrize("missing", ["drop", "token"])
def test_a_prediction_depends_on_its_example_alone(missing: str) -> None:
    """Neither on how far the neighbours' texts make the batch padded, nor on whether they have images."""
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
def test_with_nothing_at_all_it_predicts_the_training_prior(missing: str) -> None:
    nothing = torch.zeros(4, dtype=torch.bool)
    net = model(f"missing={missing}", context=TWO)
    b = batch(net, has_image=nothing, has_text=nothing)
    torch.testing.assert_close(logits(net, b).softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
    net.train()(b).logits["t"].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_modality_dropout_hides_one_of_two_and_only_in_training() -> None:
    """The reference goes on hiding tokens in evaluation: a score would differ from run to run."""
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
def test_dropout_is_of_training_alone(width: str, place: str) -> None:
    """Of each modality's tokens and of what the query read, each by itself."""
    net = model("dropout=0.5", width)
    for name, one in net.named_modules():
        if isinstance(one, nn.Dropout):
            assert one.p == 0.5
            one.p = 0.5 if name.startswith(place) else 0.0
    b = batch(net)
    torch.manual_seed(0)
    first, second = (net.train()(b).logits["t"] for _ in range(2))
    assert not torch.allclose(first, second, atol=1e-4)
    torch.testing.assert_close(logits(net, b), logits(net, b), rtol=0, atol=0)


def test_attention_weights_are_dropped_in_training_alone() -> None:
    """In every attention, as the option says."""
    net = model("attention_dropout=0.5")
    attentions = [one for one in net.modules() if isinstance(one, Attention)]
    assert [one.dropout for one in attentions] == [
        0.5
    ] * 4  # the encoder's, two layers of self-attention, the decoder's
    attention, x = attentions[1], torch.randn(2, 5, 64)
    torch.manual_seed(0)
    assert not torch.allclose(attention.train()(x), attention(x), atol=1e-4)
    torch.testing.assert_close(attention.eval()(x), attention(x), rtol=0, atol=0)


@pytest.mark.parametrize(("weights", "deviation"), [("fan-in", 64**-0.5), ("fixed", 0.02)])
def test_linear_layers_start_as_the_option_says(weights: str, deviation: float) -> None:
    """Normal, cut off at two deviations, without a bias."""
    net = model(f"weights={weights}", "widening=4")
    first: Any = net.trunk.layers[0].mlp[0]  # type: ignore[union-attr, index]
    # Cut off at two, a normal distribution deviates by .88 of what it would.
    assert first.weight.std().item() == pytest.approx(0.88 * deviation, rel=0.03)
    assert first.weight.abs().max() <= 2 * deviation
    linear = [one for part in (net.trunk, net.decoder) for one in part.modules() if isinstance(one, nn.Linear)]
    assert not any(one.bias.any() for one in linear)


def test_learned_vectors_start_as_the_option_says() -> None:
    """Latents, queries, padding and stand-ins, of deviation `initial_scale`."""
    net = model("initial_scale=0.1", "missing=token", "latents=64", "padding=256")
    drawn = [
        net.trunk.latents,
        net.decoder.queries,
        *net.modalities.padding.values(),
        *net.modalities.stand_in.values(),
    ]
    for one in drawn:
        assert one.std().item() == pytest.approx(0.1, rel=0.25)


def test_in_training_an_example_is_shown_by_one_modality_as_if_the_other_were_missing() -> None:
    net = model("modality_dropout=1")
    none, b = torch.zeros(4, dtype=torch.bool), batch(net)
    image, text = (logits(net, batch(net, **{missing: none})) for missing in ("has_text", "has_image"))
    torch.manual_seed(1)
    shown = net.train()(b).logits["t"]
    by_image, by_text = (torch.isclose(shown, one, rtol=1e-4, atol=1e-5).all(1) for one in (image, text))
    assert (by_image ^ by_text).all()
    assert by_image.any()
    assert by_text.any()


def test_what_a_modality_is_padded_with_tells_it_from_others() -> None:
    """Two modalities with equal tokens must not be one to the model."""
    torch.manual_seed(0)
    join = Modalities({"text": 4, "image": 6}, 2, 5, 1.0, stand_in=False)
    masks = {name: torch.ones(1, 3, dtype=torch.bool) for name in ("image", "text")}
    out, _ = join({"text": torch.ones(1, 3, 4), "image": torch.zeros(1, 3, 6)}, masks)
    assert join.width == 10
    assert out[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]  # by name: image, text
    torch.testing.assert_close(out[0, :3, 6:], join.padding["image"].expand(3, -1))
    torch.testing.assert_close(out[0, 3:, 4:], join.padding["text"].expand(3, -1))


# Options.


def test_each_task_has_a_query_of_its_own() -> None:
    """Moving one task's query moves that task alone; a shared one moves both."""
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
def test_every_kind_of_input_is_read(changes: list[str]) -> None:
    """Both the image and the text move the logits, whatever they are read as."""
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
def test_tokens_are_put_where_they_are_in_the_image(
    tokens: int, height: int, width: int, grid: tuple[int, int, int]
) -> None:
    """Class tokens and registers before them have no place; mistaken for one they would shift all others."""
    assert grid_of(tokens, height, width) == grid


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["heads=5"], "5 heads can't share 64 features."),
        (["qk_width=30"], "8 heads can't share 30 features."),
        (["decoder_heads=7"], "7 heads of the decoder can't share 64 features."),
        (["patch_size=5"], "SIZE must be a multiple of 5"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        model(*changes)


def test_an_input_that_heads_can_not_share_is_padded_further() -> None:
    """The reference fails there; 32 + 6 features for seven heads become 42."""
    net = model("image_size=8", "patch_size=2", "bands=1", "cross_heads=7", "heads=8")
    assert net.modalities.width == 42
    assert logits(net, batch(net, images=torch.zeros(4, 3, 8, 8, dtype=torch.uint8))).isfinite().all()


def test_base_has_no_part_that_nobody_reads() -> None:
    """SigLIP's pooling head makes `pooled`, and the Perceiver reads tokens: it would be trained and never learn."""
    from mmeval.plugin.manager import Manager

    name = Manager().model("perceiver").presets["base"]["image_encoder"]
    with torch.device("meta"):
        encoder = image_encoder(f"{name}?weights=random")
    assert [path for path, _ in encoder.named_parameters() if "attn_pool" in path] == []
