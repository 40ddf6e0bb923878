"""A preset whose learning rate is too small to change anything."""

from __future__ import annotations

import sound
import weightless

MMEVAL_API = "1.0"

register_models = sound.offers(
    sound.Sound, presets={"tiny": {}, "small": weightless.SMALL | {"recipe.learning_rate": 1e-60}}
)
