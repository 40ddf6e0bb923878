"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from mmeval.console import progress
from mmeval.data.batch import Batch
from mmeval.data.examples import Examples
from mmeval.data.loader import batches, epoch_order
from mmeval.engine.collate import Collate
from mmeval.engine.optim import clip_each, optimizer, schedule
from mmeval.engine.predict import logits_of, predict
from mmeval.errors import PluginError, UserError
from mmeval.files import atomic_path
from mmeval.metrics.per_example import mean_language_top1
from mmeval.nn.model import Output, TorchModel
from mmeval.nn.tuning import hold

CHECKPOINT = "best.safetensors"


def fit(
    model: TorchModel, train: Examples, validation: Examples, accelerator: Accelerator, seed: int, folder: Path
) -> dict[str, Any]:
    """Train ``model`` in place; it ends with the weights that were best on ``validation``.

    Best means: top-1 of the first task, averaged over languages. The test split is never seen here.

    Returns:
        Facts for the record: epochs run, the best one, its validation score, examples per second.

    Raises:
        UserError: the loss is not finite, or a split has no labels.
    """
    task = model.context.tasks[0].name
    for examples in (train, validation):
        if not (examples.labels(task) >= 0).any():
            raise UserError(f'{examples.store.name}: no example of the split "{examples.split}" has a label of {task}.')
    recipe, device = model.config.recipe, accelerator.device
    torch.manual_seed(seed)
    learn = Collate(train, model, device, labels=True)
    check = Collate(validation, model, device, labels=False)
    steps = recipe.epochs * -(-len(train) // (recipe.batch_size * recipe.gradient_accumulation_steps))
    model, optim = accelerator.prepare(model, optimizer(model, recipe))
    rate = schedule(optim.optimizer, recipe, steps)
    started, trained, best, best_epoch, stale = time.perf_counter(), 0, -1.0, 0, 0
    with progress(f"Training (seed {seed})", recipe.epochs * len(train), "examples") as advance:
        for epoch in range(1, recipe.epochs + 1):
            model.train()
            hold(model, epoch)
            for size, loss in _steps(model, learn, accelerator, optim, rate, seed, epoch):
                trained += size
                facts = {"loss": f"{loss:.3f}", "examples/s": f"{trained / (time.perf_counter() - started):,.0f}"}
                advance(size, **facts, **({"validation": f"{best:.3f}"} if best >= 0 else {}))
            score = _validate(model, check, accelerator)
            if score > best:
                best, best_epoch, stale = score, epoch, 0
                save_checkpoint(model, folder / CHECKPOINT)
            elif epoch - best_epoch >= recipe.patience:
                break
            else:
                stale += 1
                if recipe.plateau_patience and stale > recipe.plateau_patience:
                    rate.base_lrs, stale = [lr / 2 for lr in rate.base_lrs], 0
        seconds = time.perf_counter() - started
        advance(0, validation=f"{best:.3f}", **{"examples/s": f"{trained / seconds:,.0f}"})
    hold(model, recipe.epochs + 1)
    load_checkpoint(model, folder / CHECKPOINT)
    (folder / CHECKPOINT).unlink()
    return {
        "epochs": epoch,
        "best_epoch": best_epoch,
        "validation_top1": best,
        "train_examples": len(train),
        "examples_per_second": trained / seconds,
        "precision": "bf16" if accelerator.mixed_precision == "bf16" else "fp32",
    }


def task_loss(output: Output, labels: Mapping[str, Tensor], smoothing: float) -> Tensor:
    """Sum over tasks of the mean cross-entropy of the examples that have a label, plus the model's own losses."""
    total = sum(output.losses.values(), torch.zeros((), device=next(iter(output.logits.values())).device))
    for name, target in labels.items():
        if (target >= 0).any():
            total = total + F.cross_entropy(
                output.logits[name].float(), target, ignore_index=-1, label_smoothing=smoothing
            )
    return total


def one_modality(batch: Batch, probability: float) -> Batch:
    """Hide image or text of some of the examples that have both (modality dropout as of Neverova et al. 2016)."""
    if not probability:
        return batch
    draw = torch.rand(len(batch))
    both = batch.has_image & batch.has_text
    return replace(
        batch,
        has_image=batch.has_image & ~(both & (draw < probability / 2)),
        has_text=batch.has_text & ~(both & (draw > 1 - probability / 2)),
    )


def load_checkpoint(model: TorchModel, path: Path) -> None:
    """Load what ``learned_state`` saved.

    Raises:
        UserError: names or shapes are not those of this model.
    """
    state, own = load_file(str(path)), model.learned_state()
    wrong = sorted(k for k in {*state, *own} if k not in state or k not in own or state[k].shape != own[k].shape)
    if wrong:
        raise UserError(f"{path} holds the weights of another model: {', '.join(wrong[:3])} don't match.")
    model.load_state_dict(state, strict=False)


def save_checkpoint(model: TorchModel, path: Path) -> None:
    """Save ``learned_state`` atomically."""
    with atomic_path(path) as temporary:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in model.learned_state().items()}, str(temporary))


def _steps(
    model: TorchModel,
    collate: Collate,
    accelerator: Accelerator,
    optim: torch.optim.Optimizer,
    rate: LambdaLR,
    seed: int,
    epoch: int,
) -> Iterator[tuple[int, float]]:
    """One epoch; yields batch size and loss of each step."""
    recipe = model.config.recipe
    order, taken = epoch_order(len(collate.examples), seed, epoch), 0
    steps_per_update = recipe.gradient_accumulation_steps
    parts, pending = -(-len(order) // recipe.batch_size), 0
    for part, made in enumerate(batches(order, recipe.batch_size, collate)):
        # The last group of an epoch may be smaller.
        group = min(steps_per_update, parts - part // steps_per_update * steps_per_update)
        batch = one_modality(made, recipe.modality_dropout).to(accelerator.device)
        with accelerator.autocast():
            output = model(batch)
            logits_of(output, model.context.tasks, len(batch))
            loss = task_loss(output, batch.labels, recipe.label_smoothing)
        value = loss.item()
        if not np.isfinite(value):
            _check_finite(output.logits, epoch, taken)
            raise UserError(
                f"The loss became {value} in epoch {epoch} (seed {seed}); "
                "try a lower --set recipe.learning_rate or --set recipe.max_grad_norm=1."
            )
        if loss.requires_grad:  # else no example of the batch has a label
            accelerator.backward(loss / group)
            pending += 1
            taken += 1
        if pending and ((part + 1) % steps_per_update == 0 or part + 1 == parts):
            if recipe.max_grad_norm and recipe.grad_clip == "per-parameter":
                clip_each(model, recipe.max_grad_norm)
            elif recipe.max_grad_norm:
                accelerator.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            optim.step()
            rate.step()
            optim.zero_grad()
            pending = 0
        yield len(batch), value


def _check_finite(logits: Mapping[str, Tensor], epoch: int, taken: int) -> None:
    """Before the first step was taken, what isn't finite is the model's own doing and not that of the learning rate."""
    for name, values in logits.items():
        if epoch == 1 and taken == 0 and not bool(values.isfinite().all()):
            raise PluginError(f"its logits of {name} hold NaN or infinity before the first step.")


def _validate(model: TorchModel, collate: Collate, accelerator: Accelerator) -> float:
    task = model.context.tasks[0].name
    blocks = [block[task] for block in predict(model, collate, accelerator, model.config.recipe.batch_size * 4)]
    return mean_language_top1(collate.examples.labels(task), np.concatenate(blocks), collate.examples.languages)
