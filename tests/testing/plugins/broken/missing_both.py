"""Averages the available inputs, which is 0 / 0 without any."""

from __future__ import annotations

import sound
from torch import Tensor

import mmeval
from mmeval.nn import Output

MMEVAL_API = "1.0"


class Mean(sound.Sound):
    def features(self, batch: mmeval.Batch) -> Tensor:
        return super().features(batch) / (batch.has_image.float() + batch.has_text.float())[:, None]

    def forward(self, batch: mmeval.Batch) -> Output:
        return Output(self.heads(self.features(batch)))


register_models = sound.offers(Mean)
