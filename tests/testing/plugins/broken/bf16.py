"""Computes log(1 - x) with an x that bf16 rounds to 1."""

from __future__ import annotations

import sound

import mmeval
from mmeval.nn import Output

MMEVAL_API = "1.0"


class Saturated(sound.Sound):
    def forward(self, batch: mmeval.Batch) -> Output:
        logits = super().forward(batch).logits
        return Output({task: values + (1 - (0 * values + 0.999)).log() for task, values in logits.items()})


register_models = sound.offers(Saturated)
