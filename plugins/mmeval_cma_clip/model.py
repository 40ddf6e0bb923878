"""CMA-CLIP (Liu et al. 2021, arXiv 2112.03562), after figure 1 of the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import (
    ClassPrior,
    Encoded,
    FeatureDropout,
    Heads,
    Output,
    TorchModel,
    image_encoder,
    text_encoder,
)
from mmeval_cma_clip.config import CmaClipConfig

TEXT, IMAGE = 0, 1
"""Rows of the type embeddings."""
LONGEST = 1024
"""Number of learned positions; later tokens share the last position."""


class KeylessAttention(nn.Module):
    """Attention of a task to modalities: ``e_m = <q, h_m>``, ``lambda = softmax_m(e)``, ``z = sum lambda_m h_m``."""

    def __init__(self, width: int, *, shared: bool = True) -> None:
        """Create one query for both modalities (``shared``), or one for each."""
        super().__init__()
        self.query = nn.Parameter(torch.randn(1 if shared else 2, width) * width**-0.5)

    def forward(self, states: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``z`` ``[B, D]`` and the weights lambda ``[B, 2]``.

        A missing modality has weight 0 and its state is ignored; with both missing, the result is 0.

        Args:
            states: ``[B, 2, D]``, text first.
            present: bool ``[B, 2]``.
        """
        energy = (states * self.query).sum(-1).masked_fill(~present, torch.finfo(states.dtype).min)
        weights = energy.softmax(-1) * present
        return (weights[:, :, None] * torch.where(present[:, :, None], states, 0)).sum(1), weights


class JoinedStates(nn.Module):
    """Replacement of :class:`KeylessAttention` in the ablations: both states concatenated, or their mean."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, states: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same as :class:`KeylessAttention`, with equal weights; ``z`` is ``[B, 2 D]`` for ``concat``."""
        weights = present / present.sum(1, keepdim=True).clamp(min=1)
        states = torch.where(present[:, :, None], states, 0)
        return states.flatten(1) if self.how == "concat" else (weights[:, :, None] * states).sum(1), weights


