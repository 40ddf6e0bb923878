"""Predicts NaN outside of training."""

from __future__ import annotations

import sound

import mmeval
from mmeval.nn import Output

MMEVAL_API = "1.0"


class Nan(sound.Sound):
    def forward(self, batch: mmeval.Batch) -> Output:
        logits = super().forward(batch).logits
        return Output({task: values if self.training else values * float("nan") for task, values in logits.items()})


register_models = sound.offers(Nan)
