"""One encoder, dropout and a linear layer per task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import (
    BertEncoder,
    ClassPrior,
    Heads,
    ImageEncoder,
    Output,
    TextEncoder,
    TorchModel,
    image_encoder,
    text_encoder,
)
from mmeval_unimodal.config import UnimodalConfig


class Unimodal(TorchModel):
    """A classifier of texts or of images: encoder, optional LayerNorm, dropout, and a linear layer per task."""

    config: UnimodalConfig

    def __init__(self, config: UnimodalConfig, context: ModelContext) -> None:
        """Build the encoder of the configured modality, and the layers on top of it.

        Raises:
            UserError: ``pooler`` is set, but the encoder is not a BERT.
        """
        super().__init__(config, context)
        self.pooler: nn.Module | None = None
        if config.modality == "image":
            self.image_encoder = image_encoder(config.image_encoder, config.tuning)
        else:
            self.text_encoder = text_encoder(config.text_encoder, config.tuning, tokens=config.pooler)
        if config.pooler:
            if not isinstance(self.text_encoder, BertEncoder):
                raise UserError("--set pooler=true needs a text encoder that is a BERT; leave it out.")
            self.pooler = self.text_encoder.take_pooler()
        width = self._encoder().width
        self.norm = nn.LayerNorm(width) if config.normalise == "layer" else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(width, context)
        self.prior = ClassPrior(context)

    def forward(self, batch: Batch) -> Output:
        """Return the logits of every task."""
        present = batch.has_image if self.config.modality == "image" else batch.has_text
        x = torch.where(present[:, None], self._vector(batch), 0)  # [B, D]
        x = torch.where(present[:, None], self.norm(x), 0)
        return Output(self.prior(self.heads(self.dropout(x)), present), embedding=x)

    def _vector(self, batch: Batch) -> Tensor:
        if self.pooler is None:
            return self._encoder().pool(batch)
        encoded = self._encoder()(batch)
        vector: Tensor = self.pooler(encoded.tokens)
        return vector

    def _encoder(self) -> ImageEncoder | TextEncoder:
        encoder = self.image_encoder or self.text_encoder
        assert encoder is not None
        return encoder
