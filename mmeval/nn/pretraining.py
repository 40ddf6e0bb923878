"""Parts of vision-language pre-training: masked words, image-text matching, and means over masked losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WordHead(nn.Module):
    """BERT's head of masked language modelling: a dense layer, then the word vectors as the classifier."""

    def __init__(self, width: int, vocabulary: int) -> None:
        """Map states of ``width`` features to ``vocabulary`` logits."""
        super().__init__()
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """Return the logits of states ``[N, H]``, given the word vectors ``[vocabulary, H]``."""
        return F.linear(self.norm(F.gelu(self.dense(states))), table, self.bias)


def corrupt_words(ids: Tensor, masked: Tensor, mask_id: int, vocabulary: int) -> Tensor:
    """Return ``ids`` with masked words replaced as in BERT: 80 % by [MASK], 10 % by a random word, 10 % by themselves.

    Args:
        ids: int64 ``[B, T]``.
        masked: bool ``[B, T]``, the words to predict.
        mask_id: id of [MASK].
        vocabulary: number of words to draw from.
    """
    kind = torch.rand(ids.shape, device=ids.device)
    random = torch.randint_like(ids, vocabulary)
    replaced = torch.where(kind < 0.8, mask_id, torch.where(kind < 0.9, random, ids))
    return torch.where(masked, replaced, ids)


def swap_images(features: Tensor, both: Tensor) -> tuple[Tensor, Tensor]:
    """Give half of the examples the image of their neighbour in the batch, for image-text matching.

    A neighbour with the same image (and a text in another language) still matches.

    Args:
        features: ``[B, R, D]``.
        both: bool ``[B]``, whether an example has image and text; only such examples are swapped.

    Returns:
        The features after the swap, and bool ``[B]``: whether image and text still belong together.
    """
    swapped = both & both.roll(1) & (torch.rand(both.shape, device=both.device) < 0.5)
    changed = torch.where(swapped[:, None, None], features.roll(1, 0), features)
    return changed, (changed == features).flatten(1).all(1)


def masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``losses`` where ``mask``, of the same shape, is True; 0 if it is True nowhere."""
    return torch.where(mask, losses, 0).sum() / mask.sum().clamp(min=1)


def masked_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cross-entropy of the rows ``[B, C]`` where bool ``mask`` ``[B]`` is True; 0 if there are none."""
    return masked_mean(F.cross_entropy(logits.float(), target, reduction="none"), mask)


def masked_word_loss(head: WordHead, states: Tensor, table: Tensor, ids: Tensor, masked: Tensor) -> Tensor:
    """Return the mean cross-entropy of the masked words; 0 if no word is masked.

    Args:
        head: predicts words from states.
        states: ``[B, T, H]``, the trunk's states of the corrupted text.
        table: word vectors ``[vocabulary, H]``.
        ids: int64 ``[B, T]``, the words before corruption.
        masked: bool ``[B, T]``, the words to predict.
    """
    total = F.cross_entropy(head(states[masked], table).float(), ids[masked], reduction="sum")
    return total / masked.sum().clamp(min=1)
