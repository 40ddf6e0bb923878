"""EmbraceNet: parity with the authors' implementation, and missing modalities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmeval import Batch, ModelContext, Task
from mmeval.plugin.configure import configure
from mmeval_embracenet import build
from mmeval_embracenet.config import EmbraceNetConfig
from mmeval_embracenet.model import EmbraceNet, choose, embrace, selection

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "embracenet_a.npz")
CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
SMALL = ["image_encoder=small-cnn:32", "image_tuning.frozen=false", "text_encoder=char-ngrams:512x16", "width=24"]


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


def docked() -> Tensor:
    return torch.stack(
        [
            F.relu(
                F.linear(
                    golden(f"inputs/modality_{k}"), *(golden(f"weights/docking_{k}.{w}") for w in ("weight", "bias"))
                )
            )
            for k in (0, 1)
        ],
        1,
    )


ONES = torch.ones(4, 2)
CASES = {
    "all_present": (ONES, ONES),
    "with_availabilities": (ONES, golden("inputs/availabilities")),
    "with_availabilities_and_probabilities": (
        golden("inputs/selection_probabilities"),
        golden("inputs/availabilities"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_fused_vectors_match_the_authors_exactly(case: str) -> None:
    """With their seed, one multinomial over (sample, feature) gives bit-identical fused vectors."""
    d, p = docked(), selection(*CASES[case])
    torch.manual_seed(1234)
    fused = embrace(d, torch.multinomial(p, d.shape[2], replacement=True))
    torch.testing.assert_close(fused, golden(f"outputs/{case}/seed1234"), rtol=0, atol=0)


@pytest.mark.parametrize("case", CASES)
def test_mean_of_many_draws_matches_the_authors(case: str) -> None:
    d, p = docked(), selection(*CASES[case])
    torch.manual_seed(0)
    draws = torch.stack([embrace(d, torch.multinomial(p, d.shape[2], replacement=True)) for _ in range(4000)])
    expected = golden(f"outputs/{case}/mean_of_20000_draws")
    torch.testing.assert_close(draws.mean(0), expected, rtol=0.1, atol=0.02)
    torch.testing.assert_close((p[:, :, None] * d).sum(1), expected, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_choose_never_chooses_a_missing_modality(missing: int) -> None:
    """The float32 sum of three shares is below 1 in many rows; a number above it must not choose the missing fourth."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(20_000, 4, generator=generator)
    available = torch.ones(20_000, 4, dtype=torch.bool)
    available[:, missing] = False
    p = selection(shares, available)
    most = torch.tensor(1 - 2**-24).expand(20_000, 1)  # the largest number of mmeval.nn.uniform
    u = torch.cat([torch.zeros(20_000, 1), torch.rand(20_000, 6, generator=generator), most], 1)
    if missing == 3:
        assert (p.cumsum(1)[:, -1] < 1).sum() > 1000
    chosen = choose(p, u)
    assert bool(available.gather(1, chosen).all())
    assert bool((p.gather(1, chosen) > 0).all())


def test_choose_follows_the_selection_probabilities() -> None:
    p = torch.tensor([[0.2, 0.5, 0.3]])
    u = torch.tensor([[0.0, 0.19, 0.2, 0.69, 0.71, 0.99]])
    assert choose(p, u).tolist() == [[0, 0, 1, 1, 2, 2]]


def model(*changes: str) -> EmbraceNet:
    torch.manual_seed(0)
    return build(configure(EmbraceNetConfig, "embracenet", {}, [*SMALL, *changes]), CONTEXT)


