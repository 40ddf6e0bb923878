"""Torch models behind the plain ``Model`` interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mmeval.api.recipe import TorchConfig
from mmeval.console import progress
from mmeval.data.examples import Examples
from mmeval.engine.collate import Collate
from mmeval.engine.device import accelerator
from mmeval.engine.fit import fit, load_checkpoint, save_checkpoint
from mmeval.engine.model import FitContext, Model
from mmeval.engine.predict import Block, predict
from mmeval.errors import PluginError
from mmeval.nn.model import TorchModel

WEIGHTS = "model.safetensors"


class TorchRunner:
    """Fits a :class:`TorchModel`, predicts with it, saves and loads it."""

    def __init__(self, model: TorchModel) -> None:
        """Wrap ``model``, which fitting and loading change in place."""
        self.model = model

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:
        """Train with the recipe of the model's config; returns facts for the record."""
        handle = accelerator(torch.device(context.device), self.model.config.recipe.precision)
        return fit(self.model, train, validation, handle, context.seed, context.folder)

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Block]:
        """Yield blocks of probabilities ``{task: [n, classes]}``, in the order of ``examples``."""
        recipe = self.model.config.recipe
        handle = accelerator(torch.device(context.device), recipe.precision)
        self.model.to(handle.device)
        collate = Collate(examples, self.model, handle.device, labels=False)
        with progress(f"Predicting {examples.split} (seed {context.seed})", len(examples), "examples") as advance:
            yield from predict(self.model, collate, handle, recipe.batch_size * 4, advance)

    def save(self, folder: Path) -> None:
        """Write the weights to ``model.safetensors`` in ``folder``."""
        save_checkpoint(self.model, folder / WEIGHTS)

    def load(self, folder: Path) -> None:
        """Load the weights that :meth:`save` wrote."""
        load_checkpoint(self.model, folder / WEIGHTS)


def as_model(built: object) -> Model:
    """Return the object that a plugin's ``build`` returned as a plain model; torch models are wrapped.

    Raises:
        PluginError: the object implements neither level of the model interface, or is a torch model whose config is no
            ``TorchConfig``.
    """
    if isinstance(built, TorchModel):
        config = getattr(built, "config", None)
        if not isinstance(config, TorchConfig):
            kind = type(config).__name__
            raise PluginError(f"the config of a torch model must be a mmeval.TorchConfig; it is a {kind}.")
        return TorchRunner(built)
    missing = [name for name in ("predict", "save", "load") if not callable(getattr(built, name, None))]
    if missing or not isinstance(built, Model):
        raise PluginError(f"build returned a {type(built).__name__}, which lacks {', '.join(missing)}.")
    return built
