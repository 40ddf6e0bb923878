"""Late fusion: what it computes, what a missing modality may do, and that members learn as if they were alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, FitContext, ModelContext, Task, UserError
from mmeval.plugin.configure import configure
from mmeval_late_fusion import PLAIN, build
from mmeval_late_fusion.config import LateFusionConfig
from mmeval_late_fusion.logistic import Logistic
from mmeval_late_fusion.model import LONGEST, LateFusion, MemberLinear, Standard

CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u", ("x", "y"))), {"t": (1, 2, 7), "u": (0, 4)})
SMALL = [
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
    "text_encoder=char-ngrams:512x16",
    "text_tuning.frozen=false",
    "width=24",
    "members=3",
]
HEADS = ["head=linear fusion=concat", "head=mlp fusion=concat", "head=linear fusion=average", "head=mlp fusion=average"]


def model(changes: str = "") -> LateFusion:
    torch.manual_seed(0)
    made = build(configure(LateFusionConfig, "late-fusion", {}, [*SMALL, *changes.split()]), CONTEXT)
    assert isinstance(made, LateFusion)
    nn.init.normal_(made.text_encoder.vectors.weight)  # type: ignore[union-attr, arg-type]
    return made


def batch(net: LateFusion, size: int = 6, **changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize([f"wort {i}" for i in range(size)])
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


def probabilities(net: LateFusion, b: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        return {task: one.softmax(-1) for task, one in net.eval()(b).logits.items()}


def test_the_plain_preset_is_one_linear_layer_over_both_vectors() -> None:
    """The published baseline, nothing added: softmax(W [image; text] + b)."""
    changes = " ".join(f"{k}={PLAIN[k]}" for k in ("head", "members", "normalise", "modality_dropout"))
    net = model(changes)
    b = batch(net)
    with torch.no_grad():
        x = torch.cat([net.eval().image_encoder.pool(b), net.text_encoder.pool(b)], 1)  # type: ignore[union-attr]
    linear: Any = net.heads[0].layers[-1]  # type: ignore[union-attr, index]
    expected = x @ linear.weight[0] + linear.bias
    torch.testing.assert_close(probabilities(net, b)["t"], expected[:, :3].softmax(-1))
    torch.testing.assert_close(probabilities(net, b)["u"], expected[:, 3:].softmax(-1))
    assert sum(p.numel() for p in net.heads.parameters()) == (256 + 16) * 5 + 5


def test_members_are_separate_linear_layers() -> None:
    layer, x = MemberLinear(3, 5, 4), torch.randn(3, 7, 5)
    nn.init.normal_(layer.bias)
    for k, bias in enumerate(layer.bias.view(3, 4)):
        torch.testing.assert_close(layer(x)[k], F.linear(x[k], layer.weight[k].t(), bias))


def test_their_log_probabilities_are_averaged() -> None:
    """Of members, and of image and text where each has its own head."""
    for changes in ("head=mlp fusion=concat", "head=mlp fusion=average"):
        net = model(changes)
        b = batch(net)
        with torch.no_grad():
            shown = torch.ones(6, 2, dtype=torch.bool)
            votes, _ = net.eval()._votes(net._vectors(b, shown), shown)
        assert len(votes) == (3 if "concat" in changes else 6)
        expected = votes[:, :, :3].log_softmax(2).mean(0).softmax(-1)
        torch.testing.assert_close(probabilities(net, b)["t"], expected)


@pytest.mark.parametrize("head", HEADS)
def test_a_member_learns_as_if_it_were_alone(head: str) -> None:
    """Its gradient is that of its own cross-entropy, whatever the others say: else they would lean on each other."""
    net = model(f"{head} dropout=0 input_dropout=0 modality_dropout=0 recipe.label_smoothing=0.1")
    labels = {"t": torch.tensor([0, 1, 2, -1, 0, 1]), "u": torch.tensor([1, -1, 0, 1, 1, 0])}
    b = batch(net, labels=labels)
    output = net.train()(b)
    assert not any(one.requires_grad for one in output.logits.values())
    shown = torch.ones(6, 2, dtype=torch.bool)
    last: Any = net.heads[0].layers[-1]  # type: ignore[union-attr, index]
    (found,) = torch.autograd.grad(sum(output.losses.values()), last.weight)  # type: ignore[arg-type]
    votes, _ = net._votes(net._vectors(b, shown), shown)
    own = votes[1]
    loss = sum(
        F.cross_entropy(part, labels[task], ignore_index=-1, label_smoothing=0.1)
        for task, part in zip(("t", "u"), own.split([3, 2], 1), strict=True)
    )
    (expected,) = torch.autograd.grad(loss, last.weight)  # type: ignore[arg-type]
    scale = 1 if "concat" in head else 0.5  # averaged over image and text
    torch.testing.assert_close(found[1], scale * expected[1], rtol=1e-4, atol=1e-6)


def test_standard_features_have_mean_0_and_variance_1_over_all_that_was_met() -> None:
    """In batches as in one; rows that aren't there count for nothing; evaluation moves nothing."""
    torch.manual_seed(0)
    x, norm = torch.randn(500, 4) * torch.tensor([0.1, 1, 10, 0]) + 3, Standard(4)
    present = torch.rand(500) < 0.7
    x[~present] = 1e6
    for part in range(0, 500, 64):
        norm(x[part : part + 64], present[part : part + 64])
    met = x[present]
    torch.testing.assert_close(norm.mean, met.mean(0), rtol=1e-4, atol=1e-4)
    before = norm.mean.clone()
    y = norm.eval()(met, present[present])
    torch.testing.assert_close(norm.mean, before, rtol=0, atol=0)
    torch.testing.assert_close(y.std(0)[:3], torch.ones(3), rtol=0.05, atol=0.01)
    assert y.abs().max() <= 5
    assert y.isfinite().all()


