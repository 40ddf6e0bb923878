"""A preset that can't run: its encoder is wider than the next layer."""

from __future__ import annotations

import sound
import weightless

import mmeval
from mmeval.nn import Heads

MMEVAL_API = "1.0"


class Narrow(sound.Sound):
    def __init__(self, config: sound.SoundConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        if config.image_encoder.startswith("timm:"):
            self.heads = Heads(self.text_encoder.width, context)


register_models = sound.offers(Narrow, presets={"tiny": {}, "small": weightless.SMALL})
