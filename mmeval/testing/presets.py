"""Presets at their published sizes with random weights, for a machine that lacks the published ones."""

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
from mmeval.nn.build import random_weights as with_random_weights
from mmeval.nn.encoders.weights import offline
from mmeval.nn.model import TorchModel
from mmeval.plugin.configure import configure
from mmeval.runs.attribution import attributed
from mmeval.runs.request import Request, configured
from mmeval.testing.check import CheckFailed
from mmeval.testing.plugin_under_test import PluginUnderTest

C = TypeVar("C", bound=Config)
MAX_PARAMETERS, MAX_FLOPS = 180_000_000, 100_000_000_000
"""Largest size for which a check takes a training step: parameters (AdamW needs 16 bytes each, so 2.9 GB), and
floating-point operations to encode an image (a ViT-B/16 needs 35e9)."""
EXAMPLES, STEPS = 2, 3
"""Examples per step, and the largest number of steps: behind a zero-initialised parameter, as in the residual blocks of
timm, the first gradient is zero too."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class PresetResult:
    """The result of building, and possibly training, a preset."""

    preset: str
    parameters: int
    """Number of parameters, frozen ones included; for a model without parameters, those of the encoders it names."""
    flops: int
    """Floating-point operations to encode one image, for a torch model with random weights; else 0."""
    random_weights: bool
    """Whether the weights are random because the published ones are not on this machine."""
    ran: bool
    """Whether the model was trained, or predicted if it has no training; otherwise it was only built."""
    loss: float | None
    """Loss of the training step; None without a training step."""

    def __str__(self) -> str:
        """``base (371.1 M parameters)``."""
        flops = f", {self.flops / 1e9:.0f} GFLOP an image" if self.flops > MAX_FLOPS else ""
        return f"{self.preset} ({self.parameters / 1e6:.1f} M parameters{flops})"


def random_weights(spec: ModelSpec, preset: str | None = None, changes: Sequence[str] = ()) -> ModelConfig:
    """Return the config of a preset in which every encoder has its published size and random weights.

    ::

        spec = Manager().model("embracenet")
        config = mmeval.testing.random_weights(spec, "paper", ["recipe.batch_size=256"])
        config.text_encoder  # hf:google/mt5-small?length=32&weights=random

    Nothing is downloaded, neither here nor when the model is built. Each option that names an encoder with published
    weights gets ``?weights=random`` (``mmeval.nn.random_weights``), whatever the option's name.

    Args:
        spec: the plugin's spec, from ``mmeval.plugin.manager.Manager().model(name)``.
        preset: name of the preset, by default the plugin's default preset.
        changes: option changes in the form of ``--set``, such as ``"recipe.epochs=1"``, applied first.

    Raises:
        UserError: there is no such preset or option.
    """
    _, config = configured(
        spec, Request(plugin=spec.name, dataset=DatasetRequest(""), preset=preset, changes=tuple(changes))
    )
    return _with_random_weights(config)


def try_preset(plugin: str, preset: str, changes: Sequence[str] = (), *, bounded: bool = False) -> PresetResult:
    """Build a preset at its full size, with random weights if the published ones are missing, and train one step.

    The step uses the recipe's optimizer at its peak learning rate, in float32 on the CPU, on two examples of the
    checks' data set; it needs 16 bytes of memory per parameter. A model without training predicts the two examples.

    Args:
        plugin: name of the plugin, or path of a Python file.
        preset: name of the preset.
        changes: option changes in the form of ``--set``, such as ``"trunk_tuning.checkpointing=true"``.
        bounded: only build a model that has more than 180 million parameters or needs more than 100 GFLOP to encode
            an image; it is built on the meta device, without memory for its parameters.

    Raises:
        CheckFailed: the loss or a gradient is not finite, a trainable parameter gets no gradient, or no parameter
            changes.
        UserError: the plugin can't be loaded, has no such preset or option, or fails.
        MissingExtraError: a package is not installed.
    """
    loaded = PluginUnderTest(plugin, preset, changes)
    config = configure(loaded.spec.config, loaded.spec.name, loaded.spec.presets[preset], changes)
    result = check_preset(loaded, preset, config, bounded=bounded)
    return result if result.random_weights else _run(loaded, result, config)


def check_preset(plugin: PluginUnderTest, preset: str, config: ModelConfig, *, bounded: bool) -> PresetResult:
    """As :func:`try_preset`, for a loaded plugin; a preset whose weights are on this machine is only built.

    Nothing is downloaded: weights are missing if the Hub's cache lacks them.
    """
    with attributed(plugin.spec, f"when its preset {preset} was built"), offline(), torch.random.fork_rng(devices=[]):
        try:
            model = as_model(plugin.spec.build(config, plugin.context()))
        except MissingWeightsError:
            config = _with_random_weights(config)
            parameters, flops = model_size(plugin, config)
            result = PresetResult(preset, parameters, flops, random_weights=True, ran=False, loss=None)
        else:
            parameters = (
                _parameter_count(model.model) if isinstance(model, TorchRunner) else sum(_encoder_parameters(config))
            )
            return PresetResult(preset, parameters, 0, random_weights=False, ran=False, loss=None)
    if bounded and (parameters > MAX_PARAMETERS or flops > MAX_FLOPS):
        return result
    return _run(plugin, result, config)


def _run(plugin: PluginUnderTest, result: PresetResult, config: ModelConfig) -> PresetResult:
    with _temporary_cache(plugin.folder), offline(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with attributed(plugin.spec, f"when its preset {result.preset} was built"):
            model = as_model(plugin.spec.build(config, plugin.context()))
        return replace(result, ran=True, loss=_train_step_or_predict(plugin, result.preset, model))


def _train_step_or_predict(plugin: PluginUnderTest, preset: str, model: Model) -> float | None:
    train = plugin.examples("train")
    rows = np.flatnonzero(np.all([train.labels(task.name) >= 0 for task in plugin.store.tasks], axis=0))[:EXAMPLES]
    examples = Examples.of_table(plugin.store, train.table.take(rows), "train", train.inputs)
    try:
        with attributed(plugin.spec, f"when its preset {preset} was trained"):
            if isinstance(model, TorchRunner):
                return _step(plugin, preset, model.model, examples)
            if not isinstance(model, TrainableModel):
                plugin.predict(model, examples)
    except (CheckFailed, UserError):
        raise
    except Exception as error:  # of a library that the model calls; the message adds the preset
        raise CheckFailed(f"its preset {preset} can't be trained: {type(error).__name__}: {_line(error)}") from error
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _step(plugin: PluginUnderTest, preset: str, model: TorchModel, examples: Examples) -> float | None:
    """Train and return the loss of the first step; take more steps only while a parameter has had no gradient.

    A parameter may stay unchanged: behind a hundred layers of random weights, an update may be too small for float32.
    """
    batch = Collate(examples, model, CPU, labels=True)(np.arange(len(examples)))
    optim = build_optimizer(model.train(), model.config.recipe)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    initial, without_gradient, losses = _norms(trainable), set(trainable), list[float]()
    while (without_gradient or not losses) and len(losses) < STEPS:
        optim.zero_grad()
        output = model(batch)
        check_logits(output, plugin.store.tasks, len(batch))
        loss = task_loss(output, batch.labels, 0.0)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise CheckFailed(f"in step {len(losses)} of its preset {preset} the loss is {losses[-1]}")
        if not trainable:
            return None
        loss.backward()  # type: ignore[no-untyped-call]
        norms = _norms({name: p.grad for name, p in trainable.items() if p.grad is not None})
        if bad := [name for name, norm in norms.items() if not np.isfinite(norm)]:
            raise CheckFailed(f"in step {len(losses)} of its preset {preset} the gradient of {bad[0]} is not finite")
        without_gradient -= {name for name, norm in norms.items() if norm}
        optim.step()
    if without_gradient:
        raise CheckFailed(
            f"no gradient in {STEPS} steps of its preset {preset} for {', '.join(sorted(without_gradient)[:5])}"
        )
    final = _norms(trainable)
    if bad := [name for name, norm in final.items() if not np.isfinite(norm)]:
        raise CheckFailed(f"a training step of its preset {preset} leaves NaN or infinity in {bad[0]}")
    if final == initial:
        raise CheckFailed(f"a training step of its preset {preset} changes no parameter")
    return losses[0]


def _norms(tensors: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return Euclidean norms, which show without a copy whether a tensor is zero, finite or changed."""
    return {name: float(torch.linalg.vector_norm(x.detach(), dtype=torch.float64)) for name, x in tensors.items()}


