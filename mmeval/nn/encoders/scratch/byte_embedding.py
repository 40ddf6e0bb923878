"""UTF-8 bytes as vectors: a table and learned positions, no layer (the text input of Perceiver IO)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.tokens import ByteTokenizer, framed, padded

LONGEST = 1 << 16


def text(named: Named, frozen: bool) -> TextEncoder:
    """``bytes[:LENGTHxWIDTH]``."""
    named.only()
    length, width = named.sizes("256x128", "LENGTH", "WIDTH")
    if not 2 < length <= LONGEST:
        raise UserError(f'"{named.full}": LENGTH must be from 3 to {LONGEST}, as [CLS] and [SEP] count too.')
    if frozen:
        raise UserError(f'The text encoder "{named.full}" starts from nothing: frozen, it would say nothing.')
    return ByteEmbedding(length, width)


class ByteEmbedding(TextEncoder):
    """Each byte's vector plus that of its position (arXiv 2107.14795, section 4.1: 2048 bytes of 768)."""

    def __init__(self, length: int = 2048, width: int = 768) -> None:
        """Texts of up to ``length`` bytes, [CLS] and [SEP] included; vectors of ``width``."""
        super().__init__()
        self.name, self.width, self.tokenizer = f"bytes:{length}x{width}", width, ByteTokenizer()
        self.input = TextInput(length, self.tokenizer.name)
        self.bytes = nn.Embedding(self.tokenizer.size, width)
        self.positions = nn.Embedding(length, width)
        for table in (self.bytes, self.positions):
            nn.init.normal_(table.weight, std=0.02)

    def blocks(self) -> Sequence[nn.Module]:
        """One: both tables."""
        return (nn.ModuleList([self.bytes, self.positions]),)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` (bytes + 6 between [CLS] and [SEP]) and mask; ``T`` is that of the longest text."""
        special = self.tokenizer.special
        return padded(framed(self.tokenizer.cut(texts), special, self.input.length), special.pad)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids -> tokens ``[B, T, D]``; ``pooled`` is their mean over the mask."""
        tokens = self.bytes(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        weights = mask[:, :, None].to(tokens.dtype)
        return Encoded(tokens, mask, (tokens * weights).sum(1) / weights.sum(1).clamp(min=1))