def batch(net: EmbraceNet, size: int = 6, **changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize([f"wort {i}" for i in range(size)])
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


def rows(b: Batch, keep: list[int]) -> Batch:
    def pick(value: Any) -> Any:
        return value[keep] if torch.is_tensor(value) else value

    changed = {name: pick(value) for name, value in vars(b).items() if torch.is_tensor(value)}
    return Batch(**(vars(b) | changed | {"languages": tuple(b.languages[i] for i in keep)}))


def logits(net: EmbraceNet, b: Batch) -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits["t"].log_softmax(-1)


@pytest.mark.parametrize("mode", ["sample", "ensemble", "expectation"])
def test_prediction_does_not_depend_on_the_batch(mode: str) -> None:
    """Nor on order or earlier calls: otherwise a score would not be reproducible."""
    net = model(f"eval_mode={mode}")
    whole = batch(net)
    first = logits(net, whole)
    torch.testing.assert_close(logits(net, whole), first, rtol=0, atol=0)
    for keep in ([3], [5, 0, 2], [4, 3]):
        torch.testing.assert_close(logits(net, rows(whole, keep)), first[keep], rtol=1e-5, atol=1e-6)


def test_draws_differ_between_examples() -> None:
    """The same image and text with another seed give another draw: `eval_mode=sample` is not a fixed mask."""
    net = model("eval_mode=sample")
    b = rows(batch(net), [0])
    other = Batch(**(vars(b) | {"seeds": b.seeds + 1}))
    assert not torch.allclose(logits(net, b), logits(net, other))


def test_ensemble_approaches_the_mean_of_single_draws() -> None:
    net = model("eval_mode=ensemble", "ensemble_size=800")
    sampling = model("eval_mode=sample")
    b = batch(net, 3)
    draws = torch.stack(
        [logits(sampling, Batch(**(vars(b) | {"seeds": torch.randint(2**60, (3,))}))) for _ in range(800)]
    )
    torch.testing.assert_close(logits(net, b).exp(), draws.mean(0).softmax(-1), rtol=0.02, atol=0.005)


@pytest.mark.parametrize("mode", ["sample", "ensemble", "expectation"])
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_does_not_affect_the_output(mode: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any value in its place is ignored, NaN included, in evaluation and in training."""
    net = model(f"eval_mode={mode}", "dropout=0")
    b = batch(net, **{missing: torch.zeros(6, dtype=torch.bool)})
    clean = logits(net, b)
    assert clean.isfinite().all()
    if missing == "has_image":
        nan = torch.full((6, net.image_encoder.width), torch.nan)  # type: ignore[union-attr]
        dirty = Batch(**(vars(b) | {"images": None, "image_embeddings": nan}))
    else:
        monkeypatch.setattr(net.text_encoder, "pool", lambda _: torch.full((6, 16), torch.nan))
        dirty = b
    torch.testing.assert_close(logits(net, dirty), clean, rtol=0, atol=0)
    net.train()
    loss = F.cross_entropy(net(dirty).logits["t"], torch.zeros(6, dtype=torch.long))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("mode", ["sample", "ensemble"])
def test_with_one_modality_all_features_are_its_docking_output(mode: str) -> None:
    """Nothing is drawn: the output is the terminal layer on the docking output of the text."""
    net = model(f"eval_mode={mode}")
    b = batch(net, has_image=torch.zeros(6, dtype=torch.bool))
    with torch.no_grad():
        d = F.relu(net.docking[1](net.eval().text_encoder.pool(b)))  # type: ignore[union-attr]
        expected = net.terminal(d)["t"].log_softmax(-1)
    torch.testing.assert_close(logits(net, b), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["sample", "ensemble", "expectation"])
def test_without_inputs_it_predicts_the_class_prior(mode: str) -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    net = model(f"eval_mode={mode}")
    with torch.no_grad():
        out = net.eval()(batch(net, has_image=nothing, has_text=nothing)).logits
    torch.testing.assert_close(out["t"].softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
    torch.testing.assert_close(out["u"].softmax(-1)[0], torch.tensor([0.0, 1.0]), rtol=0, atol=1e-6)
    for probability in (0, 1):
        net = model(f"eval_mode={mode}", f"modality_dropout={probability}").train()
        trained = net(batch(net, has_image=nothing, has_text=nothing))
        torch.testing.assert_close(trained.logits["t"].softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
        assert not trained.modality_weights.any()


def test_modality_dropout_keeps_one_modality_per_sample() -> None:
    """Section 5.1: per batch with the given probability; either of two equally often; never a missing modality."""
    net = model("modality_dropout=1").train()
    torch.manual_seed(0)
    available = torch.ones(4000, 2, dtype=torch.bool)
    available[:100, 0] = False
    kept = net._drop_modalities(available)
    assert (kept.sum(1) == 1).all()
    assert not kept[:100, 0].any()
    assert kept[100:, 0].float().mean() == pytest.approx(0.5, abs=0.03)
    never = model("modality_dropout=0").train()
    assert torch.equal(never._drop_modalities(available), available)


def test_training_draws_a_modality_per_sample_and_feature() -> None:
    """A draw per sample instead of per feature is the usual mistake; a fixed draw would be a fixed mask."""
    changes = ["modality_dropout=0", "dropout=0", "width=256", "image_probability=0.25", "eval_mode=sample"]
    net = model(*changes).train()
    b = batch(net, has_image=torch.arange(6) != 0, has_text=torch.arange(6) != 1)
    docked: list[Tensor] = []
    fused: list[Tensor] = []
    for layer in net.docking:
        layer.register_forward_hook(lambda _, __, out: docked.append(F.relu(out)))
    net.terminal.register_forward_pre_hook(lambda _, inputs: fused.append(inputs[0]))
    weights = net(b).modality_weights
    net(b)
    assert len(fused) == 2
    torch.testing.assert_close(weights, torch.tensor([[0.0, 1], [1, 0], *[[0.25, 0.75]] * 4]))
    image, text = docked[:2]
    torch.testing.assert_close(fused[0][0], text[0])
    torch.testing.assert_close(fused[0][1], image[1])
    assert not torch.equal(fused[0], fused[1])
    for row in range(2, 6):
        told = image[row] != text[row]
        assert told.sum() > 50
        assert bool(((fused[0][row] == image[row]) | (fused[0][row] == text[row])).all())
        share = (fused[0][row] == image[row])[told].float().mean()
        assert share == pytest.approx(0.25, abs=0.2)


def test_modality_dropout_applies_to_some_batches_in_training_only() -> None:
    net = model("modality_dropout=0.3").train()
    torch.manual_seed(0)
    b = batch(net, 2)
    with torch.no_grad():
        weights = torch.stack([net(b).modality_weights for _ in range(300)])
    struck = (weights == 1).any(2)
    assert torch.equal(struck[:, 0], struck[:, 1])
    assert struck[:, 0].float().mean() == pytest.approx(0.3, abs=0.08)
    assert net.eval()(b).modality_weights.tolist() == [[0.5, 0.5]] * 2


def test_dropout_applies_before_the_docking_layers() -> None:
    net = model("dropout=0.75", "modality_dropout=0", "text_encoder=small-bert:1x32").train()
    net.text_encoder.eval()  # type: ignore[union-attr]
    seen: list[Tensor] = []
    for layer in net.docking:
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    b = batch(net, 64)
    torch.manual_seed(0)
    net(b)
    net.eval()(b)
    for trained, whole in zip(seen[:2], seen[2:], strict=True):
        there = whole != 0
        kept = trained[there] != 0
        assert kept.float().mean() == pytest.approx(0.25, abs=0.05)
        torch.testing.assert_close(trained[there][kept], 4 * whole[there][kept])


def test_every_parameter_gets_a_gradient() -> None:
    net = model("modality_dropout=0", "text_encoder=small-bert:1x32").train()
    torch.manual_seed(0)
    sum(x.logsumexp(-1).mean() - x[:, 0].mean() for x in net(batch(net)).logits.values()).backward()  # type: ignore[union-attr]
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_an_attribute_is_a_third_modality() -> None:
    """The published GLAMI model has three inputs; the data set's variant provides the third."""
    context = replace(CONTEXT, attributes={"label_source": ("admin", "unknown")})
    model = build(configure(EmbraceNetConfig, "embracenet", {}, SMALL), context).eval()
    assert [layer.in_features for layer in model.docking][2:] == [2]
    pixels = torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert model.text_encoder is not None
    ids, mask = model.text_encoder.tokenize(["a", "b", "c", "d"])
    present = torch.ones(4, dtype=torch.bool)

    def output(values: list[int]) -> Any:
        shown = {"label_source": torch.tensor(values)}
        rest = {"images": pixels, "text_ids": ids, "text_mask": mask, "attributes": shown}
        return model(Batch(present, present, ("en",) * 4, {}, torch.arange(4), **rest))

    both = output([0, 1, 0, 1])
    torch.testing.assert_close(both.modality_weights, torch.full((4, 3), 1 / 3))
    assert not torch.allclose(both.logits["t"], output([1, 0, 1, 0]).logits["t"])
    unseen = output([0, 1, 0, -1])
    torch.testing.assert_close(unseen.modality_weights[3], torch.tensor([0.5, 0.5, 0.0]))


def test_glami_preset_has_the_size_of_the_authors_model() -> None:
    """32.5 M learn: trunk 22.98, docking 9.44, terminal 0.10; images 298 x 228, not normalised; text 32 x 512."""
    from mmeval.api.spec import ModelSpec
    from mmeval_embracenet import GLAMI, register_models

    specs: list[ModelSpec] = []
    register_models(specs.append)
    assert specs[0].presets["paper"] == GLAMI
    classes = Task("category", tuple(f"c{number}" for number in range(191)))
    attributes = {"label_source": ("a", "b", "c", "d", "e")}
    context = ModelContext((classes,), {"category": (1,) * 191}, attributes=attributes)
    # The weights are not at hand: a trunk drawn at random, and a text encoder that is as wide as mT5-small's 512.
    changes = ["image_encoder=timm:resnext50_32x4d?weights=random", "text_tuning.frozen=false"]
    net = build(
        configure(EmbraceNetConfig, "embracenet", GLAMI, [*changes, "text_encoder=small-bert:1x512?length=32"]), context
    )
    counts = {
        name: sum(p.numel() for p in part.parameters()) / 1e6
        for name, part in (("trunk", net.image_encoder), ("docking", net.docking), ("terminal", net.terminal))
    }
    assert counts == pytest.approx({"trunk": 22.98, "docking": 9.44, "terminal": 0.10}, abs=0.005)
    assert [layer.in_features for layer in net.docking] == [2048, 16384, 5]  # type: ignore[union-attr]
    read = net.image_encoder.input  # type: ignore[union-attr]
    assert (read.height, read.width, read.mean, read.std, read.crop) == (298, 228, (0, 0, 0), (1, 1, 1), 0)


def test_glami_preset_has_the_recipe_of_the_authors() -> None:
    """Adam 1e-3, batches of 64, two epochs, no dropout, as the README says."""
    from mmeval_embracenet import GLAMI

    config = configure(EmbraceNetConfig, "embracenet", GLAMI)
    recipe = config.recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("adam", 1e-3, 64, 2)
    assert (recipe.schedule, recipe.warmup_ratio, recipe.weight_decay) == ("constant", 0.0, 0.0)
    assert (config.modality_dropout, config.dropout, recipe.modality_dropout) == (0.0, 0.0, 0.0)
    assert (config.eval_mode, config.image_tuning.frozen, config.text_tuning.frozen) == ("sample", False, True)


def test_flat_text_is_padded_with_zeros() -> None:
    """The features of a text have the same positions under any padding of the batch."""
    net = model("text_encoder=small-bert:1x32?length=12", "text_flat=true").eval()
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize(["ab", "abcdef", ""])
    b = batch(net, 3, text_ids=ids, text_mask=mask, has_text=torch.tensor([True, True, False]))
    with torch.no_grad():
        flat = net._text(net.text_encoder, b)
        states = net.text_encoder(b)
    assert flat.shape == (3, 12 * 32)
    lengths = states.mask.sum(1).tolist()
    assert len(set(lengths)) == 3
    for row, length in enumerate(lengths):
        torch.testing.assert_close(flat[row, : length * 32], states.tokens[row, :length].flatten())
        assert not flat[row, length * 32 :].any()
