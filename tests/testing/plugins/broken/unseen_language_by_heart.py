"""Knows only the languages of the training split."""

from __future__ import annotations

import sound
import torch
from torch import Tensor

import mmeval

MMEVAL_API = "1.0"


class Polyglot(sound.Sound):
    def __init__(self, config: sound.SoundConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        self.number = {language: number for number, language in enumerate(context.languages)}
        self.scale = torch.nn.Embedding(len(self.number), 1)

    def features(self, batch: mmeval.Batch) -> Tensor:
        numbers = torch.tensor([self.number[language] for language in batch.languages])
        return super().features(batch) * (1 + self.scale(numbers))


register_models = sound.offers(Polyglot)
