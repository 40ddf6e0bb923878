"""A recipe's options do what they say: accumulation, schedules, learning rates of encoders, layers held at first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmeval import Examples, ModelContext, Recipe, Tuning
from mmeval.data.store import Store
from mmeval.engine.optim import optimizer, schedule
from mmeval.engine.runner import TorchRunner
from mmeval.nn import bert
from mmeval.plugin.config import configure
from mmeval.plugin.model import FitContext
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
    "recipe.warmup=0",
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
            for how in (["recipe.batch_size=72"], ["recipe.batch_size=18", "recipe.accumulate=4"])
        )
        for (name, one), other in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_a_linear_schedule_ends_at_zero() -> None:
    optim = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rate = schedule(optim, Recipe(schedule="linear", warmup=0.2), 10)
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