def test_examples_without_a_modality_do_not_move_its_running_mean() -> None:
    """Nor do they count; zeros would draw every feature towards 0. A batch without any moves nothing."""
    net = model("modality_dropout=0")
    here = torch.tensor([True, False, True, True, False, True])
    b = batch(net, has_image=here)
    with torch.no_grad():
        pooled = net.image_encoder.pool(b)[here]  # type: ignore[union-attr]
    net.train()(b)
    norm: Any = net.norms[0]
    torch.testing.assert_close(norm.mean, pooled.mean(0), rtol=1e-4, atol=1e-5)
    assert (norm.count, net.norms[1].count) == (4, 6)
    before = norm.mean.clone()
    net(batch(net, has_image=torch.zeros(6, dtype=torch.bool)))
    torch.testing.assert_close(norm.mean, before, rtol=0, atol=0)
    assert not norm.mean.requires_grad


def test_the_running_mean_follows_an_encoder_that_still_learns() -> None:
    """After a million examples it forgets as many as it meets."""
    norm, rows = Standard(3).train(), torch.ones(1000, dtype=torch.bool)
    norm.count.fill_(LONGEST)
    for _ in range(5):
        norm(torch.ones(1000, 3), rows)
    assert norm.count == LONGEST
    torch.testing.assert_close(norm.mean, torch.full((3,), 1 - (1 - 1000 / LONGEST) ** 5))


@pytest.mark.parametrize("place", ["input", "hidden"])
def test_each_member_drops_other_features_in_training_alone(place: str) -> None:
    """Of the vectors and of the hidden units: members that drop alike would learn alike."""
    net = model("members=2 input_dropout=0.5 dropout=0.5 modality_dropout=0 from_finer=false")
    head: Any = net.heads[0]
    (before, hidden) = (one for one in head.layers if isinstance(one, nn.Dropout))
    assert (before.p, hidden.p) == (0.5, 0.5)
    (hidden if place == "input" else before).p = 0
    seen: list[Tensor] = []
    (before if place == "input" else hidden).register_forward_hook(lambda *told: seen.append(told[2] == 0))
    net.train()(batch(net))
    net.train()(batch(net))
    assert seen[0].shape[:2] == (2, 6)
    assert 0.4 < (seen[0] & ~seen[1]).float().mean() / (~seen[1]).float().mean() < 0.6
    assert not torch.equal(seen[0][0], seen[0][1])
    net.eval()
    torch.testing.assert_close(probabilities(net, batch(net))["t"], probabilities(net, batch(net))["t"], rtol=0, atol=0)


