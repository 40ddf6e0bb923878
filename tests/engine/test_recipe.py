"""A recipe's options do what they say: accumulation, schedules, learning rates of encoders, layers held at first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmeval import Examples, ModelContext, Recipe, Tuning
from mmeval.data.store import Store
from mmeval.engine.model import FitContext
from mmeval.engine.optim import clip_each, optimizer, schedule
from mmeval.engine.runner import TorchRunner
from mmeval.nn import bert
from mmeval.plugin.configure import configure
from mmeval_embracenet import build
from mmeval_embracenet.config import EmbraceNetConfig

SMALL = [
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
    "text_encoder=char-ngrams:512x16",
    "width=16",
    "dropout=0",
    "modality_dropout=0",
    "recipe.epochs=1",
    "recipe.warmup_ratio=0",
    "recipe.schedule=constant",
]


def trained(store: Store, context: ModelContext, folder: Path, *changes: str) -> TorchRunner:
    torch.manual_seed(0)
    model = TorchRunner(build(configure(EmbraceNetConfig, "embracenet", {}, [*SMALL, *changes]), context))
    model.fit(Examples(store, "train"), Examples(store, "validation"), FitContext(0, "cpu", folder))
    return model


def test_accumulated_batches_are_one_batch(
    store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MMBT's recipe is 40 batches of 4: its gradient must be that of 160, and be taken once."""
    # The draw of EmbraceNet is per batch; without it the two are the same computation.
    monkeypatch.setattr(torch, "multinomial", lambda p, n, _: torch.arange(n).remainder(2).expand(len(p), n))
    for optim in ("adam", "adamw"):
        whole, parts = (
            trained(store, context, tmp_path, f"recipe.optimizer={optim}", "recipe.learning_rate=0.001", *how)
            for how in (["recipe.batch_size=72"], ["recipe.batch_size=18", "recipe.gradient_accumulation_steps=4"])
        )
        for (name, one), other in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_a_linear_schedule_ends_at_zero() -> None:
    optim = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rate = schedule(optim, Recipe(schedule="linear", warmup_ratio=0.2), 10)
    seen = []
    for _ in range(10):
        seen.append(rate.get_last_lr()[0])
        optim.step()
        rate.step()
    np.testing.assert_allclose(seen[:2], [1 / 3, 2 / 3])
    np.testing.assert_allclose(seen[2:], [1 - k / 8 for k in range(8)])
    assert rate.get_last_lr()[0] == 0


