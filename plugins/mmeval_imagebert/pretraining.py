"""Pre-training losses of ImageBERT, added to the cross-entropy of the tasks; after secondary sources."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmeval import Batch
from mmeval.nn import (
    BertEncoder,
    FirstPass,
    SingleStream,
    WordHead,
    corrupt_words,
    masked_cross_entropy,
    masked_mean,
    masked_word_loss,
    swap_images,
)
from mmeval_imagebert.config import ImageBERTConfig


class Pretraining(nn.Module):
    """Masked words, masked regions (L2) and image-text matching, in a second pass over the corrupted sequence.

    Masked object classification, the paper's fourth task, needs the labels of a detector and is left out.
    """

    def __init__(self, trunk: BertEncoder, config: ImageBERTConfig, features: int) -> None:
        """Create the heads; ``features`` is the width of the region features to predict."""
        super().__init__()
        self.weight, self.share, self.special = config.pretraining_weight, config.mask_share, trunk.tokenizer.special
        self.matching = nn.Linear(trunk.width, 2)
        self.regression = nn.Linear(trunk.width, features)
        # The states of a separate text encoder have no vocabulary to predict.
        self.has_words = not config.text_encoder and self.special.mask >= 0
        if self.has_words:
            self.words = WordHead(trunk.width, trunk.embeddings.word_embeddings.num_embeddings)

    def forward(self, model: SingleStream, batch: Batch, first: FirstPass) -> dict[str, Tensor]:
        """Return the weighted losses by name; ``model`` reads the corrupted sequence in a second pass."""
        features, image_mask, text_mask, _ = first
        length, both = text_mask.shape[1], text_mask.any(1) & image_mask.any(1)
        features, matched = swap_images(features.detach(), both)
        # Words and regions are predicted only where the image belongs to the text.
        together = both & matched
        hidden = torch.rand(image_mask.shape, device=image_mask.device) < self.share
        ids, masked = self._mask(batch, text_mask)
        content, text_mask = model.text_content(batch, ids)
        visible = torch.where(hidden[:, :, None], 0, features)
        states, pooled = model.read(content, text_mask, visible, image_mask)
        predicted = self.regression(states[:, length : length + image_mask.shape[1]])
        distance = (predicted.float() - features.float()).square().mean(2)
        losses = {
            "matching": masked_cross_entropy(self.matching(pooled), matched.long(), both),
            "regions": masked_mean(distance, hidden & together[:, None]),
        }
        if ids is not None and batch.text_ids is not None:
            table = model.trunk.embeddings.word_embeddings.weight
            masked = masked & together[:, None]
            losses["words"] = masked_word_loss(self.words, states[:, :length], table, batch.text_ids, masked)
        return {f"pretraining {name}": self.weight * loss for name, loss in losses.items()}

    def _mask(self, batch: Batch, text_mask: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return ids ``[B, T]`` with some words corrupted, and bool ``[B, T]``: the words to predict."""
        ids = batch.text_ids
        if not self.has_words or ids is None:
            return None, text_mask
        maskable = text_mask & (ids != self.special.cls) & (ids != self.special.sep)
        masked = maskable & (torch.rand(ids.shape, device=ids.device) < self.share)
        return corrupt_words(ids, masked, self.special.mask, self.words.bias.numel()), masked
