"""CoCa (Yu et al. 2022, arXiv 2205.01917), to be read beside the paper: poolers, two decoders, three losses."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext
from mmeval.nn import ClassPrior, FeatureDropout, Heads, Output, TorchModel
from mmeval_coca.config import CoCaConfig
from mmeval_coca.layers import AttentionalPooler, Layer, causal
from mmeval_coca.make import encoders
from mmeval_coca.published import published
from mmeval_coca.towers import TextDecoder, Unimodal


class Seen(NamedTuple):
    """What the towers make of ``B`` examples; a missing image or text is a zero vector wherever it should be."""

    image: Tensor
    """``[B, K, source]``, the image encoder's output."""
    image_mask: Tensor
    """bool ``[B, K]``, never all False in a row."""
    text: Tensor
    """``[B, T, width]``, the unimodal decoder's."""
    text_mask: Tensor
    """bool ``[B, T]``."""
    cls: Tensor
    """``[B, width]``, the unimodal decoder's [CLS], before its LayerNorm."""


class Poolers(nn.Module):
    """Task-specific attentional poolers (section 3.2): image tokens for captioning, and one vector for contrast."""

    def __init__(self, config: CoCaConfig, source: int, *, contrast: bool) -> None:
        """``contrast``: whether the second is asked for; one that isn't would never learn."""
        super().__init__()
        self.first = AttentionalPooler(config.width, config.pooler_heads, source, config.queries)
        cascade = contrast and config.poolers == "cascade"
        self.second = AttentionalPooler(config.width, config.pooler_heads, config.width, 1) if cascade else None
        self.single = config.poolers == "single"

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, K, source]`` -> caption tokens ``[B, Q, width]`` and the vector for contrast ``[B, width]``."""
        tokens = self.first(x, mask)
        if self.single:
            return tokens[:, 1:], tokens[:, 0]
        # Without a second one there is no contrast, and nobody reads this vector.
        return tokens, (tokens if self.second is None else self.second(tokens))[:, 0]


class Multimodal(nn.Module):
    """The multimodal text decoder (section 3.2): causal, with cross-attention to the caption tokens."""

    def __init__(self, config: CoCaConfig) -> None:
        super().__init__()
        two = config.multimodal_block == "open_clip"
        self.layers = nn.ModuleList(
            Layer(config.width, config.heads, config.dropout, cross=True, two_mlps=two)
            for _ in range(config.multimodal_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, text: Tensor, mask: Tensor, cls: Tensor, image: Tensor, *, words: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Unimodal states ``[B, T, width]``, [CLS] ``[B, width]`` behind them -> the same, having seen ``image``.

        ``words``: whether any are to be predicted; else of the states none is made in the top layer (``T = 0``).

        Causal attention keeps [CLS] from the tokens before it, so that captioning isn't told what it is to predict.
        """
        x, seen = torch.cat([text, cls[:, None].to(text.dtype)], 1), causal(mask)
        for layer in self.layers[:-1]:
            x = layer(x, seen, image)
        x = self.norm(self.layers[-1](x, seen, image, last=not words))
        return x[:, :-1], x[:, -1]


