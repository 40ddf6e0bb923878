"""ImageBERT (Qi et al. 2020, arXiv 2001.07966), after secondary sources; there is no official code."""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import SingleStream, bert, image_encoder, replace_words
from mmeval_imagebert.config import ImageBERTConfig
from mmeval_imagebert.pretraining import Pretraining

EPSILON = 1e-12
"""Epsilon of BERT's LayerNorm."""
IMAGE = 1
"""Token type (segment) of regions; text has 0."""


def grid_boxes(regions: int) -> Tensor:
    """Return the boxes of an encoder's tokens: ``[R, 4]`` (left, top, right, bottom), as fractions of the image.

    The tokens are a square grid, row by row. Tokens before the largest square number (class token, registers) get the
    box of the whole image.
    """
    side = isqrt(regions)
    low = torch.arange(side) / side
    y, x = torch.meshgrid(low, low, indexing="ij")
    cells = torch.stack([x, y, x + 1 / side, y + 1 / side], -1).flatten(0, 1)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(regions - side**2, -1)
    return torch.cat([whole, cells])


class RegionEmbedding(nn.Module):
    """Region features and boxes to region tokens: ``LN(f W + b + c W_c + b_c + segment + position)``.

    ``c = (x_left / W, y_top / H, x_right / W, y_bottom / H, area / (W H))``. All regions share one position vector,
    because they have no order. Unverified: that regions have a norm of their own, and that their position is not a row
    of the text's table.
    """

    def __init__(self, features: int, width: int, dropout: float = 0.1) -> None:
        """Map ``features`` per region to tokens of ``width``."""
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
        """Return tokens ``[B, R, H]`` of features ``[B, R, F]``, boxes ``[R, 4]`` in fractions and segment ``[H]``."""
        left, top, right, bottom = boxes.unbind(-1)
        c = torch.stack([left, top, right, bottom, (right - left) * (bottom - top)], -1)
        x = self.features(self.dropout(features)) + self.boxes(c) + segment + self.position
        return self.normalize(x)

    def normalize(self, x: Tensor) -> Tensor:
        """Return ``x`` ``[..., H]``, the sum of an embedding's parts, after LayerNorm and dropout."""
        out: Tensor = self.dropout(self.norm(x))
        return out


class ImageBERT(SingleStream):
    """A BERT over ``[CLS] text [SEP] regions``; its pooled first state feeds one linear layer per task."""

    config: ImageBERTConfig
    image_embedding: RegionEmbedding
    pretraining: Pretraining | None

    def __init__(self, config: ImageBERTConfig, context: ModelContext) -> None:
        """Build trunk and encoders by name, and the new layers.

        Raises:
            UserError: the whole trunk is frozen, or ``closing_sep`` is set where the trunk has no words.
        """
        if config.trunk_tuning.frozen:
            raise UserError("imagebert's trunk can't be frozen whole; freeze layers with trunk_tuning.frozen_layers.")
        if config.closing_sep and config.text_encoder:
            raise UserError(
                "imagebert: closing_sep needs the trunk's own words; set text_encoder= (empty) or closing_sep=false."
            )
        image = image_encoder(config.image_encoder, config.image_tuning, tokens=True)
        trunk, text = bert(config.trunk, config.trunk_tuning, types=2), None
        if config.text_encoder:
            text = replace_words(trunk, config.text_encoder, config.text_tuning, standardize=config.standardise)
        regions = RegionEmbedding(image.width, trunk.width, config.dropout)
        super().__init__(
            config, context, image=image, trunk=trunk, image_embedding=regions, text=text, dropout=config.dropout
        )
        if config.pretraining_weight > 0:
            self.pretraining = Pretraining(trunk, config, image.width)

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return region features ``[B, R, D]``, zero where there is no image, and their mask ``[B, R]``."""
        assert self.image_encoder is not None
        encoded = self.image_encoder(batch)
        # Zero the tokens of missing images: they may be NaN, and NaN times zero is NaN.
        features = torch.where(encoded.mask[:, :, None], encoded.tokens, 0)
        return F.layer_norm(features, features.shape[-1:]) if self.config.standardise else features, encoded.mask

    def embed_image(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return region tokens ``[B, R, H]``, followed by [SEP] with ``closing_sep``, and their mask."""
        boxes = grid_boxes(features.shape[1]).to(features.device)
        segment = self.trunk.embeddings.token_type_embeddings.weight[IMAGE]
        tokens = torch.where(mask[:, :, None], self.image_embedding(features, boxes, segment), 0)
        if not self.config.closing_sep:
            return tokens, mask
        word = self.trunk.words(torch.tensor(self.trunk.tokenizer.special.sep, device=features.device))
        sep = self.image_embedding.normalize(word + segment + self.image_embedding.position)
        return torch.cat([tokens, sep.expand(tokens.shape[0], 1, -1)], 1), torch.cat([mask, mask[:, :1]], 1)
