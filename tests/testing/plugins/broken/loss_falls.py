"""A learning rate too small to change parameters."""

from __future__ import annotations

import sound

import mmeval

MMEVAL_API = "1.0"


class StillConfig(sound.SoundConfig):
    """Options of a model that stands still."""

    recipe: mmeval.Recipe = mmeval.Recipe(batch_size=96, learning_rate=1e-12)
    """How the model is trained."""


register_models = sound.offers(sound.Sound, config=StillConfig)
