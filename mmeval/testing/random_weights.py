"""A preset's config with the weights of every encoder drawn at random: its architecture on a machine without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from mmeval.nn.build import random_weights as renamed
from mmeval.plugin.config import Config, ModelConfig
from mmeval.plugin.spec import ModelSpec
from mmeval.run.request import Request, configured

C = TypeVar("C", bound=Config)


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
    _, config = configured(spec, Request(plugin=spec.name, dataset="", preset=preset, changes=tuple(changes)))
    return _drawn(config)


def _drawn(config: C) -> C:
    changed: dict[str, object] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Config):
            changed[name] = _drawn(value)
        elif isinstance(value, str):
            changed[name] = renamed(value)
    return type(config).model_validate(
        {**{name: getattr(config, name) for name in type(config).model_fields}, **changed}
    )