class Core(nn.Module):
    """All of CoCa but its two encoders; of each part only what the config makes use of."""

    def __init__(self, config: CoCaConfig, source: int, vocabulary: int = 0) -> None:
        """``source``: features of image tokens. ``vocabulary``: words that a caption may have."""
        super().__init__()
        contrast, caption = config.contrastive_weight > 0, config.caption_weight > 0
        pooled, fused = config.classify != "multimodal-cls", config.classify != "unimodal+pooled"
        width = config.width
        self.poolers = Poolers(config, source, contrast=contrast) if contrast or caption or fused else None
        self.multimodal = Multimodal(config) if caption or fused else None
        self.vocabulary = nn.Linear(width, vocabulary, bias=False) if caption else None
        self.text_norm = nn.LayerNorm(width) if contrast or pooled else None
        self.image_projection = nn.Linear(width, config.embedding, bias=False) if contrast else None
        self.text_projection = nn.Linear(width, config.embedding, bias=False) if contrast else None
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(config.temperature))) if contrast else None
        self.class_pooler = AttentionalPooler(width, config.pooler_heads, source, 1) if pooled else None
        # What torch draws by default for a linear layer is a third of this, and too little for a vocabulary.
        for layer in (self.vocabulary, self.image_projection, self.text_projection):
            if layer is not None:
                nn.init.normal_(layer.weight, std=width**-0.5)

    def embed_image(self, contrast: Tensor) -> Tensor:
        """The vector of the second pooler ``[B, width]`` -> unit vectors ``[B, embedding]``."""
        assert self.image_projection is not None
        return F.normalize(self.image_projection(contrast).float(), dim=-1)

    def embed_text(self, cls: Tensor) -> Tensor:
        """The unimodal [CLS] ``[B, width]`` -> unit vectors ``[B, embedding]``."""
        assert self.text_projection is not None
        assert self.text_norm is not None
        return F.normalize(self.text_projection(self.text_norm(cls)).float(), dim=-1)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """L_Con (section 3.1): each image finds its text among the batch's and each text its image; unit vectors.

    ``same`` bool ``[B, B]``: rows that show one image, as its names in several languages do. They are left out of
    each other's comparison, in which only one text would be the image's; the paper's batches have no such rows.
    The sum of both directions is halved, as in CLIP and open_clip; whether the paper does so is unverified.
    """
    logits = scale * image @ text.T
    target = torch.arange(len(logits), device=logits.device)
    others = same & (target[:, None] != target)
    logits = logits.masked_fill(others, torch.finfo(logits.dtype).min)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class CoCa(TorchModel):
    """Image encoder, attentional poolers, unimodal and multimodal text decoder, a linear layer per task."""

    config: CoCaConfig

    def __init__(self, config: CoCaConfig, context: ModelContext) -> None:
        """Build the encoders by name, or take a published CoCa whole, and put the heads on top.

        Raises:
            UserError: options that contradict each other.
            MissingExtraError: a package is not installed.
            MissingWeightsError: published weights can't be had.
        """
        super().__init__(config, context)
        whole = published(config) if config.weights else None
        config = whole.config if whole else config
        image, text = encoders(config, whole)
        self.image_encoder, self.text_encoder = image, text
        self.core = Core(config, image.width, text.vocabulary if isinstance(text, TextDecoder) else 0)
        if whole:
            whole.fill(self)
        # Frozen tokens differ in scale from encoder to encoder; the poolers have a norm of their own.
        self.adapter: nn.Module | None = None
        self.unimodal: Unimodal | None = None
        if not isinstance(self.text_encoder, TextDecoder):
            self.unimodal = Unimodal(config)
            width = self.text_encoder.width
            self.adapter = nn.Sequential(
                nn.LayerNorm(width), FeatureDropout(config.input_dropout), nn.Linear(width, config.width)
            )
        parts = {"multimodal-cls": 1, "unimodal+pooled": 2, "both": 3}[config.classify]
        self.text_length = config.text_length
        self.input_dropout, self.dropout = FeatureDropout(config.input_dropout), nn.Dropout(config.dropout)
        self.heads = Heads(parts * config.width, context)
        self.prior = ClassPrior(context)

    def forward(self, batch: Batch) -> Output:
        """Logits of every task; in training also the losses ``contrastive`` and ``captioning``, over the batch."""
        has_image, has_text = self._shown(batch)
        seen = self._look(batch, has_image, has_text)
        core, features = self.core, list[Tensor]()
        losses: dict[str, Tensor] = {}
        both, image = has_image & has_text, self.input_dropout(seen.image)  # only both are a pair
        if core.poolers is not None:
            tokens, contrast = core.poolers(image, seen.image_mask)
            tokens = torch.where(has_image[:, None, None], tokens, 0)
            if self.training and self.config.contrastive_weight:
                losses |= self._contrast(batch, contrast, seen.cls, both)
            if core.multimodal is not None:
                caption = self.training and self.config.caption_weight > 0
                states, cls = core.multimodal(seen.text, seen.text_mask, seen.cls, tokens, words=caption)
                if caption:
                    losses |= self._caption(states, seen.text_mask, batch.text_ids, both)
                if self.config.classify != "unimodal+pooled":
                    features.append(cls)
        if core.class_pooler is not None and core.text_norm is not None:
            pooled = core.class_pooler(image, seen.image_mask)[:, 0]
            features += [torch.where(has_image[:, None], pooled, 0), core.text_norm(seen.cls)]
        logits = self.heads(self.dropout(torch.cat(features, -1)))
        return Output(self.prior(logits, has_image | has_text), losses)

    def _shown(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is shown, bool ``[B]`` each: in training one of two is hidden now and then."""
        has_image, has_text = batch.has_image, batch.has_text
        if not (self.training and self.config.modality_dropout):
            return has_image, has_text
        u, rate = torch.rand(len(batch), device=has_image.device), self.config.modality_dropout
        hide_image, hide_text = u < rate / 2, (u >= rate / 2) & (u < rate)
        return has_image & ~(hide_image & has_text), has_text & ~(hide_text & has_image)

    def _look(self, batch: Batch, has_image: Tensor, has_text: Tensor) -> Seen:
        """Run the encoders and the unimodal decoder. What is missing is zeroed first: NaN times zero is NaN."""
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        image, text = self.image_encoder(batch), self.text_encoder(batch)
        pixels = torch.where(has_image[:, None, None], image.tokens, 0)
        mask, cls = text.mask & has_text[:, None], text.pooled
        states = torch.where(mask[:, :, None], text.tokens, 0)
        if self.unimodal is not None and self.adapter is not None:
            states, mask = states[:, : self.text_length], mask[:, : self.text_length]
            states, cls = self.unimodal(self.adapter(states), mask)
        cls = torch.where(has_text[:, None], cls, 0)
        return Seen(pixels, image.mask | ~has_image[:, None], states, mask, cls)

    def _contrast(self, batch: Batch, image: Tensor, cls: Tensor, pairs: Tensor) -> dict[str, Tensor]:
        """L_Con of the batch's pairs; none if they are fewer than two."""
        if pairs.sum() < 2 or self.core.logit_scale is None:
            return {}
        unit = self.core.embed_image(image[pairs]), self.core.embed_text(cls[pairs])
        # Not above 100, as in CLIP: the softmax would become unstable.
        scale = self.core.logit_scale.exp().clamp(max=100)
        loss = contrastive_loss(*unit, scale, batch.same_image()[pairs][:, pairs])
        return {"contrastive": self.config.contrastive_weight * loss}

    def _caption(self, states: Tensor, mask: Tensor, ids: Tensor | None, pairs: Tensor) -> dict[str, Tensor]:
        """L_Cap (section 3.1): each state of a pair's text predicts the next word; none if there is no word."""
        assert self.core.vocabulary is not None
        if ids is None:
            raise ValueError("the batch holds no ids to predict")
        known = mask[:, 1:] & pairs[:, None]
        if not known.any():
            return {}
        loss = F.cross_entropy(self.core.vocabulary(states[:, :-1][known]).float(), ids[:, 1:][known])
        return {"captioning": self.config.caption_weight * loss}
