"""ImageBERT (Qi et al. 2020, arXiv 2001.07966); secondary sources only, there is no official code."""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import BertEncoder, ClassPrior, Heads, Output, TorchModel, bert, image_encoder, text_encoder
from mmeval_imagebert.config import ImageBERTConfig
from mmeval_imagebert.pretraining import Pretraining

EPSILON = 1e-12
"""BERT's epsilon of LayerNorm."""
TEXT, IMAGE = 0, 1
"""Segments."""


def grid_boxes(regions: int) -> Tensor:
    """Boxes ``[R, 4]`` (x of the left, y of the top, x of the right, y of the bottom; shares of the image) of tokens.

    Tokens are a square grid, row by row; those before the last square number of them (class, registers) see the whole
    image.
    """
    side = isqrt(regions)
    low = torch.arange(side) / side
    y, x = torch.meshgrid(low, low, indexing="ij")
    cells = torch.stack([x, y, x + 1 / side, y + 1 / side], -1).flatten(0, 1)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(regions - side**2, -1)
    return torch.cat([whole, cells])


class RegionEmbedding(nn.Module):
    """Region features and boxes -> region tokens: ``LN(f W + b + c W_c + b_c + segment + position)``.

    ``c = (x_left / W, y_top / H, x_right / W, y_bottom / H, area / (W H))``. The position is one vector for all
    regions, as they have no order. Unverified: that the norm is the regions' own, and the position no row of the
    text's table.
    """

    def __init__(self, features: int, width: int, dropout: float = 0.1) -> None:
        """``features`` per region come in, ``width`` go out."""
        super().__init__()
        self.features, self.boxes = nn.Linear(features, width), nn.Linear(5, width)
        self.position = nn.Parameter(torch.empty(width))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        for weight in (self.features.weight, self.boxes.weight, self.position):
            nn.init.normal_(weight, std=0.02)
        nn.init.zeros_(self.features.bias)
        nn.init.zeros_(self.boxes.bias)

    def forward(self, features: Tensor, boxes: Tensor, segment: Tensor) -> Tensor:
        """Features ``[B, R, F]``, boxes ``[R, 4]`` in shares, segment ``[H]`` -> tokens ``[B, R, H]``."""
        left, top, right, bottom = boxes.unbind(-1)
        c = torch.stack([left, top, right, bottom, (right - left) * (bottom - top)], -1)
        x = self.features(self.dropout(features)) + self.boxes(c) + segment + self.position
        out: Tensor = self.dropout(self.norm(x))
        return out


class ImageBERT(TorchModel):
    """``[CLS] text [SEP] regions``, through one BERT; the pooled first state goes to the heads."""

    config: ImageBERTConfig

    def __init__(self, config: ImageBERTConfig, context: ModelContext) -> None:
        """Build trunk and encoders by name and the layers on top of them.

        Raises:
            UserError: the trunk is to be frozen, or a [SEP] is wanted where the trunk has no words.
        """
        super().__init__(config, context)
        if config.trunk_tuning.frozen:
            raise UserError("imagebert's trunk can't be frozen whole; freeze layers with trunk_tuning.frozen_layers.")
        if config.closing_sep and config.text_encoder:
            raise UserError("imagebert: closing_sep needs the trunk's own words; set text_encoder to nothing for it.")
        self.image_encoder = image_encoder(config.image_encoder, config.image_tuning, tokens=True)
        trunk = bert(config.trunk, config.trunk_tuning, types=2)
        if config.text_encoder:
            self.text_encoder = text_encoder(config.text_encoder, config.text_tuning, tokens=True)
            self.own_trunk: BertEncoder = trunk
            trunk.embeddings.word_embeddings = None  # nothing would read them
            self.words = nn.Linear(self.text_encoder.width, trunk.width)
        else:
            self.text_encoder = trunk
        self.regions = RegionEmbedding(self.image_encoder.width, trunk.width, config.dropout)
        self.pooler = trunk.take_pooler()
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(trunk.width, context)
        self.prior = ClassPrior(context)
        if config.pretraining_weight > 0:
            self.pretraining = Pretraining(trunk, config, self.image_encoder.width)

    @property
    def trunk(self) -> BertEncoder:
        """The BERT: the text encoder itself where the text is its own words."""
        trunk = self.own_trunk if self.config.text_encoder else self.text_encoder
        assert isinstance(trunk, BertEncoder)
        return trunk

    def forward(self, batch: Batch) -> Output:
        """Logits of every task; in training with ``pretraining_weight`` the pre-training losses too."""
        features, regions = self.features(batch)  # [B, R, D], [B, R]
        text, words = self.embed_text(batch)  # [B, T, H], [B, T]
        _, pooled = self.read(text, words, features, regions)
        logits = self.heads(self.dropout(pooled))
        losses = {}
        if self.training and self.config.pretraining_weight > 0:
            losses = self.pretraining(self, batch, features, regions, words)
        return Output(self.prior(logits, words.any(1) | regions.any(1)), losses)

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features ``[B, R, D]`` of the regions, zero where there is no image, and their mask ``[B, R]``."""
        assert self.image_encoder is not None
        encoded = self.image_encoder(batch)
        # What is missing is zeroed first: NaN times a mask of zero is NaN.
        features = torch.where(encoded.mask[:, :, None], encoded.tokens, 0)
        return self._standardised(features), encoded.mask

    def embed_text(self, batch: Batch, ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """BERT's embedding ``[B, T, H]`` of the text, or of ``ids`` in its place, and its mask.

        A missing text is zeros with mask 0, so that position 0 is there to be pooled.
        """
        assert self.text_encoder is not None
        trunk = self.trunk
        if self.config.text_encoder:
            encoded = self.text_encoder(batch)
            mask = encoded.mask
            content = self.words(self._standardised(torch.where(mask[:, :, None], encoded.tokens, 0)))
        else:
            assert batch.text_ids is not None
            assert batch.text_mask is not None
            mask = batch.text_mask & batch.has_text[:, None]
            content = trunk.words(batch.text_ids if ids is None else ids)
        # An encoder may read longer texts than the trunk has positions.
        most = trunk.embeddings.position_embeddings.num_embeddings - trunk.first_position
        content, mask = content[:, :most], mask[:, :most]
        text = trunk.embed(content, torch.arange(content.shape[1], device=content.device), TEXT)
        return torch.where(mask[:, :, None], text, 0), mask

    def read(self, text: Tensor, words: Tensor, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Text ``[B, T, H]``, features ``[B, R, D]``, their masks -> the trunk's states ``[B, T + R, H]``, pooled."""
        boxes = grid_boxes(features.shape[1]).to(features.device)
        segment = self.trunk.embeddings.token_type_embeddings.weight[IMAGE]
        tokens = self.regions(features, boxes, segment)
        parts, masks = [text, torch.where(regions[:, :, None], tokens, 0)], [words, regions]
        if self.config.closing_sep:
            parts.append(self._sep(segment).expand(len(text), 1, -1))
            masks.append(regions[:, :1])
        states = self.trunk.layers(torch.cat(parts, 1), torch.cat(masks, 1))
        return states, self.pooler(states)

    def _sep(self, segment: Tensor) -> Tensor:
        """[SEP] behind the regions, at their position and in their segment: ``[H]``."""
        trunk = self.trunk
        word = trunk.words(torch.tensor(trunk.tokenizer.special.sep, device=segment.device))
        out: Tensor = self.regions.dropout(self.regions.norm(word + segment + self.regions.position))
        return out

    def _standardised(self, tokens: Tensor) -> Tensor:
        return F.layer_norm(tokens, tokens.shape[-1:]) if self.config.standardise else tokens