def test_a_head_does_not_learn_of_examples_without_its_modality() -> None:
    net = model("fusion=average modality_dropout=0 input_dropout=0 dropout=0")
    labels = {"t": torch.tensor([0, 1, 2, 0, 1, 2])}
    gone = torch.arange(6) < 3
    gradients = []
    for changed in ({"t": torch.tensor([0, 0, 0, 0, 1, 2])}, labels):
        net.zero_grad()
        sum(net.train()(batch(net, has_image=~gone, labels=changed)).losses.values()).backward()  # type: ignore[union-attr]
        gradients.append([torch.cat([p.grad.flatten() for p in head.parameters()]) for head in net.heads])
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert not torch.allclose(gradients[0][1], gradients[1][1], atol=1e-4)


def test_while_it_learns_each_task_answers_for_itself() -> None:
    """Else the coarser task would teach the finer one alone. What training met is not counted in evaluation."""
    nested = {"t": torch.tensor([0, 1, 2, 0, 1, 2]), "u": torch.tensor([0, 0, 1, 0, 0, 1])}
    net = model("members=1 modality_dropout=0 input_dropout=0 dropout=0")
    b = batch(net, labels=nested)
    net.train()(b)
    shown = torch.ones(6, 2, dtype=torch.bool)
    own = net._votes(net._vectors(b, shown), shown)[0][0].split([3, 2], 1)[1]
    torch.testing.assert_close(net(b).logits["u"], own)
    met = net.hierarchy.get_buffer("met_0").clone()  # type: ignore[union-attr]
    said = net.eval()(b).logits
    assert torch.equal(net.hierarchy.get_buffer("met_0"), met)  # type: ignore[union-attr]
    fine = said["t"].softmax(1)
    torch.testing.assert_close(said["u"].softmax(1), torch.stack([fine[:, :2].sum(1), fine[:, 2]], 1))