def model_size(plugin: PluginUnderTest, config: ModelConfig) -> tuple[int, int]:
    """Return a model's number of parameters, and the floating-point operations to encode an image.

    The model is built on the meta device, without memory. A model that is not a torch model, or that reads the values
    of its encoders when it is built, counts as the encoders that its config names, with 0 operations.
    """
    with offline():
        try:
            with torch.device("meta"):
                model = as_model(plugin.spec.build(config, plugin.context()))
                if isinstance(model, TorchRunner):
                    return _parameter_count(model.model), _image_flops(model.model)
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error):
                raise
        return sum(_encoder_parameters(config)), 0


def _image_flops(model: TorchModel) -> int:
    """Return the floating-point operations to encode one image; each patch that a model cuts out counts as an image."""
    encoder = model.image_encoder
    if encoder is None:
        return 0
    with FlopCounterMode(display=False) as counter:
        encoder.eval().encode(torch.zeros(1, 3, encoder.input.height, encoder.input.width, dtype=torch.uint8))
    return int(counter.get_total_flops())


def _parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _encoder_parameters(config: Config) -> Iterator[int]:
    """Yield the number of parameters of each encoder that a config names with published weights."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _encoder_parameters(value)
        elif isinstance(value, str) and "weights=random" in with_random_weights(value):
            with torch.device("meta"):
                make = image_encoder if "image" in name else text_encoder
                yield _parameter_count(make(with_random_weights(value)))


def _with_random_weights(config: C) -> C:
    """Return the config with random weights in every encoder."""
    fields = {name: getattr(config, name) for name in type(config).model_fields}
    for name, value in fields.items():
        if isinstance(value, Config):
            fields[name] = _with_random_weights(value)
        elif isinstance(value, str):
            fields[name] = with_random_weights(value)
    return type(config).model_validate(fields)


@contextmanager
def _temporary_cache(folder: Path) -> Iterator[None]:
    """Use another cache folder within the block: embeddings of random weights are never used again."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder / "home")
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
