"""KaleidoBERT (Zhuge et al. 2021, arXiv 2103.16110); section numbers refer to the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import SingleStream, bert, image_encoder, replace_words
from mmeval_kaleidobert.config import KaleidoBERTConfig
from mmeval_kaleidobert.patches import PatchEncoder, boxes, count, grid_weights
from mmeval_kaleidobert.pretraining import Pretraining

EPSILON = 1e-12
"""Epsilon of BERT's LayerNorm."""


class PatchEmbedding(nn.Module):
    """Patch features and boxes to patch tokens (section 3.2 and the authors' code).

    Level l: ``LN_l(f W_l + type_l + box W_box)``. ``W_l``, ``type_l`` and ``LN_l`` belong to the level, ``W_box`` is
    shared; no projection has a bias. Dropout applies to f and to the tokens.
    """

    def __init__(self, features: int, width: int, levels: int = 5, dropout: float = 0.1) -> None:
        """Map ``features`` per patch to tokens of ``width``."""
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(features, width, bias=False) for _ in range(levels))
        self.types = nn.Embedding(levels, width)
        self.boxes = nn.Linear(5, width, bias=False)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=EPSILON) for _ in range(levels))
        self.dropout = nn.Dropout(dropout)
        self.sizes = [level**2 for level in range(1, levels + 1)]
        for layer in (*self.projections, self.types, self.boxes):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, features: Tensor, box: Tensor) -> Tensor:
        """Return tokens ``[B, P, H]`` of features ``[B, P, F]`` and boxes ``[P, 5]``, where P = 1 + 4 + 9 + ..."""
        parts = zip(self.dropout(features).split(self.sizes, 1), self.boxes(box).split(self.sizes, -2), strict=True)
        tokens = [
            norm(project(f) + kind + place)
            for (f, place), project, norm, kind in zip(
                parts, self.projections, self.norms, self.types.weight, strict=True
            )
        ]
        out: Tensor = self.dropout(torch.cat(tokens, 1))
        return out


class KaleidoBERT(SingleStream):
    """A BERT over text tokens, then the patch tokens of each level; the pooled first state feeds the task heads."""

    config: KaleidoBERTConfig
    pretraining: Pretraining | None

    def __init__(self, config: KaleidoBERTConfig, context: ModelContext) -> None:
        """Build trunk and encoders by name, and the new layers.

        Raises:
            UserError: the whole trunk is frozen.
        """
        if config.trunk_tuning.frozen:
            raise UserError("kaleidobert's trunk can't be frozen whole; freeze layers with trunk_tuning.frozen_layers.")
        trunk, text = bert(config.trunk, config.trunk_tuning, types=1), None
        if config.text_encoder:
            text = replace_words(trunk, config.text_encoder, config.text_tuning, standardize=config.standardise)
        crops, pretrains = config.patch_source == "crops", config.pretraining_weight > 0
        image = image_encoder(config.image_encoder, config.image_tuning, tokens=not crops)
        super().__init__(
            config,
            context,
            image=PatchEncoder(image, config.levels, variants=pretrains) if crops else image,
            trunk=trunk,
            image_embedding=PatchEmbedding(image.width, trunk.width, config.levels, config.dropout),
            text=text,
            dropout=config.dropout,
        )
        place = boxes(config.levels, image.input.height, image.input.width, fractions=config.boxes == "shares")
        self.register_buffer("place", place, persistent=False)
        for layer in self.heads.layers.children():
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.01)  # authors' code
            nn.init.zeros_(layer.bias)
        if pretrains:
            self.pretraining = Pretraining(trunk, config, image.width)

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the features ``[B, P, D]`` of the patches, zero for an example without image, and their mask.

        P is the number of patches over all levels, D the width of the image encoder; the mask is bool ``[B, P]``. In
        pre-training on crops, the features of V changed images (rotations and grey patches) follow, ``[B, P + V, D]``;
        the mask still covers the P patches only.
        """
        assert self.image_encoder is not None
        tokens = self.image_encoder(batch).tokens  # [B, P + V, D] of crops, [B, T, D] of a grid
        # Zero the tokens of missing images: they may be NaN, and NaN times zero is NaN.
        tokens = torch.where(batch.has_image[:, None, None], tokens, 0)
        if not isinstance(self.image_encoder, PatchEncoder):
            tokens = grid_weights(self.config.levels, tokens.shape[1]).to(tokens) @ tokens
        elif tokens.shape[1] < self.image_encoder.patches:  # without any image, an encoder returns a single token
            tokens = tokens[:, :1].expand(-1, self.image_encoder.patches, -1)
        tokens = F.layer_norm(tokens, tokens.shape[-1:]) if self.config.standardise else tokens
        return tokens, batch.has_image[:, None].expand(-1, count(self.config.levels))

    def embed_image(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return patch tokens ``[B, P, H]``, zero where there is no image, and their mask; variants are ignored."""
        tokens = self.image_embedding(features[:, : mask.shape[1]], self.place)
        return torch.where(mask[:, :, None], tokens, 0), mask