def test_members_start_as_linear_layers_do_and_biases_do_not_decay() -> None:
    """Within one over the root of the inputs; the engine spares vectors from weight decay."""
    layer = MemberLinear(3, 400, 5)
    assert layer.bias.ndim == 1
    assert layer.weight.abs().max() <= 1 / 20
    assert layer.weight.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_a_missing_modality_never_leaks(head: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where it should be, NaN included, moves nothing; nor does it in training."""
    net = model(head)
    absent = torch.arange(6) % 2 == 0
    b = batch(net, **{missing: ~absent}, labels={"t": torch.zeros(6, dtype=torch.long)})
    net.train()(batch(net))  # statistics that aren't those of the start
    clean = probabilities(net, b)["t"]
    encoder: Any = net.image_encoder if missing == "has_image" else net.text_encoder
    pooled = encoder.pool(b).detach()
    monkeypatch.setattr(encoder, "pool", lambda _: torch.where(absent[:, None], torch.nan, pooled))
    torch.testing.assert_close(probabilities(net, b)["t"], clean, rtol=0, atol=0)
    output = net.train()(b)
    loss = sum(output.losses.values())
    loss.backward()  # type: ignore[union-attr]
    assert torch.isfinite(loss)  # type: ignore[arg-type]
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.heads.parameters())
    assert all(one.isfinite().all() for one in net.state_dict().values())


@pytest.mark.parametrize("head", HEADS)
def test_with_nothing_at_all_it_predicts_the_training_prior(head: str) -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    net = model(head)
    out = probabilities(net, batch(net, has_image=nothing, has_text=nothing, images=None))
    torch.testing.assert_close(out["t"][0], torch.tensor([0.1, 0.2, 0.7]))


def test_with_one_modality_only_its_own_head_votes() -> None:
    net = model("fusion=average")
    b = batch(net, has_image=torch.zeros(6, dtype=torch.bool))
    with torch.no_grad():
        shown = torch.stack([b.has_image, b.has_text], 1)
        expected = net.eval().heads[1](net._vectors(b, shown)[1]).log_softmax(-1)[:, :, :3]
    torch.testing.assert_close(probabilities(net, b)["t"], expected.log_softmax(-1).mean(0).softmax(-1))


def test_modality_dropout_hides_one_of_two_and_never_the_last() -> None:
    net = model("modality_dropout=1").train()
    torch.manual_seed(0)
    shown = torch.ones(4000, 2, dtype=torch.bool)
    shown[:100, 0] = False
    kept = net._drop_modalities(shown)
    assert (kept.sum(1) == 1).all()
    assert kept[:100, 1].all()
    assert kept[100:, 0].float().mean() == pytest.approx(0.5, abs=0.03)


def test_in_training_an_example_is_shown_by_one_modality_as_if_the_other_were_missing() -> None:
    net = model("modality_dropout=1 input_dropout=0 dropout=0 normalise=layer from_finer=false")
    none, b = torch.zeros(6, dtype=torch.bool), batch(net)
    image, text = (probabilities(net, batch(net, **{missing: none}))["t"] for missing in ("has_text", "has_image"))
    torch.manual_seed(0)
    shown = net.train()(b).logits["t"].softmax(1)
    by_image, by_text = (torch.isclose(shown, one, rtol=1e-4, atol=1e-5).all(1) for one in (image, text))
    assert (by_image ^ by_text).all()
    assert by_image.any()
    assert by_text.any()


def test_the_logistic_head_refuses_an_encoder_that_is_to_learn() -> None:
    config = configure(LateFusionConfig, "late-fusion", {}, ["head=logistic", "text_tuning.frozen=false"])
    with pytest.raises(UserError, match=r"takes what encoders say as it is: --set text_tuning\.frozen=true"):
        build(config, CONTEXT)


class Told:
    """Examples whose vectors are given."""

    def __init__(self, image: Any, text: Any, labels: Any) -> None:
        self.vectors, self.own = [image.astype(np.float32), text.astype(np.float32)], labels
        self.image_rows = np.where(np.isnan(image[:, 0]), -1, 0)
        self.texts = ["" if row else "x" for row in np.isnan(text[:, 0])]

    def __len__(self) -> int:
        return len(self.texts)

    def labels(self, task: str) -> Any:
        return self.own[task]


@pytest.mark.parametrize("fusion", ["concat", "average"])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_the_logistic_head_is_scikit_learns(
    fusion: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one, two or three classes that training has; saved and loaded it says the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    monkeypatch.setattr(Logistic, "_embedded", lambda self, told, device: [np.nan_to_num(x) for x in told.vectors])
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(90, 4)) * 3 + 1, rng.normal(size=(90, 3))
    labels = {"t": np.arange(90) % classes, "u": np.where(np.arange(90) % 5, np.arange(90) % 2, -1)}
    config = configure(LateFusionConfig, "late-fusion", {}, ["head=logistic", f"fusion={fusion}", "c=0.5"])
    made, context = build(config, CONTEXT), FitContext(0, "cpu", tmp_path)
    assert isinstance(made, Logistic)
    told: Any = Told(image, text, labels)
    made.fit(told, told, context)
    (found,) = made.predict(told, context)
    if classes > 1:
        logs = []
        for x in [np.concatenate([image, text], 1)] if fusion == "concat" else [image, text]:
            x = StandardScaler().fit_transform(x)
            logs.append(LogisticRegression(C=0.5, max_iter=200).fit(x, labels["t"]).predict_log_proba(x))
        expected = np.exp(np.mean(logs, 0))
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(found["t"][:, :classes], expected, atol=2e-3)
    assert found["t"][:, classes:].max(initial=0) < 1e-6
    made.save(tmp_path)
    again = build(config, CONTEXT)
    assert isinstance(again, Logistic)
    again.load(tmp_path)
    (second,) = again.predict(told, context)
    np.testing.assert_array_equal(second["t"], found["t"])
    image[0], text[0], image[1] = np.nan, np.nan, np.nan
    (blank,) = again.predict(Told(image, text, labels), context)  # type: ignore[arg-type]
    np.testing.assert_allclose(blank["t"][0], [0.1, 0.2, 0.7], rtol=1e-6)
    assert np.isfinite(blank["t"]).all()
    with pytest.raises(UserError, match="holds no model with the head logistic"):
        again.load(tmp_path / "elsewhere")


@pytest.mark.parametrize("fusion", ["concat", "average"])
def test_the_logistic_head_learns_of_what_is_shown(
    fusion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means and deviations are of the examples that have the modality, and so is what a voter learns."""
    monkeypatch.setattr(Logistic, "_embedded", lambda self, told, device: [np.nan_to_num(x) for x in told.vectors])
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(90, 4)) * 3 + 5, rng.normal(size=(90, 3))
    image[:, 3] = 2  # a feature that never changes
    image[1] = 1000  # one that is far off: it is cut off at five deviations
    image[::3] = np.nan
    config = configure(LateFusionConfig, "late-fusion", {}, ["head=logistic", f"fusion={fusion}", "c=0.5"])

    def fitted(labels: Any) -> Logistic:
        made = build(config, CONTEXT)
        assert isinstance(made, Logistic)
        told: Any = Told(image, text, {"t": labels, "u": labels % 2})
        made.fit(told, told, FitContext(0, "cpu", tmp_path))
        return made

    labels = np.arange(90) // 7 % 3
    arrays = fitted(labels).arrays
    shown = image[~np.isnan(image[:, 0])]
    np.testing.assert_allclose(arrays["0.mean"], shown.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["0.deviation"][:3], shown.std(0)[:3], rtol=1e-5)
    assert arrays["0.deviation"][3] == pytest.approx(shown.std(0)[3])
    assert all(np.isfinite(one).all() for one in arrays.values())
    other = labels.copy()
    other[::3] = (other[::3] + 1) % 3
    moved = not np.allclose(fitted(other).arrays["0.0.weight"], arrays["0.0.weight"], atol=1e-4)
    assert moved == (fusion == "concat")
    (x, _), *_ = fitted(labels)._voters([np.nan_to_num(image), text], np.ones((90, 2), bool))
    assert np.abs(x).max() <= 5


