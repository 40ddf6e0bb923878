"""The training loop of torch models, their loss, and their checkpoints.

:func:`fit` runs the epochs: train, validate, save the best checkpoint. :func:`train_epoch` runs the steps of an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from mmeval.api.recipe import Recipe
from mmeval.console import progress
from mmeval.data.batch import Batch
from mmeval.data.examples import Examples
from mmeval.data.labels import has_label
from mmeval.data.loader import batches, epoch_order
from mmeval.engine.collate import Collate
from mmeval.engine.optim import build_optimizer, build_scheduler, clip_each_gradient
from mmeval.engine.predict import check_logits, predict
from mmeval.errors import PluginError, UserError
from mmeval.files import atomic_path
from mmeval.metrics.multilabel import mean_language_map
from mmeval.metrics.per_example import mean_language_top1
from mmeval.nn.heads import classification_loss
from mmeval.nn.model import Output, TorchModel
from mmeval.nn.tuning import apply_frozen_epochs

CHECKPOINT = "best.safetensors"


def fit(
    model: TorchModel, train: Examples, validation: Examples, accelerator: Accelerator, seed: int, folder: Path
) -> dict[str, Any]:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    The best epoch has the highest validation score: top-1 accuracy of the first task, averaged over languages. If that
    is a multi-label task, it is the mean average precision, which needs no threshold. The test split plays no part.

    Returns:
        Facts for the record: epochs run, the best epoch, its validation score, examples per second, precision, and the
        history: training loss and validation score of each epoch.

    Raises:
        UserError: the loss is not finite, or a split has no labels of the first task.
    """
    _require_labels(model, train, validation)
    recipe = model.config.recipe
    torch.manual_seed(seed)
    collate_train = Collate(train, model, accelerator.device, labels=True)
    collate_validation = Collate(validation, model, accelerator.device, labels=False)
    steps = recipe.epochs * math.ceil(len(train) / (recipe.batch_size * recipe.gradient_accumulation_steps))
    model, optimizer = accelerator.prepare(model, build_optimizer(model, recipe))
    # torch's schedulers need the optimizer itself, not Accelerate's wrapper around it.
    scheduler = build_scheduler(optimizer.optimizer, recipe, steps)

    best_score, best_epoch, stale_epochs, examples_seen = -1.0, 0, 0, 0
    history: list[dict[str, float]] = []
    started = time.perf_counter()
    with progress(f"Training (seed {seed})", recipe.epochs * len(train), "examples") as advance:
        for epoch in range(1, recipe.epochs + 1):
            model.train()
            apply_frozen_epochs(model, epoch)
            total_loss, before = 0.0, examples_seen
            for size, loss in train_epoch(model, collate_train, accelerator, optimizer, scheduler, seed, epoch):
                examples_seen += size
                total_loss += size * loss
                rate = examples_seen / (time.perf_counter() - started)
                facts = {"loss": f"{loss:.3f}", "examples/s": f"{rate:,.0f}"}
                advance(size, **facts, **({"validation": f"{best_score:.3f}"} if best_score >= 0 else {}))

            score = validation_score(model, collate_validation, accelerator)
            mean_loss = total_loss / max(examples_seen - before, 1)
            history.append({"epoch": epoch, "loss": mean_loss, "validation": score})
            if score > best_score:
                best_score, best_epoch, stale_epochs = score, epoch, 0
                save_checkpoint(model, folder / CHECKPOINT)
            elif epoch - best_epoch >= recipe.patience:
                break
            else:
                stale_epochs += 1
                if recipe.plateau_patience and stale_epochs > recipe.plateau_patience:
                    scheduler.base_lrs, stale_epochs = [lr / 2 for lr in scheduler.base_lrs], 0
        seconds = time.perf_counter() - started
        advance(0, validation=f"{best_score:.3f}", **{"examples/s": f"{examples_seen / seconds:,.0f}"})

    # Training may have stopped while layers were still frozen for the first epochs; the caller gets them trainable.
    apply_frozen_epochs(model, recipe.epochs + 1)
    load_checkpoint(model, folder / CHECKPOINT)
    (folder / CHECKPOINT).unlink()
    return {
        "epochs": epoch,
        "best_epoch": best_epoch,
        "validation_map" if model.context.tasks[0].multilabel else "validation_top1": best_score,
        "train_examples": len(train),
        "examples_per_second": examples_seen / seconds,
        "precision": "bf16" if accelerator.mixed_precision == "bf16" else "fp32",
        "history": history,
    }


