"""A preset at its published sizes on a machine that lacks its weights: the same architecture with random ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmeval.api.config import Config, ModelConfig
from mmeval.api.spec import ModelSpec
from mmeval.data.examples import Examples
from mmeval.data.request import DatasetRequest
from mmeval.engine.collate import Collate
from mmeval.engine.fit import task_loss
from mmeval.engine.model import Model, TrainableModel
from mmeval.engine.optim import build_optimizer
from mmeval.engine.predict import check_logits
from mmeval.engine.runner import TorchRunner, as_model
from mmeval.errors import MissingWeightsError, UserError
from mmeval.home import VARIABLE
from mmeval.nn.build import image_encoder, text_encoder
from mmeval.nn.build import random_weights as renamed
from mmeval.nn.encoders.weights import offline
from mmeval.nn.model import TorchModel
from mmeval.plugin.configure import configure
from mmeval.runs.attribution import attributed
from mmeval.runs.request import Request, configured
from mmeval.testing.outcome import Broken
from mmeval.testing.subject import Subject

C = TypeVar("C", bound=Config)
LARGEST, MOST_WORK = 180_000_000, 100_000_000_000
"""Parameters, and floating-point operations to encode an image, up to which an ordinary check takes a training step:
AdamW needs 16 bytes for each parameter, so 2.9 GB; a ViT-B/16 takes 35e9 operations."""
SHOWN, STEPS = 2, 3
"""Examples in that step; steps at most: behind a zero, as in timm's residual blocks, the first gradient is zero too."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Trial:
    """How a preset fared."""

    preset: str
    parameters: int
    """All of them, frozen or not. Of a model that holds none of its own, those of the encoders that it names."""
    work: int
    """Floating-point operations to encode one image, of a torch model with random weights."""
    random: bool
    """Whether its weights were drawn, for want of the published ones."""
    ran: bool
    """Whether it ran; else it was only built, on the meta device."""
    loss: float | None
    """Of the training step; None where none was taken, as there is nothing to train."""

    def __str__(self) -> str:
        """``base (371.1 M parameters)``."""
        work = f", {self.work / 1e9:.0f} GFLOP an image" if self.work > MOST_WORK else ""
        return f"{self.preset} ({self.parameters / 1e6:.1f} M parameters{work})"


def random_weights(spec: ModelSpec, preset: str | None = None, changes: Sequence[str] = ()) -> ModelConfig:
    """The config of a preset in which every encoder has the published sizes and random weights.

    ::

        spec = Manager().model("embracenet")
        config = mmeval.testing.random_weights(spec, "paper", ["recipe.batch_size=256"])
        config.text_encoder  # hf:google/mt5-small?length=32&weights=random

    Nothing is downloaded, neither here nor when a model is built of it. Each option that names an encoder with
    published weights gets ``?weights=random`` (``mmeval.nn.random_weights``), whatever the option is called.

    Args:
        spec: the plugin's, as ``mmeval.plugin.manager.Manager().model(name)`` gives it.
        preset: one of its presets, by default its default.
        changes: ``"recipe.epochs=1"``, as ``--set`` takes them, made before.

    Raises:
        UserError: no such preset or option.
    """
    _, config = configured(
        spec, Request(plugin=spec.name, dataset=DatasetRequest(""), preset=preset, changes=tuple(changes))
    )
    return _drawn(config)


def try_preset(plugin: str, preset: str, changes: Sequence[str] = (), *, bounded: bool = False) -> Trial:
    """Build a preset at its full size, with random weights if the published ones aren't here, and train it one step.

    The step is the recipe's optimiser at its peak learning rate, in float32 on the CPU, on two examples of the
    contract's data; it takes 16 bytes a parameter. A model that needs no training predicts the two.

    Args:
        plugin: its name, or the path of a Python file.
        preset: one of its presets.
        changes: ``"trunk_tuning.checkpointing=true"``, as ``--set`` takes them.
        bounded: only build, on the meta device and so without memory, what has more than 180 million parameters or
            needs more than 100 GFLOP to encode an image.

    Raises:
        Broken: loss or a gradient is not finite, a parameter that is to be trained gets none, or no parameter changes.
        UserError: the plugin can't be loaded, has no such preset or option, or fails.
        MissingExtraError: a package is not installed.
    """
    subject = Subject(plugin, preset, changes)
    config = configure(subject.spec.config, subject.spec.name, subject.spec.presets[preset], changes)
    trial = tried(subject, preset, config, bounded=bounded)
    return trial if trial.random else _run(subject, trial, config)


def tried(subject: Subject, preset: str, config: ModelConfig, *, bounded: bool) -> Trial:
    """The same of one plugin under examination; a preset whose weights are on this machine is only built.

    Nothing is downloaded: what the Hub's cache lacks is not here.
    """
    with attributed(subject.spec, f"when its preset {preset} was built"), offline(), torch.random.fork_rng(devices=[]):
        try:
            model = as_model(subject.spec.build(config, subject.context()))
        except MissingWeightsError:
            config = _drawn(config)
            parameters, work = counted(subject, config)
            trial = Trial(preset, parameters, work, random=True, ran=False, loss=None)
        else:
            parameters = _own(model.model) if isinstance(model, TorchRunner) else sum(_named(config))
            return Trial(preset, parameters, 0, random=False, ran=False, loss=None)
    if bounded and (parameters > LARGEST or work > MOST_WORK):
        return trial
    return _run(subject, trial, config)


