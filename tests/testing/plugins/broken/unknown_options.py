"""A group of options that accepts unknown ones."""

from __future__ import annotations

import plain
from pydantic import ConfigDict

import mmeval

MMEVAL_API = "1.0"


class Loose(mmeval.Config):
    """A group."""

    model_config = ConfigDict(extra="ignore")
    rate: float = 0.5
    """How often."""


class LooseConfig(plain.PlainConfig):
    """Options with a group."""

    drawing: Loose = Loose()
    """How numbers are drawn."""


register_models = plain.offers(plain.Plain, config=LooseConfig)
