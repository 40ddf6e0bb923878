"""Pre-training losses of ImageBERT, as an addition to the cross-entropy of the tasks; secondary sources only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch
from mmeval.nn import BertEncoder
from mmeval_imagebert.config import ImageBERTConfig

if TYPE_CHECKING:
    from mmeval_imagebert.model import ImageBERT


class WordHead(nn.Module):
    """BERT's masked language model: a layer, then the word vectors themselves as the classifier."""

    def __init__(self, width: int, vocabulary: int) -> None:
        """``width`` features in, ``vocabulary`` logits out."""
        super().__init__()
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """States ``[N, H]`` and word vectors ``[vocabulary, H]`` -> logits."""
        return F.linear(self.norm(F.gelu(self.dense(states))), table, self.bias)


class Pretraining(nn.Module):
    """Masked words, masked regions (L2) and image-text matching, in a second pass over the corrupted sequence.

    Masked object classification, the paper's fourth task, needs a detector's labels and is left out.
    """

    def __init__(self, trunk: BertEncoder, config: ImageBERTConfig, features: int) -> None:
        """``features`` per region are to be predicted."""
        super().__init__()
        self.weight, self.share, self.special = config.pretraining_weight, config.mask_share, trunk.tokenizer.special
        self.matching = nn.Linear(trunk.width, 2)
        self.regression = nn.Linear(trunk.width, features)
        # States of a frozen text encoder have no vocabulary to predict from.
        self.has_words = not config.text_encoder and self.special.mask >= 0
        if self.has_words:
            self.words = WordHead(trunk.width, trunk.embeddings.word_embeddings.num_embeddings)

    def forward(
        self, model: ImageBERT, batch: Batch, features: Tensor, regions: Tensor, words: Tensor
    ) -> dict[str, Tensor]:
        """Losses by name; ``features`` ``[B, R, D]`` with mask ``regions``, ``words`` is the text's mask ``[B, T]``."""
        length, both = words.shape[1], words.any(1) & regions.any(1)
        features, matched = self._swap(features.detach(), both)
        # The text must not be made to fit an image that isn't its own.
        together = both & matched
        hidden = torch.rand(regions.shape, device=regions.device) < self.share
        ids, masked = self._mask(batch, words)
        text, words = model.embed_text(batch, ids)
        states, pooled = model.read(text, words, torch.where(hidden[:, :, None], 0, features), regions)
        matching = F.cross_entropy(self.matching(pooled).float(), matched.long(), reduction="none")
        hidden = hidden & together[:, None]
        predicted = self.regression(states[:, length : length + regions.shape[1]])
        distance = (predicted.float() - features.float()).square().mean(2)
        losses = {"matching": _mean(matching, both), "regions": _mean(distance, hidden)}
        if ids is not None and batch.text_ids is not None:
            masked = masked & together[:, None]
            table = model.trunk.embeddings.word_embeddings.weight
            logits = self.words(states[:, :length][masked], table)
            total = F.cross_entropy(logits.float(), batch.text_ids[masked], reduction="sum")
            losses["words"] = total / masked.sum().clamp(min=1)
        return {f"pretraining {name}": self.weight * loss for name, loss in losses.items()}

    def _swap(self, features: Tensor, both: Tensor) -> tuple[Tensor, Tensor]:
        """Image-text matching: half of the examples get the image of their neighbour in the batch.

        A neighbour that shows the same image (in another language) matches.
        """
        swapped = both & both.roll(1) & (torch.rand(both.shape, device=both.device) < 0.5)
        changed = torch.where(swapped[:, None, None], features.roll(1, 0), features)
        return changed, (changed == features).flatten(1).all(1)

    def _mask(self, batch: Batch, words: Tensor) -> tuple[Tensor | None, Tensor]:
        """Ids ``[B, T]`` with some words masked, as in BERT (80 % [MASK], 10 % another), and bool ``[B, T]`` which."""
        ids = batch.text_ids
        if not self.has_words or ids is None:
            return None, words
        maskable = words & (ids != self.special.cls) & (ids != self.special.sep)
        masked = maskable & (torch.rand(ids.shape, device=ids.device) < self.share)
        kind = torch.rand(ids.shape, device=ids.device)
        random = torch.randint_like(ids, self.words.bias.numel())
        changed = torch.where(kind < 0.8, self.special.mask, torch.where(kind < 0.9, random, ids))
        return torch.where(masked, changed, ids), masked


def _mean(losses: Tensor, counted: Tensor) -> Tensor:
    """Mean of what counts; zero if nothing does."""
    return torch.where(counted, losses, 0).sum() / counted.sum().clamp(min=1)
