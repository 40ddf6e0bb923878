"""Tokenizers without special tokens (subwords, bytes), and padding; all safe to call from several threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    import tokenizers


class SpecialIds(NamedTuple):
    """Ids of the special tokens; -1 for a token that the tokenizer lacks."""

    pad: int
    cls: int
    sep: int
    mask: int


class Tokenizer(Protocol):
    """The interface that :class:`BertEncoder` and :class:`ByteEmbedding` use."""

    name: str
    special: SpecialIds
    size: int
    """Size of the vocabulary."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without special tokens or truncation."""


class SubwordTokenizer:
    """A tokenizer of the library ``tokenizers``, as in ``tokenizer.json``."""

    def __init__(
        self, name: str, backend: tokenizers.Tokenizer, special: SpecialIds, replaced: Mapping[int, str] | None = None
    ) -> None:
        """Turn off padding and truncation of ``backend``, in place, because changing them later is not thread-safe.

        ``replaced`` maps code points to the strings that replace them before the backend tokenizes a text.
        """
        backend.no_padding()
        backend.no_truncation()
        self.name, self._backend, self.special, self.size = name, backend, special, backend.get_vocab_size()
        self._replaced = dict(replaced or {})

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The tokenizer of the library."""
        return self._backend

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the subword ids of each text."""
        valid = [replace_surrogates(text).translate(self._replaced) for text in texts]
        return [encoding.ids for encoding in self._backend.encode_batch(valid, add_special_tokens=False)]


class ByteTokenizer:
    """UTF-8 bytes after six special ids, as in the language Perceiver IO (arXiv 2107.14795, section 4.1)."""

    name = "UTF-8 bytes"
    special = SpecialIds(pad=0, cls=4, sep=5, mask=3)
    size = 256 + 6

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the bytes of each text, plus 6."""
        return [[byte + 6 for byte in text.encode("utf-8", "replace")] for text in texts]


def replace_surrogates(text: str) -> str:
    """Return ``text`` with question marks for lone surrogates, which a str may hold and tokenizers reject."""
    return text.encode("utf-8", "replace").decode("utf-8")


def add_special_tokens(rows: Sequence[Sequence[int]], special: SpecialIds, length: int) -> list[list[int]]:
    """Return each row truncated to ``length - 2`` ids, between ``cls`` and ``sep``."""
    return [[special.cls, *row[: length - 2], special.sep] for row in rows]


def pad_rows(rows: Sequence[Sequence[int]], pad: int, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Return ids ``[B, T]`` and mask ``[B, T]`` of rows; ``T`` is ``length``, or the longest row's (at least 1)."""
    width = length or max(map(len, rows), default=0) or 1
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        count = min(len(row), width)
        ids[number, :count] = torch.tensor(row[:count], dtype=torch.long)
        mask[number, :count] = True
    return ids, mask
