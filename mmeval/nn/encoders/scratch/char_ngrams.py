"""A text encoder for every script: hashed character n-grams, no vocabulary, no download."""

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
from mmeval.nn.encoders.name import Named

PADDING = 0


def text(named: Named, frozen: bool) -> TextEncoder:
    """``char-ngrams[:BUCKETSxWIDTH]``."""
    named.only()
    buckets, width = named.sizes("131072x64", "BUCKETS", "WIDTH")
    if min(buckets, width) < 2:
        raise UserError(f'"{named.full}": "{named.rest}" is no size of this encoder; write BUCKETSxWIDTH.')
    if frozen:
        raise UserError(f'The text encoder "{named.full}" starts from nothing: frozen, it would say nothing.')
    return CharNgrams(buckets, width)


class CharNgrams(TextEncoder):
    """Sum of learned vectors of hashed character n-grams, over the root of their number.

    The subword model of fastText (Bojanowski et al. 2017, arXiv 1607.04606): each word, between ``<`` and ``>``,
    gives its n-grams of 1 to 5 characters and itself. Vectors start at zero, so that an n-gram never met in training
    adds nothing. A token is an n-gram.
    """

    def __init__(self, buckets: int = 1 << 17, width: int = 64, longest: int = 5, max_tokens: int = 512) -> None:
        """``buckets`` rows of ``width``; n-grams of up to ``longest`` characters; texts are cut at ``max_tokens``."""
        super().__init__()
        self.name = f"char-ngrams:{buckets}x{width}"
        self.width, self.longest = width, longest
        self.input = TextInput(max_tokens, f"character n-grams of up to {longest}")
        self.vectors = nn.Embedding(buckets, width, padding_idx=PADDING)
        nn.init.zeros_(self.vectors.weight)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` (0 is padding) and mask."""
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
        """Ids -> :class:`Encoded`."""
        return Encoded(self.vectors(ids), mask, self._pooled(ids, mask))

    def pool(self, batch: Batch) -> Tensor:
        """``[B, D]`` without making the tokens."""
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
    # CRC-32 is the same everywhere, unlike hash(); bucket 0 is kept for padding.
    return tuple(zlib.crc32(gram.encode()) % (buckets - 1) + 1 for gram in grams)
