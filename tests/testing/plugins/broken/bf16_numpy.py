"""Converts to NumPy, which has no bfloat16."""

from __future__ import annotations

import sound
import torch
from torch import Tensor

import mmeval

MMEVAL_API = "1.0"


class Detour(sound.Sound):
    def features(self, batch: mmeval.Batch) -> Tensor:
        features = super().features(batch)
        largest = self.heads.layers[0](features).detach().numpy().max()
        return features * torch.tensor(1.0 if largest < 1e9 else 0.5)


register_models = sound.offers(Detour)
