"""Checks of training: the loss falls, every task is learnt, and every parameter gets a gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch

from mmeval.data.batch import Batch
from mmeval.data.examples import Examples
from mmeval.engine.collate import Collate
from mmeval.engine.fit import task_loss
from mmeval.engine.model import TrainableModel
from mmeval.engine.optim import build_optimizer
from mmeval.engine.predict import check_logits
from mmeval.engine.runner import TorchRunner
from mmeval.nn.model import TorchModel
from mmeval.runs.attribution import attributed
from mmeval.testing.check import CheckFailed, NotApplicable, contract_check
from mmeval.testing.plugin_under_test import PluginUnderTest, Probabilities

EXAMPLES = 8
STEPS = 100
STOP_RATIO, PASS_RATIO = 0.5, 0.9
"""Training stops once the loss is below the first of these shares of the initial loss, and must reach the second."""
GRADIENT_STEPS = 4
BF16_TOLERANCE = 0.1


@contract_check(
    "loss-falls",
    "the training loss falls on eight examples",
    "the model would not learn, and would score like a random guess",
)
def loss_falls(plugin: PluginUnderTest) -> None:
    """Train a torch model for up to 100 steps; fit a plain model, whose loss must be below that of a uniform guess."""
    untrained = plugin.build()
    if isinstance(untrained, TrainableModel) and not isinstance(untrained, TorchRunner):
        _plain_loss_falls(plugin)
        return
    if not isinstance(untrained, TorchRunner):
        raise NotApplicable("a model without training")
    model, losses = plugin.torch_model(), []
    for loss in _steps(plugin, model, _few_examples(plugin), STEPS):
        losses.append(loss)
        if loss < STOP_RATIO * losses[0]:
            return
    last = float(np.mean(losses[-5:]))
    if not last <= PASS_RATIO * losses[0]:
        raise CheckFailed(
            f"after {STEPS} steps on {EXAMPLES} examples the loss is {last:.3f}; it was {losses[0]:.3f} before"
        )


@contract_check(
    "multi-task",
    "the model has an output for each of its tasks, for any number of tasks and any task names",
    "the model couldn't be used with another number of tasks, or with a dot in a task's name",
)
def multi_task(plugin: PluginUnderTest) -> None:
    """Build, train and predict with the first task alone; other checks use two tasks, one with a dot in its name."""
    (task,) = plugin.context(1).tasks
    model = plugin.build(tasks=1)
    with contextlib.suppress(NotApplicable):
        plugin.fit(model, plugin.examples("train"), plugin.examples("validation"))
    with attributed(plugin.spec, "while it predicted"):
        block = next(iter(model.predict(plugin.test_split, plugin.fit_context("predict"))))
    if set(block) != {task.name}:
        raise CheckFailed(f"built for the task {task.name} alone, the model predicts {', '.join(block) or 'none'}")
    plugin.predict(model, plugin.test_split, (task,))


@contract_check(
    "gradients",
    "every trainable parameter gets a gradient",
    "a part of the model would keep its initial values unnoticed",
)
def gradients(plugin: PluginUnderTest) -> None:
    """Take a few steps: parameters behind a zero-initialised one get a gradient from the second step on."""
    model = plugin.torch_model()
    missing = {name for name, p in model.named_parameters() if p.requires_grad}
    for _ in _steps(plugin, model, plugin.examples("train"), GRADIENT_STEPS):
        missing -= {n for n, p in model.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
        if not missing:
            return
    raise CheckFailed(
        f"no gradient in {GRADIENT_STEPS} steps for {', '.join(sorted(missing))}; use it, or set requires_grad=False"
    )


@contract_check(
    "bf16",
    "under bf16 autocast, as on a GPU, loss and gradients are finite and predictions hardly change",
    "on a GPU training would end in NaN or fail in the first step",
)
def bf16(plugin: PluginUnderTest) -> None:
    """Compare predictions in float32 and under autocast, then take one training step under autocast."""
    model, batch = plugin.torch_model().eval(), _batch(plugin, plugin.test_split, labels=False)
    with attributed(plugin.spec, "under bf16 autocast"):
        with torch.inference_mode():
            full = _probabilities(plugin, model(batch), len(batch))
            with torch.autocast(plugin.device.type, torch.bfloat16):
                half = _probabilities(plugin, model(batch), len(batch))
        for task, values in full.items():
            change = float(np.max(np.abs(half[task] - values)))
            if not change <= BF16_TOLERANCE:
                raise CheckFailed(f"probabilities of {task} change by {change:.2g} under bf16 autocast")
        model.train()
        train = _batch(plugin, plugin.examples("train"), labels=True)
        with torch.autocast(plugin.device.type, torch.bfloat16):
            loss = task_loss(model(train), train.labels, 0.0)
        if not loss.requires_grad:
            return  # the model has no trainable parameter
        loss.backward()  # type: ignore[no-untyped-call]
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
    if bad or not bool(loss.isfinite()):
        raise CheckFailed(f"under bf16 autocast the {'gradient of ' + bad[0] if bad else 'loss'} is not finite")


def training_step(plugin: PluginUnderTest) -> Callable[[], object]:
    """Return a function that takes a training step on eight examples each time it is called.

    Raises:
        NotApplicable: the plugin has no torch model, or no trainable parameter.
    """
    steps = _steps(plugin, plugin.torch_model(), _few_examples(plugin), STEPS)
    return lambda: next(steps)


def _few_examples(plugin: PluginUnderTest) -> Examples:
    train = plugin.examples("train")
    rows = np.linspace(0, len(train) - 1, EXAMPLES).astype(np.int64)
    return Examples.of_table(plugin.store, train.table.take(rows), "train", train.inputs)


def _plain_loss_falls(plugin: PluginUnderTest) -> None:
    examples, model = _few_examples(plugin), plugin.build()
    plugin.fit(model, examples, examples)
    probabilities = plugin.predict(model, examples)
    for task in plugin.store.tasks:
        labels = examples.labels(task.name)
        known = labels >= 0
        of_true_class = probabilities[task.name][known, labels[known]]
        loss, uniform = float(-np.log(np.clip(of_true_class, 1e-12, 1)).mean()), float(np.log(len(task.classes)))
        if not loss < PASS_RATIO * uniform:
            raise CheckFailed(
                f"after fitting {EXAMPLES} examples, the loss of {task.name} is {loss:.3f}; "
                f"uniform probabilities give {uniform:.3f}"
            )


def _steps(plugin: PluginUnderTest, model: TorchModel, examples: Examples, count: int) -> Iterator[float]:
    """Train with the recipe's optimizer at its peak learning rate; yield each loss while the gradients are in place."""
    recipe = plugin.torch_config.recipe
    torch.manual_seed(0)
    model.train()
    optim, batch = build_optimizer(model, recipe), _batch(plugin, examples, labels=True)
    for _ in range(count):
        with attributed(plugin.spec, "while it was trained"):
            optim.zero_grad()
            output = model(batch)
            check_logits(output, plugin.store.tasks, len(batch))
            loss = task_loss(output, batch.labels, 0.0)
            if not loss.requires_grad:
                raise NotApplicable("the model has no trainable parameter")
            loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if not np.isfinite(value):
            raise CheckFailed(f"the loss became {value}")
        yield value
        optim.step()


def _batch(plugin: PluginUnderTest, examples: Examples, *, labels: bool) -> Batch:
    model = plugin.torch_model()
    return Collate(examples, model, plugin.device, labels=labels)(np.arange(len(examples))).to(plugin.device)


def _probabilities(plugin: PluginUnderTest, output: object, size: int) -> Probabilities:
    logits = check_logits(output, plugin.store.tasks, size)
    return {task.name: logits[task.name].float().softmax(-1).cpu().numpy() for task in plugin.store.tasks}
