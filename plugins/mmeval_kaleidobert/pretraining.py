"""Pre-training losses of KaleidoBERT (sections 3.4 and 3.5), added to the cross-entropy of the tasks."""

from __future__ import annotations

from itertools import permutations

import torch
import torch.nn.functional as F
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
from mmeval_kaleidobert.config import KaleidoBERTConfig
from mmeval_kaleidobert.patches import GREY_LEVEL, TURNS, count, start

ORDERS = tuple(permutations(range(4)))
GREY, BLANK = 2, 3
"""Number of patches of level 4 shown in grey, and of patches of level 5 not shown (authors' code)."""
SHARPNESS = 10.0
"""Factor on the cosine similarity of word and patch, in the draw of the words to mask."""
SHARE = 0.15
"""Largest fraction of the words of a text to mask."""


class Pretraining(nn.Module):
    """Corrupts every level and the text at once, as the authors do, and predicts the original in a second pass."""

    def __init__(self, trunk: BertEncoder, config: KaleidoBERTConfig, features: int) -> None:
        """Create the heads of the tasks that the options allow; ``features`` is the width of patch features."""
        super().__init__()
        width, levels, crops = trunk.width, config.levels, config.patch_source == "crops"
        self.weight, self.levels, self.masked_words = config.pretraining_weight, levels, config.masked_words
        heads: dict[str, nn.Module] = {"matching": nn.Linear(width, 2)}
        if crops:
            heads["rotation"] = nn.Linear(width, TURNS + 1)
        if levels >= 2:
            heads["jigsaw"] = nn.Linear(4 * width, len(ORDERS))
        if levels >= 3:
            heads["camouflage"] = nn.Linear(9 * width, 9)
        if crops and levels >= GREY_LEVEL:
            heads["grey"] = nn.Linear(width, features, bias=False)
        if levels >= 5:
            heads["blank"] = nn.Linear(width, features, bias=False)
        self.special = trunk.tokenizer.special
        if not config.text_encoder and self.special.mask >= 0:
            self.vocabulary = trunk.embeddings.word_embeddings.num_embeddings
            heads["words"] = WordHead(width, self.vocabulary)
        self.heads = nn.ModuleDict(heads)

    def forward(self, model: SingleStream, batch: Batch, first: FirstPass) -> dict[str, Tensor]:
        """Return the weighted losses by name; ``model`` reads the corrupted sequence in a second pass.

        The features of the first pass are ``[B, P + V, D]``, of patches and variants. Its states choose the words to
        mask.
        """
        features, image_mask, text_mask, states = first
        length, both = text_mask.shape[1], text_mask.any(1) & batch.has_image
        features, matched = swap_images(features.detach(), both)
        visible, targets = self._corrupt(features, batch.has_image)
        ids, masked = self._mask(batch, text_mask, states.detach())
        content, text_mask = model.text_content(batch, ids)
        states, pooled = model.read(content, text_mask, visible, image_mask)
        losses = {"matching": masked_cross_entropy(self.heads["matching"](pooled), matched.long(), both)}
        patches = states[:, length:]
        for name, level in (("rotation", 1), ("jigsaw", 2), ("camouflage", 3)):
            if name in targets:
                own = patches[:, start(level) : start(level) + level**2].flatten(1)
                losses[name] = masked_cross_entropy(self.heads[name](own), targets[name], batch.has_image)
        # Patches and words are restored only where the image belongs to the text.
        together = both & matched
        for name in ("grey", "blank"):
            if name in targets:
                at = targets[name]
                losses[name] = _divergence(self.heads[name](_take(patches, at)), _take(features, at), together)
        if ids is not None and batch.text_ids is not None:
            head, table = self.heads["words"], model.trunk.embeddings.word_embeddings.weight
            assert isinstance(head, WordHead)
            masked = masked & together[:, None]
            losses["words"] = masked_word_loss(head, states[:, :length], table, batch.text_ids, masked)
        return {f"pretraining {name}": self.weight * loss for name, loss in losses.items()}

    def _corrupt(self, features: Tensor, has_image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return corrupted patches ``[B, P, D]``, and by task the class ``[B]`` or the places ``[B, n]`` to restore.

        Crops are encoded one by one, so that moving the features of a patch equals moving the patch. With the patch
        source `grid` this is approximate: a token has seen its surroundings.
        """
        size, device, patches = len(features), features.device, count(self.levels)
        visible, targets = features[:, :patches].clone(), dict[str, Tensor]()
        rows = torch.arange(size, device=device)
        if "rotation" in self.heads:
            targets["rotation"] = torch.randint(TURNS + 1, (size,), device=device)
            turned = torch.cat([features[:, :1], features[:, patches : patches + TURNS]], 1)
            visible[:, 0] = turned[rows, targets["rotation"]]
        if "jigsaw" in self.heads:
            targets["jigsaw"] = torch.randint(len(ORDERS), (size,), device=device)
            order = torch.tensor(ORDERS, device=device)[targets["jigsaw"]]
            visible[:, start(2) : start(3)] = _take(features, start(2) + order)
        if "camouflage" in self.heads:
            # The stranger is the same patch of the neighbour in the batch; the paper's choice is unverified.
            targets["camouflage"] = torch.randint(9, (size,), device=device)
            at = start(3) + targets["camouflage"]
            visible[rows, at] = torch.where(has_image.roll(1)[:, None], features.roll(1, 0)[rows, at], 0)
        if "grey" in self.heads:
            targets["grey"] = start(GREY_LEVEL) + _draw(size, GREY_LEVEL**2, GREY, device)
            greyed = _take(features, targets["grey"] - start(GREY_LEVEL) + patches + TURNS)
            visible[rows[:, None], targets["grey"]] = greyed
        if "blank" in self.heads:
            targets["blank"] = start(5) + _draw(size, 25, BLANK, device)
            visible[rows[:, None], targets["blank"]] = 0
        return visible, targets

    def _mask(self, batch: Batch, text_mask: Tensor, states: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return ids ``[B, T]`` with some words corrupted, and bool ``[B, T]``: the words to predict.

        Aligned masked language modelling: the paper aligns words and patches with a captioner beforehand. Here, which
        is ours, a word is more likely to be masked the closer its state is to the state of any patch.
        """
        if "words" not in self.heads or batch.text_ids is None:
            return None, text_mask
        length = text_mask.shape[1]
        ids = batch.text_ids
        towards = F.normalize(states, dim=-1)
        score = (towards[:, :length] @ towards[:, length:].transpose(1, 2)).amax(2) * SHARPNESS
        maskable = text_mask & (ids != self.special.cls) & (ids != self.special.sep)
        noise = -torch.empty_like(score, dtype=torch.float32).exponential_().log()  # Gumbel: draw without replacement
        rank = (score + noise).masked_fill(~maskable, -torch.inf).argsort(1, descending=True).argsort(1)
        most = (maskable.sum(1, keepdim=True) * SHARE).ceil().clamp(max=self.masked_words)
        masked = maskable & (rank < most)
        return corrupt_words(ids, masked, self.special.mask, self.vocabulary), masked


def _divergence(predicted: Tensor, features: Tensor, mask: Tensor) -> Tensor:
    """Return KL(softmax(features) || softmax(predicted)) of ``[B, n, D]``: the mean over rows of the mask ``[B]``."""
    losses = F.kl_div(
        predicted.float().log_softmax(-1), features.float().log_softmax(-1), reduction="none", log_target=True
    )
    return masked_mean(losses.sum(2).mean(1), mask)


def _take(x: Tensor, at: Tensor) -> Tensor:
    """Return ``x`` ``[B, P, D]`` at the places ``at`` ``[B, n]``: ``[B, n, D]``."""
    return x.gather(1, at[:, :, None].expand(-1, -1, x.shape[2]))


def _draw(size: int, places: int, wanted: int, device: torch.device) -> Tensor:
    """Draw ``wanted`` different places for each row: int64 ``[size, wanted]``."""
    return torch.rand(size, places, device=device).topk(wanted, 1).indices
