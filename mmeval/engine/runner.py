"""A torch model as a plain ``Model``: what the engine adds to ``forward``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmeval.api.recipe import TorchConfig
from mmeval.console import progress
from mmeval.data.examples import Examples
from mmeval.engine.collate import Collate
from mmeval.engine.device import accelerator, resolve_device
from mmeval.engine.fit import fit, load_checkpoint, save_checkpoint
from mmeval.engine.model import FitContext, Model
from mmeval.engine.predict import Block, predict
from mmeval.errors import PluginError
from mmeval.nn.model import TorchModel

WEIGHTS = "model.safetensors"


class TorchRunner:
    """Fits, predicts, saves and loads a :class:`TorchModel`."""

    def __init__(self, model: TorchModel) -> None:
        """Wrap ``model``; it is changed in place."""
        self.model = model

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:
        """Train with the recipe of the model's config."""
        handle = accelerator(resolve_device(context.device), self.model.config.recipe.precision)
        return fit(self.model, train, validation, handle, context.seed, context.folder)

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Block]:
        """Yield blocks of probabilities."""
        recipe = self.model.config.recipe
        handle = accelerator(resolve_device(context.device), recipe.precision)
        self.model.to(handle.device)
        collate = Collate(examples, self.model, handle.device, labels=False)
        with progress(f"Predicting (seed {context.seed})", len(examples), "examples") as advance:
            yield from predict(self.model, collate, handle, recipe.batch_size * 4, advance)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``."""
        save_checkpoint(self.model, folder / WEIGHTS)

    def load(self, folder: Path) -> None:
        """Take back the weights."""
        load_checkpoint(self.model, folder / WEIGHTS)


def as_model(built: object) -> Model:
    """What a plugin's ``build`` returned, as a plain model.

    Raises:
        PluginError: it is neither level of a model, or a torch model whose config can't say how to train it.
    """
    if isinstance(built, TorchModel):
        config = getattr(built, "config", None)
        if not isinstance(config, TorchConfig):
            kind = type(config).__name__
            raise PluginError(f"the config of a torch model must be a mmeval.TorchConfig, {kind} is none.")
        return TorchRunner(built)
    missing = [name for name in ("predict", "save", "load") if not callable(getattr(built, name, None))]
    if missing or not isinstance(built, Model):
        raise PluginError(f"build returned a {type(built).__name__}, which lacks {', '.join(missing)}.")
    return built
