"""Options of a recipe: accumulation, schedules, clipping, learning rates of encoders, frozen first epochs."""

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
from mmeval.engine.optim import build_optimizer, build_scheduler, clip_each_gradient
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


def test_accumulated_batches_equal_one_large_batch(
    store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MMBT's recipe accumulates 40 batches of 4: one step with the gradient of 160 examples."""
    # EmbraceNet draws per batch; without the draw both are the same computation.
    monkeypatch.setattr(torch, "multinomial", lambda p, n, _: torch.arange(n).remainder(2).expand(len(p), n))
    for name_of_optimizer in ("adam", "adamw"):
        whole, accumulated = (
            trained(
                store,
                context,
                tmp_path,
                f"recipe.optimizer={name_of_optimizer}",
                "recipe.learning_rate=0.001",
                *options,
            )
            for options in (["recipe.batch_size=72"], ["recipe.batch_size=18", "recipe.gradient_accumulation_steps=4"])
        )
        for (name, p), other in zip(whole.model.named_parameters(), accumulated.model.parameters(), strict=True):
            torch.testing.assert_close(p, other, rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_linear_schedule_ends_at_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build_scheduler(optimizer, Recipe(schedule="linear", warmup_ratio=0.2), 10)
    seen = []
    for _ in range(10):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(seen[:2], [1 / 3, 2 / 3])
    np.testing.assert_allclose(seen[2:], [1 - k / 8 for k in range(8)])
    assert scheduler.get_last_lr()[0] == 0


def test_learning_rate_is_halved_on_a_plateau(
    store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halved after more than ``plateau_patience`` epochs without a better score, and not before."""
    import mmeval.engine.fit as module

    scores, seen = iter([0.5, 0.4, 0.4, 0.4, 0.6, 0.1]), []
    original = module.build_scheduler

    def watched(*arguments: object) -> object:
        scheduler = original(*arguments)  # type: ignore[arg-type]
        seen.append(scheduler)
        return scheduler

    rates = []

    def validate(*_: object) -> float:
        rates.append(seen[0].get_last_lr()[0])
        return next(scores)

    monkeypatch.setattr(module, "build_scheduler", watched)
    monkeypatch.setattr(module, "validation_score", validate)
    options = ["recipe.epochs=6", "recipe.plateau_patience=2", "recipe.learning_rate=0.01"]
    trained(store, context, tmp_path, *options, "recipe.patience=9")
    np.testing.assert_allclose(rates, [0.01] * 4 + [0.005] * 2)


def test_encoder_layers_have_their_own_learning_rates() -> None:
    """Layer-wise decay: the top has the encoder's rate, each block below a factor of it, other modules have 1."""
    model = torch.nn.Module()
    model.encoder = bert("small-bert:2x32", Tuning(lr_multiplier=0.1, layer_decay=0.5))
    model.head = torch.nn.Linear(32, 2)
    groups = build_optimizer(model, Recipe(learning_rate=1.0, weight_decay=0.3)).param_groups
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    layers = model.encoder.model.encoder.layer
    expected = {model.encoder.embeddings: 0.0125, layers[0]: 0.025, layers[1]: 0.05, model.head: 1.0}
    for part, rate in expected.items():
        assert {round(rate_of[id(p)], 8) for p in part.parameters()} == {rate}
    decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {(p.ndim > 1, decay_of[id(p)]) for p in model.parameters()} == {(True, 0.3), (False, 0.0)}


def test_modality_dropout_never_hides_the_only_modality() -> None:
    """Image and text of an example are hidden equally often; an example with one modality keeps it."""
    from mmeval import Batch
    from mmeval.engine.fit import modality_dropout

    torch.manual_seed(0)
    size = 4000
    has_text = torch.arange(size) % 4 != 0
    batch = Batch(
        torch.ones(size, dtype=torch.bool), has_text, ("de",) * size, {}, torch.zeros(size, dtype=torch.int64)
    )
    assert modality_dropout(batch, 0.0) is batch
    seen = modality_dropout(batch, 0.5)
    assert (seen.has_image | seen.has_text).all()
    assert seen.has_image[~has_text].all()
    both = has_text.nonzero().flatten()
    assert (~seen.has_image[both]).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (~seen.has_text[both]).float().mean().item() == pytest.approx(0.25, abs=0.03)


def bert_adam(
    start: NDArray[Any], gradients: list[NDArray[Any] | None], steps: int, recipe: Recipe
) -> list[NDArray[Any]]:
    """Return a parameter tensor after each step of BertAdam; a gradient of None means that it has none."""
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


def test_bertadam_equals_a_numpy_computation() -> None:
    """Clipping, step count and moments are per tensor; a tensor without a gradient neither moves nor counts a step."""
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
        # Long gradients are clipped, short ones show epsilon, and one tensor has none in the first four steps.
        "weight": [5 * rng.normal(size=(2, 3)) for _ in range(steps)],
        "bias": [1e-3 * rng.normal(size=2) for _ in range(steps)],
        "extra": [None] * 4 + [rng.normal(size=(4, 1)) for _ in range(steps - 4)],
    }
    params = dict(model.named_parameters())
    expected = {n: bert_adam(p.detach().numpy(), gradients[n], steps, recipe) for n, p in params.items()}
    optimizer = build_optimizer(model, recipe)
    scheduler = build_scheduler(optimizer, recipe, steps)
    for step in range(steps):
        for name, p in params.items():
            gradient = gradients[name][step]
            p.grad = None if gradient is None else torch.from_numpy(gradient)
        clip_each_gradient(model, recipe.max_grad_norm)
        optimizer.step()
        scheduler.step()
        for name, p in params.items():
            np.testing.assert_allclose(p.detach().numpy(), expected[name][step], atol=1e-6, err_msg=f"{name}, {step}")


@pytest.mark.parametrize("kind", ["adam", "adamw", "bertadam"])
def test_epsilon_reaches_every_optimizer(kind: str) -> None:
    """An ignored epsilon would show in no score."""
    for epsilon in (1e-8, 1e-6):
        recipe = Recipe.model_validate({"optimizer": kind, "epsilon": epsilon})
        optimizer = build_optimizer(torch.nn.Linear(2, 2), recipe)
        assert {group["eps"] for group in optimizer.param_groups} == {epsilon}


def watched_steps(monkeypatch: pytest.MonkeyPatch, look: Callable[[torch.optim.Optimizer], Any]) -> list[Any]:
    """Return a list that collects ``look(optimizer)`` before each step of the next training."""
    import mmeval.engine.fit as module

    original, seen = module.build_optimizer, []

    def build(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = original(model, recipe)
        optimizer.register_step_pre_hook(lambda *_: seen.append(look(optimizer)))
        return optimizer

    monkeypatch.setattr(module, "build_optimizer", build)
    return seen


@pytest.mark.parametrize("scope", ["global", "per-parameter"])
def test_max_grad_norm_limits_the_global_or_each_norm(
    scope: str, store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = watched_steps(
        monkeypatch,
        lambda optimizer: [
            float(p.grad.norm()) for g in optimizer.param_groups for p in g["params"] if p.grad is not None
        ],
    )
    trained(store, context, tmp_path, "recipe.max_grad_norm=0.001", f"recipe.grad_clip={scope}", "recipe.batch_size=36")
    assert norms
    for step in norms:
        if scope == "global":
            assert np.sqrt(np.square(step).sum()) == pytest.approx(0.001, rel=1e-3)
        else:
            assert max(step) == pytest.approx(0.001, rel=1e-3)
            assert sum(norm > 0.0009 for norm in step) > 5


@pytest.mark.parametrize("scope", ["global", "per-parameter"])
def test_layers_unfrozen_later_warm_up_by_their_own_steps(
    scope: str, store: Store, context: ModelContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in BertAdam: MMBT's trunk takes its first step after five epochs of the other layers."""

    names = {(32, 3, 3, 3): "image", (16, 16): "text"}  # the first layer of small-cnn, the docking of the text

    def rates_of(optimizer: torch.optim.Optimizer) -> dict[str, float]:
        pairs = [(tuple(p.shape), group["lr"]) for group in optimizer.param_groups for p in group["params"]]
        return {names[shape]: rate for shape, rate in pairs if shape in names}

    seen = watched_steps(monkeypatch, rates_of)
    options = ["recipe.epochs=2", "recipe.warmup_ratio=0.75", "recipe.batch_size=36", "recipe.learning_rate=0.04"]
    trained(store, context, tmp_path, *options, "image_tuning.frozen_epochs=1", f"recipe.schedule_steps={scope}")
    assert [step["text"] for step in seen] == pytest.approx([0.01, 0.02, 0.03, 0.04])
    unfrozen = [step["image"] for step in seen[2:]]
    assert unfrozen == pytest.approx([0.03, 0.04] if scope == "global" else [0.01, 0.02])


def test_layers_frozen_at_first_are_trainable_after_training(
    store: Store, context: ModelContext, tmp_path: Path
) -> None:
    """Otherwise further training of the model would silently skip a part of it."""
    encoder = trained(store, context, tmp_path, "image_tuning.frozen_epochs=1").model.image_encoder
    assert encoder is not None
    assert all(p.requires_grad for p in encoder.parameters())
