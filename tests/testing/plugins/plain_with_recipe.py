"""A plain model whose options are those of torch models, as one with a training loop of its own would have."""

from __future__ import annotations

import plain

import mmeval

MMEVAL_API = "1.0"


class RecipeConfig(plain.PlainConfig, mmeval.TorchConfig):
    """Options of the plain model, and a recipe."""


register_models = plain.offers(plain.Plain, config=RecipeConfig)
