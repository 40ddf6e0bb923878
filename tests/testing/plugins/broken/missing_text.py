"""Assumes that every image has a text."""

from __future__ import annotations

import sound
from torch import Tensor

import mmeval

MMEVAL_API = "1.0"


class Literate(sound.Sound):
    def features(self, batch: mmeval.Batch) -> Tensor:
        if (batch.has_image & ~batch.has_text).any():
            raise ValueError("an image without a text")
        return super().features(batch)


register_models = sound.offers(Literate)