def test_the_learning_rate_is_halved_on_a_plateau(
    store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After more than the given number of epochs without a better score, and only then."""
    import mmeval.engine.fit as module

    scores, seen = iter([0.5, 0.4, 0.4, 0.4, 0.6, 0.1]), []
    original = module.schedule

    def watched(*arguments: object) -> object:
        made = original(*arguments)  # type: ignore[arg-type]
        seen.append(made)
        return made

    rates = []

    def validate(*_: object) -> float:
        rates.append(seen[0].get_last_lr()[0])
        return next(scores)

    monkeypatch.setattr(module, "schedule", watched)
    monkeypatch.setattr(module, "_validate", validate)
    options = ["recipe.epochs=6", "recipe.plateau_patience=2", "recipe.learning_rate=0.01"]
    trained(store, context, tmp_path, *options, "recipe.patience=9")
    np.testing.assert_allclose(rates, [0.01] * 4 + [0.005] * 2)


def test_an_encoders_layers_learn_at_their_own_rates() -> None:
    """Layer-wise decay: the top at the encoder's rate, each block below at a factor of it; what is outside at 1."""
    model = torch.nn.Module()
    model.encoder = bert("small-bert:2x32", Tuning(rate=0.1, layer_decay=0.5))
    model.head = torch.nn.Linear(32, 2)
    groups = optimizer(model, Recipe(learning_rate=1.0, weight_decay=0.3)).param_groups
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    layers = model.encoder.model.encoder.layer
    expected = {model.encoder.embeddings: 0.0125, layers[0]: 0.025, layers[1]: 0.05, model.head: 1.0}
    for part, rate in expected.items():
        assert {round(rate_of[id(p)], 8) for p in part.parameters()} == {rate}
    decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {(p.ndim > 1, decay_of[id(p)]) for p in model.parameters()} == {(True, 0.3), (False, 0.0)}


def test_modality_dropout_hides_one_of_two_and_never_the_only_one() -> None:
    """A model that may lean on either learns both; an example that has one modality alone keeps it."""
    from mmeval import Batch
    from mmeval.engine.fit import one_modality

    torch.manual_seed(0)
    size = 4000
    has_text = torch.arange(size) % 4 != 0
    batch = Batch(
        torch.ones(size, dtype=torch.bool), has_text, ("de",) * size, {}, torch.zeros(size, dtype=torch.int64)
    )
    assert one_modality(batch, 0.0) is batch
    seen = one_modality(batch, 0.5)
    assert (seen.has_image | seen.has_text).all()
    assert seen.has_image[~has_text].all()
    both = has_text.nonzero().flatten()
    assert (~seen.has_image[both]).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (~seen.has_text[both]).float().mean().item() == pytest.approx(0.25, abs=0.03)


def bert_adam(
    start: NDArray[Any], gradients: list[NDArray[Any] | None], steps: int, recipe: Recipe
) -> list[NDArray[Any]]:
    """One parameter tensor under BertAdam: its value after each step; None where it has no gradient."""
    p, m, v, taken, seen = start.copy(), 0.0, 0.0, 0, []
    warm = int(recipe.warmup_ratio * steps)
    for g in gradients:
        if g is not None:
            g = g * min(1.0, recipe.max_grad_norm / np.sqrt((g**2).sum()))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            factor = (taken + 1) / (warm + 1) if taken < warm else (steps - taken) / (steps - warm)
            decay = recipe.weight_decay * p if p.ndim > 1 else 0.0
            p = p - recipe.learning_rate * factor * (m / (np.sqrt(v) + recipe.epsilon) + decay)
            taken += 1
        seen.append(p)
    return seen


def test_bertadam_is_that_of_a_computation_by_hand() -> None:
    """Clipping, step count and moments are each tensor's own; a tensor without a gradient stays and counts nothing."""
    recipe = Recipe(
        optimizer="bertadam",
        epsilon=1e-3,
        max_grad_norm=1.0,
        grad_clip="per-parameter",
        schedule_steps="per-parameter",
        schedule="linear",
        warmup_ratio=0.3,
        learning_rate=0.1,
        weight_decay=0.1,
    )
    rng, steps = np.random.default_rng(0), 10
    model = torch.nn.Linear(3, 2).double()
    model.extra = torch.nn.Parameter(torch.ones(4, 1, dtype=torch.float64))
    gradients: dict[str, list[NDArray[Any] | None]] = {
        # Long ones, which are clipped; short ones, where epsilon counts; and one that is released after four steps.
        "weight": [5 * rng.normal(size=(2, 3)) for _ in range(steps)],
        "bias": [1e-3 * rng.normal(size=2) for _ in range(steps)],
        "extra": [None] * 4 + [rng.normal(size=(4, 1)) for _ in range(steps - 4)],
    }
    params = dict(model.named_parameters())
    expected = {n: bert_adam(p.detach().numpy(), gradients[n], steps, recipe) for n, p in params.items()}
    optim = optimizer(model, recipe)
    rate = schedule(optim, recipe, steps)
    for step in range(steps):
        for name, p in params.items():
            gradient = gradients[name][step]
            p.grad = None if gradient is None else torch.from_numpy(gradient)
        clip_each(model, recipe.max_grad_norm)
        optim.step()
        rate.step()
        for name, p in params.items():
            np.testing.assert_allclose(p.detach().numpy(), expected[name][step], atol=1e-6, err_msg=f"{name}, {step}")


@pytest.mark.parametrize("kind", ["adam", "adamw", "bertadam"])
def test_epsilon_reaches_every_optimizer(kind: str) -> None:
    """A default that stays is what no score would show."""
    for epsilon in (1e-8, 1e-6):
        made = optimizer(torch.nn.Linear(2, 2), Recipe.model_validate({"optimizer": kind, "epsilon": epsilon}))
        assert {group["eps"] for group in made.param_groups} == {epsilon}


def watched_steps(monkeypatch: pytest.MonkeyPatch, look: Callable[[torch.optim.Optimizer], Any]) -> list[Any]:
    """What ``look`` sees at each step of a training that follows."""
    import mmeval.engine.fit as module

    original, seen = module.optimizer, []

    def made(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optim = original(model, recipe)
        optim.register_step_pre_hook(lambda *_: seen.append(look(optim)))
        return optim

    monkeypatch.setattr(module, "optimizer", made)
    return seen


@pytest.mark.parametrize("how", ["global", "per-parameter"])
def test_clip_norm_bounds_all_gradients_together_or_each(
    how: str, store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = watched_steps(
        monkeypatch,
        lambda optim: [float(p.grad.norm()) for g in optim.param_groups for p in g["params"] if p.grad is not None],
    )
    trained(store, context, tmp_path, "recipe.max_grad_norm=0.001", f"recipe.grad_clip={how}", "recipe.batch_size=36")
    assert norms
    for step in norms:
        if how == "global":
            assert np.sqrt(np.square(step).sum()) == pytest.approx(0.001, rel=1e-3)
        else:
            assert max(step) == pytest.approx(0.001, rel=1e-3)
            assert sum(norm > 0.0009 for norm in step) > 5


@pytest.mark.parametrize("how", ["global", "per-parameter"])
def test_what_is_released_later_begins_its_own_warm_up_if_so_asked(
    how: str, store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in BertAdam, where MMBT's trunk is at its first step after five epochs of the others."""

    names = {(32, 3, 3, 3): "image", (16, 16): "text"}  # the first layer of small-cnn, the docking of the text

    def rates_of(optim: torch.optim.Optimizer) -> dict[str, float]:
        pairs = [(tuple(p.shape), group["lr"]) for group in optim.param_groups for p in group["params"]]
        return {names[shape]: rate for shape, rate in pairs if shape in names}

    seen = watched_steps(monkeypatch, rates_of)
    options = ["recipe.epochs=2", "recipe.warmup_ratio=0.75", "recipe.batch_size=36", "recipe.learning_rate=0.04"]
    trained(store, context, tmp_path, *options, "image_tuning.frozen_epochs=1", f"recipe.schedule_steps={how}")
    assert [step["text"] for step in seen] == pytest.approx([0.01, 0.02, 0.03, 0.04])
    released = [step["image"] for step in seen[2:]]
    assert released == pytest.approx([0.03, 0.04] if how == "global" else [0.01, 0.02])


def test_layers_that_were_held_can_learn_again_after_training(
    store: Store, context: ModelContext, tmp_path: Path
) -> None:
    """Who goes on with the model would otherwise train a part of it without noticing."""
    encoder = trained(store, context, tmp_path, "image_tuning.frozen_epochs=1").model.image_encoder
    assert encoder is not None
    assert all(p.requires_grad for p in encoder.parameters())