def _run(subject: Subject, trial: Trial, config: ModelConfig) -> Trial:
    with _own_cache(subject.folder), offline(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with attributed(subject.spec, f"when its preset {trial.preset} was built"):
            model = as_model(subject.spec.build(config, subject.context()))
        return replace(trial, ran=True, loss=_exercised(subject, trial.preset, model))


def _exercised(subject: Subject, preset: str, model: Model) -> float | None:
    train = subject.examples("train")
    rows = np.flatnonzero(np.all([train.labels(task.name) >= 0 for task in subject.store.tasks], axis=0))[:SHOWN]
    two = Examples.of_table(subject.store, train.table.take(rows), "train", train.inputs)
    try:
        with attributed(subject.spec, f"when its preset {preset} was trained"):
            if isinstance(model, TorchRunner):
                return _step(subject, preset, model.model, two)
            if not isinstance(model, TrainableModel):
                subject.predict(model, two)
    except (Broken, UserError):
        raise
    except Exception as error:  # of a library that it calls: the preset would be left unsaid
        raise Broken(f"its preset {preset} can't be trained: {type(error).__name__}: {_line(error)}") from error
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _step(subject: Subject, preset: str, model: TorchModel, examples: Examples) -> float | None:
    """The loss of the first step; more steps are taken only while a parameter has had no gradient.

    Not every parameter need move in a step: behind a hundred layers of random weights, an update may be too small for
    float32.
    """
    batch = Collate(examples, model, CPU, labels=True)(np.arange(len(examples)))
    optim = build_optimizer(model.train(), model.config.recipe)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    first, unreached, losses = _norms(learning), set(learning), list[float]()
    while (unreached or not losses) and len(losses) < STEPS:
        optim.zero_grad()
        output = model(batch)
        check_logits(output, subject.store.tasks, len(batch))
        loss = task_loss(output, batch.labels, 0.0)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise Broken(f"in step {len(losses)} of its preset {preset} the loss is {losses[-1]}")
        if not learning:
            return None
        loss.backward()  # type: ignore[no-untyped-call]
        sizes = _norms({name: p.grad for name, p in learning.items() if p.grad is not None})
        if bad := [name for name, size in sizes.items() if not np.isfinite(size)]:
            raise Broken(f"in step {len(losses)} of its preset {preset} the gradient of {bad[0]} is not finite")
        unreached -= {name for name, size in sizes.items() if size}
        optim.step()
    if unreached:
        raise Broken(f"no gradient in {STEPS} steps of its preset {preset} for {', '.join(sorted(unreached)[:5])}")
    last = _norms(learning)
    if bad := [name for name, size in last.items() if not np.isfinite(size)]:
        raise Broken(f"a training step of its preset {preset} leaves NaN or infinity in {bad[0]}")
    if last == first:
        raise Broken(f"a training step of its preset {preset} changes no parameter")
    return losses[0]


def _norms(tensors: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Euclidean norms, which need no memory beside the tensors, to see whether one is zero, finite or changed."""
    return {name: float(torch.linalg.vector_norm(x.detach(), dtype=torch.float64)) for name, x in tensors.items()}


def counted(subject: Subject, config: ModelConfig) -> tuple[int, int]:
    """Parameters of the model of ``config``, none of which gets memory, and operations to encode an image.

    A model that isn't torch's, or reads its encoders' numbers when it is built, counts as the encoders it names.
    """
    with offline():
        try:
            with torch.device("meta"):
                model = as_model(subject.spec.build(config, subject.context()))
                if isinstance(model, TorchRunner):
                    return _own(model.model), _work(model.model)
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error):
                raise
        return sum(_named(config)), 0


def _work(model: TorchModel) -> int:
    """Floating-point operations to encode one image; a patch that is cut out of it is one of its own."""
    encoder = model.image_encoder
    if encoder is None:
        return 0
    with FlopCounterMode(display=False) as counter:
        encoder.eval().encode(torch.zeros(1, 3, encoder.input.height, encoder.input.width, dtype=torch.uint8))
    return int(counter.get_total_flops())


def _own(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _named(config: Config) -> Iterator[int]:
    """Parameters of each encoder that a config names with published weights."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _named(value)
        elif isinstance(value, str) and "weights=random" in renamed(value):
            with torch.device("meta"):
                make = image_encoder if "image" in name else text_encoder
                yield _own(make(renamed(value)))


def _drawn(config: C) -> C:
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    for name, value in fields.items():
        if isinstance(value, Config):
            fields[name] = _drawn(value)
        elif isinstance(value, str):
            fields[name] = renamed(value)
    return type(config).model_validate(fields)


@contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """Keep embeddings of weights that never come back out of the user's cache."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder / "home")
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
