"""Initialises weights with NumPy's global generator, which the training seed does not set."""

from __future__ import annotations

import numpy as np
import sound
import torch

import mmeval

MMEVAL_API = "1.0"


class Drawn(sound.Sound):
    def __init__(self, config: sound.SoundConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        for layer in self.heads.layers:
            drawn = np.random.uniform(-0.3, 0.3, tuple(layer.weight.shape))  # noqa: NPY002 - this is what is wrong
            layer.weight.data = torch.tensor(drawn, dtype=torch.float32)


register_models = sound.offers(Drawn)
