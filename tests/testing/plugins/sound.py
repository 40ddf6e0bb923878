"""A small sound torch model; each broken one changes one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

import mmeval
from mmeval.nn import ClassPrior, Heads, ImageEncoder, Output, TextEncoder, TorchModel, image_encoder, text_encoder

MMEVAL_API = "1.0"


class SoundConfig(mmeval.TorchConfig):
    """Options of the sound model."""

    image_encoder: str = "small-cnn:16"
    """Image encoder, by name."""
    text_encoder: str = "char-ngrams:512x16"
    """Text encoder, by name."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout before the linear layers."""
    recipe: mmeval.Recipe = mmeval.Recipe(batch_size=96, learning_rate=1e-2)
    """How the model is trained."""


class Sound(TorchModel):
    """The vectors of both encoders side by side, and a linear layer per task."""

    image_encoder: ImageEncoder
    text_encoder: TextEncoder

    def __init__(self, config: SoundConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        self.image_encoder = image_encoder(config.image_encoder, frozen=False)
        self.text_encoder = text_encoder(config.text_encoder, frozen=False)
        self.dropout = torch.nn.Dropout(config.dropout)
        self.heads = Heads(self.image_encoder.width + self.text_encoder.width, context)
        self.prior = ClassPrior(context)

    def features(self, batch: mmeval.Batch) -> Tensor:
        """``[B, width]``, the part that most of the broken models change."""
        return torch.cat([self.image_encoder.pool(batch), self.text_encoder.pool(batch)], 1)

    def forward(self, batch: mmeval.Batch) -> Output:
        logits = self.heads(self.dropout(self.features(batch)))
        return Output(self.prior(logits, batch.has_image | batch.has_text))


def offers(build: Callable[..., Any], **changes: Any) -> Callable[..., None]:
    """The hook that registers a model; ``changes`` are other fields of its spec."""
    facts = {
        "name": "sound",
        "summary": "image and text side by side, then a linear layer",
        "config": SoundConfig,
        "version": "1.0",
        "inputs": ("image", "text"),
        "paper": "none",
        "licence": "Apache-2.0",
        "presets": {"tiny": {}},
        "references": ("https://example.org/sound",),
    }

    @mmeval.hookimpl
    def register_models(register: Callable[[mmeval.ModelSpec], None]) -> None:
        register(mmeval.ModelSpec(build=build, **(facts | changes)))

    return register_models


register_models = offers(Sound)
