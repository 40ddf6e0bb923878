"""Rules about learning: that there is some, for every task and every parameter."""

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
from mmeval.testing.check import rule
from mmeval.testing.outcome import Broken, NotApplicable
from mmeval.testing.subject import Probabilities, Subject

EIGHT, STEPS, ENOUGH, NEEDED = 8, 100, 0.5, 0.9
"""Examples; steps at most; share of the first loss at which to stop, and which must be reached."""
GRADIENT_STEPS = 4
BF16_TOLERANCE = 0.1


@rule(
    "loss-falls",
    "the loss falls on eight examples",
    "the model doesn't learn at all: its score would be that of a guess",
)
def loss_falls(subject: Subject) -> None:
    """A torch model takes up to a hundred steps; a plain one is fitted and must beat the untaught guess."""
    built = subject.build()
    if isinstance(built, TrainableModel) and not isinstance(built, TorchRunner):
        _plain_loss_falls(subject)
        return
    if not isinstance(built, TorchRunner):
        raise NotApplicable("a model that isn't trained")
    model, losses = subject.torch_model(), []
    for loss in _steps(subject, model, _eight(subject), STEPS):
        losses.append(loss)
        if loss < ENOUGH * losses[0]:
            return
    last = float(np.mean(losses[-5:]))
    if not last <= NEEDED * losses[0]:
        raise Broken(f"after {STEPS} steps on {EIGHT} examples the loss is {last:.3f}, it began at {losses[0]:.3f}")


@rule(
    "multi-task",
    "the model has an output for each task it is given, be it one or several, whatever they are called",
    "a data set with another number of tasks, or with a dot in a column's name, couldn't be used",
)
def multi_task(subject: Subject) -> None:
    """Build and ask it for the first task alone; the other checks use two, one of them with a dot in its name."""
    (task,) = subject.context(1).tasks
    model = subject.build(tasks=1)
    with contextlib.suppress(NotApplicable):
        subject.fit(model, subject.examples("train"), subject.examples("validation"))
    with attributed(subject.spec, "while it predicted"):
        found = next(iter(model.predict(subject.test, subject.fit_context("predict"))))
    if set(found) != {task.name}:
        raise Broken(f"built for the task {task.name} alone it predicts {', '.join(found) or 'none'}")
    subject.predict(model, subject.test, (task,))


@rule(
    "gradients",
    "the gradient reaches every parameter that is to be trained",
    "a part of the model would stay as it was drawn, and nobody would notice",
)
def gradients(subject: Subject) -> None:
    """Take a few steps: what starts at zero may get its gradient from the second one on."""
    model = subject.torch_model()
    missing = {name for name, p in model.named_parameters() if p.requires_grad}
    for _ in _steps(subject, model, subject.examples("train"), GRADIENT_STEPS):
        missing -= {n for n, p in model.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
        if not missing:
            return
    raise Broken(
        f"no gradient in {GRADIENT_STEPS} steps for {', '.join(sorted(missing))}; use it, or set requires_grad=False"
    )


@rule(
    "bf16",
    "under bf16 autocast, which is what a GPU trains in, loss and gradients are finite and predictions hardly move",
    "on a GPU the model would train to NaN, or fail in the first step",
)
def bf16(subject: Subject) -> None:
    """The same model in float32 and under autocast, then one step."""
    model, batch = subject.torch_model().eval(), _batch(subject, subject.test, labels=False)
    with attributed(subject.spec, "under bf16 autocast"):
        with torch.inference_mode():
            plain = _probabilities(subject, model(batch), len(batch))
            with torch.autocast(subject.device.type, torch.bfloat16):
                half = _probabilities(subject, model(batch), len(batch))
        for task, values in plain.items():
            moved = float(np.max(np.abs(half[task] - values)))
            if not moved <= BF16_TOLERANCE:
                raise Broken(f"probabilities of {task} move by {moved:.2g} under bf16 autocast")
        model.train()
        train = _batch(subject, subject.examples("train"), labels=True)
        with torch.autocast(subject.device.type, torch.bfloat16):
            loss = task_loss(model(train), train.labels, 0.0)
        if not loss.requires_grad:
            return  # it has no parameter to train
        loss.backward()  # type: ignore[no-untyped-call]
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
    if bad or not bool(loss.isfinite()):
        raise Broken(f"under bf16 autocast the {'gradient of ' + bad[0] if bad else 'loss'} is not finite")


def step_of(subject: Subject) -> Callable[[], object]:
    """A training step on eight examples, as often as it is called.

    Raises:
        NotApplicable: it is no torch model, or has no parameter to train.
    """
    steps = _steps(subject, subject.torch_model(), _eight(subject), STEPS)
    return lambda: next(steps)


def _eight(subject: Subject) -> Examples:
    train = subject.examples("train")
    rows = np.linspace(0, len(train) - 1, EIGHT).astype(np.int64)
    return Examples.of_table(subject.store, train.table.take(rows), "train", train.inputs)


def _plain_loss_falls(subject: Subject) -> None:
    eight, model = _eight(subject), subject.build()
    subject.fit(model, eight, eight)
    found = subject.predict(model, eight)
    for task in subject.store.tasks:
        labels = eight.labels(task.name)
        known = labels >= 0
        own = found[task.name][known, labels[known]]
        loss, guess = float(-np.log(np.clip(own, 1e-12, 1)).mean()), float(np.log(len(task.classes)))
        if not loss < NEEDED * guess:
            raise Broken(
                f"fitted to {EIGHT} examples, its loss of {task.name} on them is {loss:.3f}, a guess's {guess:.3f}"
            )


def _steps(subject: Subject, model: TorchModel, examples: Examples, count: int) -> Iterator[float]:
    """Steps of the recipe's optimiser at its peak learning rate; yields each loss, gradients still in place."""
    recipe = subject.torch_config.recipe
    torch.manual_seed(0)
    model.train()
    optim, batch = build_optimizer(model, recipe), _batch(subject, examples, labels=True)
    for _ in range(count):
        with attributed(subject.spec, "while it was trained"):
            optim.zero_grad()
            output = model(batch)
            check_logits(output, subject.store.tasks, len(batch))
            loss = task_loss(output, batch.labels, 0.0)
            if not loss.requires_grad:
                raise NotApplicable("it has no parameter to train")
            loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if not np.isfinite(value):
            raise Broken(f"the loss became {value}")
        yield value
        optim.step()


def _batch(subject: Subject, examples: Examples, *, labels: bool) -> Batch:
    model = subject.torch_model()
    return Collate(examples, model, subject.device, labels=labels)(np.arange(len(examples))).to(subject.device)


def _probabilities(subject: Subject, output: object, size: int) -> Probabilities:
    logits = check_logits(output, subject.store.tasks, size)
    return {task.name: logits[task.name].float().softmax(-1).cpu().numpy() for task in subject.store.tasks}