def train_epoch(
    model: TorchModel,
    collate: Collate,
    accelerator: Accelerator,
    optimizer: torch.optim.Optimizer,
    scheduler: LambdaLR,
    seed: int,
    epoch: int,
) -> Iterator[tuple[int, float]]:
    """Train one epoch, and yield the size and the loss of each batch.

    Gradients of ``gradient_accumulation_steps`` batches are averaged before the optimizer takes a step.
    """
    recipe = model.config.recipe
    order = epoch_order(len(collate.examples), seed, epoch)
    batch_count, group_size = math.ceil(len(order) / recipe.batch_size), recipe.gradient_accumulation_steps
    accumulated = backward_passes = 0  # since the last step of the optimizer, and in this epoch
    for index, collated in enumerate(batches(order, recipe.batch_size, collate)):
        batch = modality_dropout(collated, recipe.modality_dropout).to(accelerator.device)
        with accelerator.autocast():
            output = model(batch)
            check_logits(output, model.context.tasks, len(batch))
            loss = task_loss(output, batch.labels, recipe.label_smoothing)
        loss_value = loss.item()
        if not math.isfinite(loss_value):
            _raise_not_finite(loss_value, output, seed, epoch, first_step=epoch == 1 and backward_passes == 0)
        if loss.requires_grad:  # it does not where no example of the batch has a label
            # The last group of an epoch may have fewer batches.
            batches_in_group = min(group_size, batch_count - index // group_size * group_size)
            accelerator.backward(loss / batches_in_group)
            accumulated += 1
            backward_passes += 1
        if accumulated and ((index + 1) % group_size == 0 or index + 1 == batch_count):
            clip_gradients(model, accelerator, recipe)
            optimizer.step()
            scheduler.step()  # before zero_grad: a per-parameter schedule looks at the gradients
            optimizer.zero_grad()
            accumulated = 0
        yield len(batch), loss_value


def task_loss(output: Output, labels: Mapping[str, Tensor], smoothing: float) -> Tensor:
    """Return the sum over tasks of the mean loss of the labelled examples, plus the model's extra losses.

    The loss is the cross-entropy, and the binary cross-entropy for a multi-label task.

    Args:
        output: logits ``[B, classes]`` by task, and the extra losses.
        labels: by task as in :class:`Batch`; -1 marks an example without a label.
        smoothing: label smoothing of the cross-entropy.
    """
    total = sum(output.losses.values(), torch.zeros((), device=next(iter(output.logits.values())).device))
    for name, target in labels.items():
        loss = classification_loss(output.logits[name], target, smoothing)
        if loss is not None:
            total = total + loss
    return total


def modality_dropout(batch: Batch, probability: float) -> Batch:
    """Hide the image or the text of a random share of the examples that have both.

    This is modality dropout as in Neverova et al. 2016. Image and text are hidden equally often, never both.
    """
    if not probability:
        return batch
    draw = torch.rand(len(batch))
    both = batch.has_image & batch.has_text
    return replace(
        batch,
        has_image=batch.has_image & ~(both & (draw < probability / 2)),
        has_text=batch.has_text & ~(both & (draw > 1 - probability / 2)),
    )


def clip_gradients(model: TorchModel, accelerator: Accelerator, recipe: Recipe) -> None:
    """Scale gradients down to ``max_grad_norm``, all together or each parameter by itself; 0 means no clipping."""
    if recipe.max_grad_norm and recipe.grad_clip == "per-parameter":
        clip_each_gradient(model, recipe.max_grad_norm)
    elif recipe.max_grad_norm:
        accelerator.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)


def validation_score(model: TorchModel, collate: Collate, accelerator: Accelerator) -> float:
    """Return top-1 accuracy (multi-label: mean average precision) of the first task, averaged over languages."""
    task = model.context.tasks[0]
    blocks = [block[task.name] for block in predict(model, collate, accelerator, model.config.recipe.batch_size * 4)]
    metric = mean_language_map if task.multilabel else mean_language_top1
    return metric(collate.examples.labels(task.name), np.concatenate(blocks), collate.examples.languages)


def save_checkpoint(model: TorchModel, path: Path) -> None:
    """Write the model's ``learned_state`` to a safetensors file, atomically."""
    with atomic_path(path) as temporary:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in model.learned_state().items()}, str(temporary))


def load_checkpoint(model: TorchModel, path: Path) -> None:
    """Load a file of :func:`save_checkpoint` into ``model``.

    Raises:
        UserError: names or shapes in the file differ from those of this model.
    """
    state, own = load_file(str(path)), model.learned_state()
    wrong = sorted(k for k in {*state, *own} if k not in state or k not in own or state[k].shape != own[k].shape)
    if wrong:
        raise UserError(f"{path} holds the weights of another model: {', '.join(wrong[:3])} don't match.")
    model.load_state_dict(state, strict=False)


def _require_labels(model: TorchModel, *splits: Examples) -> None:
    task = model.context.tasks[0].name
    for examples in splits:
        if not has_label(examples.labels(task)).any():
            raise UserError(f'{examples.store.name}: no example of the split "{examples.split}" has a label of {task}.')


def _raise_not_finite(loss: float, output: Output, seed: int, epoch: int, *, first_step: bool) -> None:
    """Raise an error for a loss that is NaN or infinite.

    Before the first step no learning rate can be the cause: logits that are not finite are then the plugin's fault.
    """
    for name, logits in output.logits.items():
        if first_step and not bool(logits.isfinite().all()):
            raise PluginError(f"its logits of {name} hold NaN or infinity before the first step.")
    raise UserError(
        f"The loss became {loss} in epoch {epoch} (seed {seed}); "
        "try a lower --set recipe.learning_rate or --set recipe.max_grad_norm=1."
    )
