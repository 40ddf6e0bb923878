"""The network, in a separate module because it imports torch."""

import torch
from torch import Tensor, nn

from mmeval import Batch, ModelContext
from mmeval.nn import ClassPrior, Heads, Output, TorchModel, image_encoder, text_encoder
from mmeval_lowrank import LowrankConfig


class Factor(nn.Module):
    """The low-rank factors of a modality, ``[rank, d + 1, width]``."""

    def __init__(self, features: int, rank: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        weight = torch.empty(rank, features + 1, width)
        for factor in weight:
            nn.init.xavier_normal_(factor)
        weight[:, -1] = 1.0  # the row of the appended 1, so that the factor starts as 1 plus a map of the vector
        self.weight = nn.Parameter(weight)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Multiply vectors ``[B, d]`` by the factors, ``[B, rank, width]``; ones for missing vectors."""
        vectors = self.dropout(vectors)
        extended = torch.cat([vectors, vectors.new_ones(len(vectors), 1)], dim=1)
        product = torch.einsum("bd,rdw->brw", extended, self.weight).float()
        return torch.where(present[:, None, None], product, torch.ones_like(product))


class Lowrank(TorchModel):
    """Low-rank Multimodal Fusion (Liu et al. 2018) with a linear head per task."""

    def __init__(self, config: LowrankConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        self.image_encoder = image_encoder(config.image_encoder, frozen=config.freeze_image)
        self.text_encoder = text_encoder(config.text_encoder, frozen=config.freeze_text)
        self.image_factor = Factor(self.image_encoder.width, config.rank, config.width, config.dropout)
        self.text_factor = Factor(self.text_encoder.width, config.rank, config.width, config.dropout)
        self.rank_weights = nn.Parameter(torch.full((config.rank,), 1 / config.rank))
        self.bias = nn.Parameter(torch.zeros(config.width))
        self.heads = Heads(config.width, context)
        self.prior = ClassPrior(context)

    def forward(self, batch: Batch) -> Output:
        image = self.image_factor(self.image_encoder.pool(batch), batch.has_image)
        text = self.text_factor(self.text_encoder.pool(batch), batch.has_text)
        fused = torch.einsum("r,brw->bw", self.rank_weights, image * text) + self.bias
        logits = self.heads(fused)
        return Output(self.prior(logits, batch.has_image | batch.has_text))
