"""Pre-training losses of KaleidoBERT (section 3.4 and 3.5), as an addition to the cross-entropy of the tasks."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch
from mmeval.nn import BertEncoder
from mmeval_kaleidobert.config import KaleidoBERTConfig
from mmeval_kaleidobert.patches import GREY_LEVEL, TURNS, count, start

if TYPE_CHECKING:
    from mmeval_kaleidobert.model import KaleidoBERT

ORDERS = tuple(permutations(range(4)))
GREY, BLANK = 2, 3
"""Patches of level 4 shown in grey, and of level 5 not shown (authors' code)."""
SHARPNESS = 10.0
"""Of the draw of words to be masked, in units of one over cosine."""
SHARE = 0.15


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
    """Spoils every level and the text at once, as the authors do, reads that in a second pass, scores the repair."""

    def __init__(self, trunk: BertEncoder, config: KaleidoBERTConfig, features: int) -> None:
        """Heads of those tasks that the options allow; ``features`` per patch."""
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

    def forward(
        self, model: KaleidoBERT, batch: Batch, features: Tensor, words: Tensor, states: Tensor
    ) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            model: whose trunk reads the corrupted sequence.
            batch: what was shown.
            features: ``[B, P + V, D]``, patches and variants.
            words: bool ``[B, T]``.
            states: ``[B, T + P, H]`` of the unspoilt sequence, from which the alignment is taken.
        """
        length, both = words.shape[1], words.any(1) & batch.has_image
        features, matched = self._swap(features.detach(), both)
        shown, goals = self._spoil(features, batch.has_image)
        ids, masked = self._mask(batch, words, states.detach())
        text, words = model.embed_text(batch, ids)
        corrupted, pooled = model.read(text, words, shown, batch.has_image)
        losses = {"matching": _classify(self.heads["matching"](pooled), matched.long(), both)}
        patches = corrupted[:, length:]
        for name, level in (("rotation", 1), ("jigsaw", 2), ("camouflage", 3)):
            if name in goals:
                own = patches[:, start(level) : start(level) + level**2].flatten(1)
                losses[name] = _classify(self.heads[name](own), goals[name], batch.has_image)
        # What the text tells of a patch, and a patch of the text, is to be used where they belong together.
        together = both & matched
        for name in ("grey", "blank"):
            if name in goals:
                at = goals[name]
                losses[name] = _divergence(self.heads[name](_take(patches, at)), _take(features, at), together)
        if ids is not None and batch.text_ids is not None:
            masked = masked & together[:, None]
            logits = self.heads["words"](corrupted[:, :length][masked], model.trunk.embeddings.word_embeddings.weight)
            losses["words"] = F.cross_entropy(logits.float(), batch.text_ids[masked], reduction="sum") / max(
                1, int(masked.sum())
            )
        return {f"pretraining {name}": self.weight * loss for name, loss in losses.items()}

    def _swap(self, features: Tensor, both: Tensor) -> tuple[Tensor, Tensor]:
        """Image-text matching: half of the examples get the image of their neighbour in the batch.

        A neighbour that shows the same image (in another language) matches.
        """
        swapped = both & both.roll(1) & (torch.rand(both.shape, device=both.device) < 0.5)
        changed = torch.where(swapped[:, None, None], features.roll(1, 0), features)
        return changed, (changed == features).flatten(1).all(1)

    def _spoil(self, features: Tensor, has_image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Spoilt patches ``[B, P, D]``, and by task the class ``[B]`` or the places ``[B, n]`` to be restored.

        Patches are encoded one by one, so that moving features is moving patches. With the patch source `grid`, that
        is so but for what a token knows of its surroundings.
        """
        size, device, patches = len(features), features.device, count(self.levels)
        shown, goals = features[:, :patches].clone(), dict[str, Tensor]()
        rows = torch.arange(size, device=device)
        if "rotation" in self.heads:
            goals["rotation"] = torch.randint(TURNS + 1, (size,), device=device)
            turned = torch.cat([features[:, :1], features[:, patches : patches + TURNS]], 1)
            shown[:, 0] = turned[rows, goals["rotation"]]
        if "jigsaw" in self.heads:
            goals["jigsaw"] = torch.randint(len(ORDERS), (size,), device=device)
            order = torch.tensor(ORDERS, device=device)[goals["jigsaw"]]
            shown[:, start(2) : start(3)] = _take(features, start(2) + order)
        if "camouflage" in self.heads:
            # The stranger is the same patch of the neighbour in the batch; which one it is in the paper is unverified.
            goals["camouflage"] = torch.randint(9, (size,), device=device)
            at = start(3) + goals["camouflage"]
            shown[rows, at] = torch.where(has_image.roll(1)[:, None], features.roll(1, 0)[rows, at], 0)
        if "grey" in self.heads:
            goals["grey"] = start(GREY_LEVEL) + _draw(size, GREY_LEVEL**2, GREY, device)
            greyed = _take(features, goals["grey"] - start(GREY_LEVEL) + patches + TURNS)
            shown[rows[:, None], goals["grey"]] = greyed
        if "blank" in self.heads:
            goals["blank"] = start(5) + _draw(size, 25, BLANK, device)
            shown[rows[:, None], goals["blank"]] = 0
        return shown, goals

    def _mask(self, batch: Batch, words: Tensor, states: Tensor) -> tuple[Tensor | None, Tensor]:
        """Aligned masked language model: ids ``[B, T]`` with some words masked, and bool ``[B, T]`` which.

        The paper aligns words and patches with a captioner beforehand. Here a word is the likelier to be masked, the
        nearer its state is to that of some patch, which is ours. 80 % become [MASK], 10 % another word.
        """
        if "words" not in self.heads or batch.text_ids is None:
            return None, words
        length = words.shape[1]
        ids = batch.text_ids
        towards = F.normalize(states, dim=-1)
        score = (towards[:, :length] @ towards[:, length:].transpose(1, 2)).amax(2) * SHARPNESS
        maskable = words & (ids != self.special.cls) & (ids != self.special.sep)
        noise = -torch.empty_like(score, dtype=torch.float32).exponential_().log()  # Gumbel: a draw without replacement
        rank = (score + noise).masked_fill(~maskable, -torch.inf).argsort(1, descending=True).argsort(1)
        most = (maskable.sum(1, keepdim=True) * SHARE).ceil().clamp(max=self.masked_words)
        masked = maskable & (rank < most)
        kind = torch.rand(ids.shape, device=ids.device)
        random = torch.randint_like(ids, self.vocabulary)
        changed = torch.where(kind < 0.8, self.special.mask, torch.where(kind < 0.9, random, ids))
        return torch.where(masked, changed, ids), masked


def _classify(logits: Tensor, goal: Tensor, counted: Tensor) -> Tensor:
    """Mean cross-entropy of the rows that count; zero if none does."""
    losses = F.cross_entropy(logits.float(), goal, reduction="none")
    return torch.where(counted, losses, 0).sum() / counted.sum().clamp(min=1)


def _divergence(predicted: Tensor, features: Tensor, counted: Tensor) -> Tensor:
    """KL divergence of softmax(prediction) from softmax(features), both ``[B, n, D]``: mean over rows that count."""
    losses = F.kl_div(
        predicted.float().log_softmax(-1), features.float().log_softmax(-1), reduction="none", log_target=True
    )
    return torch.where(counted, losses.sum(2).mean(1), 0).sum() / counted.sum().clamp(min=1)


def _take(x: Tensor, at: Tensor) -> Tensor:
    """``[B, P, D]`` at places ``[B, n]`` -> ``[B, n, D]``."""
    return x.gather(1, at[:, :, None].expand(-1, -1, x.shape[2]))


def _draw(size: int, places: int, wanted: int, device: torch.device) -> Tensor:
    """``wanted`` different places of each row: int64 ``[size, wanted]``."""
    return torch.rand(size, places, device=device).topk(wanted, 1).indices
