"""KaleidoBERT (Zhuge et al. 2021, arXiv 2103.16110), to be read beside the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import BertEncoder, ClassPrior, Heads, Output, TorchModel, bert, image_encoder, text_encoder
from mmeval_kaleidobert.config import KaleidoBERTConfig
from mmeval_kaleidobert.patches import PatchEncoder, boxes, count, grid_weights
from mmeval_kaleidobert.pretraining import Pretraining

EPSILON = 1e-12
"""BERT's epsilon of LayerNorm."""


class PatchEmbedding(nn.Module):
    """Patch features and boxes -> patch tokens (section 3.2, authors' code).

    Per level l: ``LN_l(f W_l + type_l + box W_box)``. ``W_l``, ``type_l`` and ``LN_l`` belong to the level,
    ``W_box`` to all; no projection has a bias. Dropout on f and on the tokens.
    """

    def __init__(self, features: int, width: int, levels: int = 5, dropout: float = 0.1) -> None:
        """``features`` per patch come in, ``width`` go out."""
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
        """Features ``[B, P, F]`` and boxes ``[P, 5]`` of P = 1 + 4 + 9 + ... patches -> tokens ``[B, P, H]``."""
        parts = zip(self.dropout(features).split(self.sizes, 1), self.boxes(box).split(self.sizes, -2), strict=True)
        tokens = [
            norm(project(f) + kind + place)
            for (f, place), project, norm, kind in zip(
                parts, self.projections, self.norms, self.types.weight, strict=True
            )
        ]
        out: Tensor = self.dropout(torch.cat(tokens, 1))
        return out


class KaleidoBERT(TorchModel):
    """Text tokens, then patch tokens of each level, through one BERT; the pooled first state goes to the heads."""

    config: KaleidoBERTConfig

    def __init__(self, config: KaleidoBERTConfig, context: ModelContext) -> None:
        """Build trunk and encoders by name and the layers on top of them.

        Raises:
            UserError: the trunk is to be frozen.
        """
        super().__init__(config, context)
        if config.trunk_tuning.frozen:
            raise UserError("kaleidobert's trunk can't be frozen whole; freeze layers with trunk_tuning.frozen_layers.")
        trunk = bert(config.trunk, config.trunk_tuning, types=1)
        width = trunk.width
        if config.text_encoder:
            self.text_encoder = text_encoder(config.text_encoder, config.text_tuning, tokens=True)
            self.own_trunk: BertEncoder = trunk
            trunk.embeddings.word_embeddings = None  # nothing would read them
            self.words = nn.Linear(self.text_encoder.width, width)
        else:
            self.text_encoder = trunk
        crops, pretrains = config.patch_source == "crops", config.pretraining_weight > 0
        image = image_encoder(config.image_encoder, config.image_tuning, tokens=not crops)
        variants = crops and pretrains
        self.image_encoder = PatchEncoder(image, config.levels, variants=variants) if crops else image
        self.patches = PatchEmbedding(image.width, width, config.levels, config.dropout)
        place = boxes(config.levels, image.input.height, image.input.width, shares=config.boxes == "shares")
        self.register_buffer("place", place, persistent=False)
        self.pooler = trunk.take_pooler()
        self.dropout = nn.Dropout(config.dropout)
        self.heads = Heads(width, context)
        for layer in self.heads.layers.children():
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.01)  # authors' code
            nn.init.zeros_(layer.bias)
        self.prior = ClassPrior(context)
        if pretrains:
            self.pretraining = Pretraining(trunk, config, image.width)

    @property
    def trunk(self) -> BertEncoder:
        """The BERT: the text encoder itself where the text is its own words."""
        trunk = self.own_trunk if self.config.text_encoder else self.text_encoder
        assert isinstance(trunk, BertEncoder)
        return trunk

    def forward(self, batch: Batch) -> Output:
        """Logits of every task; in training with ``pretraining_weight`` the pre-training losses too."""
        features = self.features(batch)  # [B, P + V, D]
        text, words = self.embed_text(batch)  # [B, T, H], [B, T]
        states, pooled = self.read(text, words, features[:, : count(self.config.levels)], batch.has_image)
        logits = self.heads(self.dropout(pooled))
        losses = {}
        if self.training and self.config.pretraining_weight > 0:
            losses = self.pretraining(self, batch, features, words, states)
        return Output(self.prior(logits, words.any(1) | batch.has_image), losses)

    def features(self, batch: Batch) -> Tensor:
        """Features ``[B, P, D]`` of the patches, and behind them those of variants; zero where there is no image."""
        assert self.image_encoder is not None
        tokens = self.image_encoder(batch).tokens  # [B, P, D] of crops, [B, T, D] of a grid
        # What is missing is zeroed first: NaN times a mask of zero is NaN.
        tokens = torch.where(batch.has_image[:, None, None], tokens, 0)
        if not isinstance(self.image_encoder, PatchEncoder):
            tokens = grid_weights(self.config.levels, tokens.shape[1]).to(tokens) @ tokens
        elif not batch.has_image.any():  # then nothing was cut
            tokens = tokens[:, :1].expand(-1, self.image_encoder.patches, -1)
        return F.layer_norm(tokens, tokens.shape[-1:]) if self.config.standardise else tokens

    def embed_text(self, batch: Batch, ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """BERT's embedding ``[B, T, H]`` of the text, or of ``ids`` in its place, and its mask.

        A missing text is zeros with mask 0, so that position 0 is there to be pooled (authors' code).
        """
        assert self.text_encoder is not None
        trunk = self.trunk
        if self.config.text_encoder:
            encoded = self.text_encoder(batch)
            mask = encoded.mask
            tokens = torch.where(mask[:, :, None], encoded.tokens, 0)
            content = self.words(F.layer_norm(tokens, tokens.shape[-1:]) if self.config.standardise else tokens)
        else:
            assert batch.text_ids is not None
            assert batch.text_mask is not None
            mask = batch.text_mask & batch.has_text[:, None]
            content = trunk.words(batch.text_ids if ids is None else ids)
        # An encoder may read longer texts than the trunk has positions.
        most = trunk.embeddings.position_embeddings.num_embeddings - trunk.first_position
        content, mask = content[:, :most], mask[:, :most]
        text = trunk.embed(content, torch.arange(content.shape[1], device=content.device))
        return torch.where(mask[:, :, None], text, 0), mask

    def read(self, text: Tensor, words: Tensor, features: Tensor, has_image: Tensor) -> tuple[Tensor, Tensor]:
        """Text ``[B, T, H]``, features ``[B, P, D]`` -> the trunk's states ``[B, T + P, H]``, pooled ``[B, H]``."""
        patches = torch.where(has_image[:, None, None], self.patches(features, self.place), 0)
        mask = torch.cat([words, has_image[:, None].expand(patches.shape[:2])], 1)
        states = self.trunk.layers(torch.cat([text, patches], 1), mask)
        return states, self.pooler(states)
