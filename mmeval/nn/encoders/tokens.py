"""Texts -> ids: subword tokenizers and bytes behind one small interface, safe to call from several threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    import tokenizers


class Special(NamedTuple):
    """Ids of the special tokens; a tokenizer without one of them has -1 there."""

    pad: int
    cls: int
    sep: int
    mask: int


class Tokenizer(Protocol):
    """What a text encoder needs of a tokenizer."""

    name: str
    special: Special
    size: int
    """Ids there are."""

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without special tokens, of any length."""


class SubwordTokenizer:
    """A tokenizer of the library ``tokenizers``, as ``tokenizer.json`` holds it."""

    def __init__(
        self, name: str, backend: tokenizers.Tokenizer, special: Special, replaced: Mapping[int, str] | None = None
    ) -> None:
        """``backend`` is changed: its own padding and truncation are turned off, as setting them isn't thread-safe.

        ``replaced``: characters, by code point, and what stands for them before the backend sees the text.
        """
        backend.no_padding()
        backend.no_truncation()
        self.name, self._backend, self.special, self.size = name, backend, special, backend.get_vocab_size()
        self._replaced = dict(replaced or {})

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """Subword ids."""
        # Half a surrogate pair, which a str may hold, is no text to the backend.
        whole = [text.encode("utf-8", "replace").decode("utf-8").translate(self._replaced) for text in texts]
        return [one.ids for one in self._backend.encode_batch(whole, add_special_tokens=False)]


class ByteTokenizer:
    """UTF-8 bytes behind six special ids, as the language Perceiver IO reads them (arXiv 2107.14795, section 4.1)."""

    name = "UTF-8 bytes"
    special = Special(pad=0, cls=4, sep=5, mask=3)
    size = 256 + 6

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """Bytes + 6."""
        return [[byte + 6 for byte in text.encode("utf-8", "replace")] for text in texts]


def framed(rows: Sequence[Sequence[int]], special: Special, length: int) -> list[list[int]]:
    """Each row cut to ``length - 2`` and put between ``cls`` and ``sep``."""
    return [[special.cls, *row[: length - 2], special.sep] for row in rows]


def padded(rows: Sequence[Sequence[int]], pad: int, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows -> ids ``[B, T]`` and mask; ``T`` is ``length``, or that of the longest row (at least 1)."""
    width = length or max(map(len, rows), default=0) or 1
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        kept = min(len(row), width)
        ids[number, :kept] = torch.tensor(row[:kept], dtype=torch.long)
        mask[number, :kept] = True
    return ids, mask