def test_a_feature_that_never_changes_is_no_division_by_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Logistic, "_embedded", lambda self, told, device: told.vectors)
    made = build(configure(LateFusionConfig, "late-fusion", {}, ["head=logistic"]), CONTEXT)
    assert isinstance(made, Logistic)
    rng = np.random.default_rng(0)
    told: Any = Told(np.full((20, 2), 3.0), rng.normal(size=(20, 2)), {"t": np.arange(20) % 3, "u": np.arange(20) % 2})
    made.fit(told, told, FitContext(0, "cpu", tmp_path))
    (found,) = made.predict(told, FitContext(0, "cpu", tmp_path))
    assert np.isfinite(found["t"]).all()


def test_plain_concatenation_has_one_linear_layer_of_its_own() -> None:
    """What reaches 93.7 on Food-101 is ViT and BERT under a linear layer, with nothing hidden between them."""
    context = replace(CONTEXT, tasks=(Task("food", tuple(map(str, range(101)))),), class_counts={"food": (1,) * 101})
    net = build(configure(LateFusionConfig, "late-fusion", {}, [*SMALL, "head=linear", "members=1"]), context)
    assert isinstance(net, LateFusion)
    assert sum(p.numel() for p in net.heads.parameters()) == (256 + 16) * 101 + 101