class CmaClip(TorchModel):
    """A transformer over the tokens of both modalities, then attention over the modalities and an MLP per task."""

    config: CmaClipConfig

    def __init__(self, config: CmaClipConfig, context: ModelContext) -> None:
        """Build the encoders by name, and the layers on top of them.

        Raises:
            UserError: the heads don't divide the width.
        """
        super().__init__(config, context)
        if config.width % config.heads:
            raise UserError(f"width={config.width} can't be divided among heads={config.heads}.")
        deep = config.sequence_attention
        self.image_encoder = image_encoder(config.image_encoder, config.image_tuning, tokens=deep)
        self.text_encoder = text_encoder(config.text_encoder, config.text_tuning, tokens=deep)
        self.text_in = _adapter(self.text_encoder.width, config)
        self.image_in = _adapter(self.image_encoder.width, config)
        if config.type_embeddings:
            self.types = nn.Parameter(torch.randn(2, config.width) * 0.02)
        if config.position_embeddings and deep:
            self.positions = nn.Embedding(LONGEST, config.width)
            nn.init.normal_(self.positions.weight, std=0.02)
        if deep:
            self.transformer = _transformer(config)
        # One attention and one MLP per task; the tasks share everything before.
        self.attention = nn.ModuleList(self._attention() for _ in context.tasks)
        wide = config.width * (2 if not config.modality_attention and config.instead == "concat" else 1)
        self.mlps = nn.ModuleList(_mlp(wide, config) for _ in context.tasks)
        self.heads = Heads(config.mlp_width or wide, context)
        self.prior = ClassPrior(context)

    def _attention(self) -> nn.Module:
        if self.config.modality_attention:
            return KeylessAttention(self.config.width, shared=self.config.shared_query)
        return JoinedStates(self.config.instead)

    def forward(self, batch: Batch) -> Output:
        """Return the logits of every task.

        ``modality_weights`` are lambda of the first task, text first; ``embedding`` is ``z`` of all tasks side by side.
        """
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        present = torch.stack([batch.has_text, batch.has_image], 1)  # [B, 2]
        states = self._states(self.text_encoder(batch), self.image_encoder(batch), present)  # [B, 2, D]
        logits, weights, vectors = {}, [], []
        parts = zip(self.heads.tasks, self.attention, self.mlps, self.heads.layers, strict=True)
        for task, attention, mlp, head in parts:
            z, own = attention(states, present)
            logits[task] = head(mlp(z))
            weights.append(own)
            vectors.append(z)
        logits = self.prior(logits, present.any(1))
        return Output(logits, modality_weights=weights[0], embedding=torch.cat(vectors, 1))

    def _states(self, text: Encoded, image: Encoded, present: Tensor) -> Tensor:
        """Return ``T'_cls`` and ``I'_cls``, the pooled states after attention to all tokens of both: ``[B, 2, D]``.

        CLIP's text has no [CLS]. Its pooled state is the state at the end of the text, the only one that saw all of it.
        """
        deep = self.config.sequence_attention
        texts = self.text_in(_whole(text, deep))  # [B, 1 + n, D]: T_cls, T_1 .. T_n
        images = self.image_in(_whole(image, deep))  # [B, 1 + m, D]: I_cls, I_1 .. I_m
        if not deep:
            return self._typed(texts, images)
        sequence = self._typed(texts, images)  # [B, 2 + n + m, D], text first
        shown = torch.cat([present[:, :1], text.mask, present[:, 1:], image.mask], 1)
        if self.config.position_embeddings:
            # Count visible tokens only: the positions of the image must not depend on the padding of the batch.
            sequence = sequence + self.positions((shown.long().cumsum(1) - 1).clamp(0, LONGEST - 1))
        # An example without image and text attends to everything, to avoid NaN; the prior replaces its logits.
        hidden = ~shown & shown.any(1, keepdim=True)
        out = self.transformer(sequence, src_key_padding_mask=hidden)
        return torch.stack([out[:, 0], out[:, texts.shape[1]]], 1)

    def _typed(self, texts: Tensor, images: Tensor) -> Tensor:
        """Add the type embeddings to text and image states and concatenate them, text first."""
        if self.config.type_embeddings:
            texts, images = texts + self.types[TEXT], images + self.types[IMAGE]
        return torch.cat([texts, images], 1)


def _whole(encoded: Encoded, deep: bool) -> Tensor:
    """Return the pooled state and, if ``deep``, the tokens after it, zero where masked: they may be NaN."""
    pooled = encoded.pooled[:, None]
    return torch.cat([pooled, torch.where(encoded.mask[:, :, None], encoded.tokens, 0)], 1) if deep else pooled


def _adapter(width: int, config: CmaClipConfig) -> nn.Module:
    """Return a map from an encoder's states to the width of the sequence; without layers where the widths agree."""
    drop: list[nn.Module] = [FeatureDropout(config.input_dropout)] if config.input_dropout else []
    if width == config.width:
        return nn.Sequential(*drop)
    return nn.Sequential(*drop, nn.Linear(width, config.width), nn.LayerNorm(config.width))


def _transformer(config: CmaClipConfig) -> nn.TransformerEncoder:
    """Return the transformer over both modalities, with independently initialized layers."""
    width, norm_first = config.width, config.norm_first
    layers = [
        nn.TransformerEncoderLayer(
            width, config.heads, 4 * width, config.dropout, F.gelu, batch_first=True, norm_first=norm_first
        )
        for _ in range(config.layers)
    ]
    norm = nn.LayerNorm(width) if config.final_norm else None
    transformer = nn.TransformerEncoder(layers[0], config.layers, norm, enable_nested_tensor=False)
    # TransformerEncoder copies its layer, so that all layers would start with the same weights.
    transformer.layers = nn.ModuleList(layers)
    return transformer


def _mlp(width: int, config: CmaClipConfig) -> nn.Module:
    """Return the layers before the last linear layer of a task."""
    hidden = [nn.Linear(width, config.mlp_width), nn.GELU()] if config.mlp_width else []
    return nn.Sequential(*hidden, nn.Dropout(config.dropout))
