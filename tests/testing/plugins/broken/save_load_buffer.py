"""Has trained state that is not saved with the weights."""

from __future__ import annotations

import sound
import torch

import mmeval
from mmeval.nn import Output

MMEVAL_API = "1.0"


class Forgetful(sound.Sound):
    def __init__(self, config: sound.SoundConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        self.register_buffer("steps", torch.ones(()), persistent=False)

    def forward(self, batch: mmeval.Batch) -> Output:
        if self.training:
            self.steps += 1
        logits = super().forward(batch).logits
        return Output({task: values * self.steps for task, values in logits.items()})


register_models = sound.offers(Forgetful)
