"""Gives logits only of the first task."""

from __future__ import annotations

import sound

import mmeval
from mmeval.nn import Output

MMEVAL_API = "1.0"


class First(sound.Sound):
    def forward(self, batch: mmeval.Batch) -> Output:
        logits = super().forward(batch).logits
        return Output(dict(list(logits.items())[:1]))


register_models = sound.offers(First)
