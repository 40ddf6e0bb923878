"""A text encoder of byte and position embeddings without layers, the text input of Perceiver IO."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, TextEncoder, TextInput, masked_mean
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.tokens import ByteTokenizer, add_special_tokens, pad_rows

LONGEST = 1 << 16


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:
    """Build ``bytes[:LENGTHxWIDTH]``."""
    name.check_options()
    length, width = name.sizes("256x128", "LENGTH", "WIDTH")
    if not 2 < length <= LONGEST:
        raise UserError(f'"{name.full}": LENGTH must be from 3 to {LONGEST}, as [CLS] and [SEP] count too.')
    name.require_training("text", frozen)
    return ByteEmbedding(length, width)


class ByteEmbedding(TextEncoder):
    """The sum of byte and position embeddings (arXiv 2107.14795, section 4.1: 2048 bytes, 768 features)."""

    def __init__(self, length: int = 2048, width: int = 768) -> None:
        """``length`` is the number of bytes at most, with [CLS] and [SEP]; ``width`` the number of features."""
        super().__init__()
        self.name, self.width, self.tokenizer = f"bytes:{length}x{width}", width, ByteTokenizer()
        self.input = TextInput(length, self.tokenizer.name)
        self.bytes = nn.Embedding(self.tokenizer.size, width)
        self.positions = nn.Embedding(length, width)
        for table in (self.bytes, self.positions):
            nn.init.normal_(table.weight, std=0.02)

    def blocks(self) -> Sequence[nn.Module]:
        """Return one block with both tables."""
        return (nn.ModuleList([self.bytes, self.positions]),)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` (bytes + 6, between [CLS] and [SEP]) and mask; ``T`` is the longest text's."""
        special = self.tokenizer.special
        return pad_rows(add_special_tokens(self.tokenizer.tokenize(texts), special, self.input.length), special.pad)

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids into tokens ``[B, T, D]``; ``pooled`` is their mean over the mask."""
        tokens = self.bytes(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        return Encoded(tokens, mask, masked_mean(tokens, mask))
