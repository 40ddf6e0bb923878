"""A text encoder of hashed character n-grams, for any script, without vocabulary or download."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval.data.batch import Batch
from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.name import EncoderName

PADDING = 0


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:
    """Build ``char-ngrams[:BUCKETSxWIDTH]``."""
    name.check_options()
    buckets, width = name.sizes("131072x64", "BUCKETS", "WIDTH")
    if min(buckets, width) < 2:
        raise UserError(f'"{name.full}": "{name.argument}" is no size of this encoder; write BUCKETSxWIDTH.')
    name.require_training("text", frozen)
    return CharNgrams(buckets, width)


class CharNgrams(TextEncoder):
    """The sum of learned vectors of hashed character n-grams, divided by the square root of their number.

    The subword model of fastText (Bojanowski et al. 2017, arXiv 1607.04606): each word, between ``<`` and ``>``, gives
    its n-grams of 1 to 5 characters and the word itself. Vectors start at zero, so an n-gram that training never
    saw adds nothing. A token is an n-gram.
    """

    def __init__(self, buckets: int = 1 << 17, width: int = 64, longest: int = 5, max_tokens: int = 512) -> None:
        """``buckets`` vectors of ``width``; n-grams of up to ``longest`` characters, ``max_tokens`` per text."""
        super().__init__()
        self.name = f"char-ngrams:{buckets}x{width}"
        self.width, self.longest = width, longest
        self.input = TextInput(max_tokens, f"character n-grams of up to {longest}")
        self.vectors = nn.Embedding(buckets, width, padding_idx=PADDING)
        nn.init.zeros_(self.vectors.weight)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` (0 is padding) and mask ``[B, T]`` of texts."""
        buckets = self.vectors.num_embeddings
        rows = [
            [n for word in _words(text) for n in _ngrams(word, self.longest, buckets)][: self.input.length]
            for text in texts
        ]
        ids = torch.full((len(rows), max(map(len, rows), default=0) or 1), PADDING)
        for row, values in enumerate(rows):
            ids[row, : len(values)] = torch.tensor(values, dtype=torch.long)
        return ids, ids != PADDING

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids into n-gram vectors ``[B, T, D]`` and their scaled sum ``[B, D]``."""
        return Encoded(self.vectors(ids), mask, self._pooled(ids, mask))

    def pool(self, batch: Batch) -> Tensor:
        """Return ``[B, D]`` without computing tokens."""
        return self._pooled(*self._tokens(batch))

    def _pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        total = F.embedding_bag(ids, self.vectors.weight, mode="sum", padding_idx=PADDING)
        return total / mask.sum(1, keepdim=True).clamp(min=1).sqrt()


def _words(text: str) -> list[str]:
    return unicodedata.normalize("NFKC", text).casefold().split()


@lru_cache(maxsize=1 << 18)
def _ngrams(word: str, longest: int, buckets: int) -> tuple[int, ...]:
    marked = f"<{word}>"
    grams = [marked[i : i + n] for n in range(1, longest + 1) for i in range(len(marked) - n + 1)]
    grams = [gram for gram in grams if gram not in ("<", ">")] + [f" {word}"]
    # CRC-32 is the same in every process, unlike hash(); bucket 0 is reserved for padding.
    return tuple(zlib.crc32(gram.encode()) % (buckets - 1) + 1 for gram in grams)
