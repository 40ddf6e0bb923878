"""A plain model with the options of torch models, as for a model with its own training loop."""

from __future__ import annotations

import plain

import mmeval

MMEVAL_API = "1.0"


class RecipeConfig(plain.PlainConfig, mmeval.TorchConfig):
    """Options of the plain model, and a recipe."""


register_models = plain.offers(plain.Plain, config=RecipeConfig)
