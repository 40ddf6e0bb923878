"""Embeddings that are kept in memory only, for predictions on rows that are seen once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Embedded(NamedTuple):
    """The output of a frozen encoder for one image or text."""

    vector: NDArray[np.float32]
    """The pooled vector ``[D]``."""
    tokens: NDArray[np.float16] | None
    """Its tokens ``[T, D]``, if the encoder keeps them."""


class TransientEmbeddings:
    """The embeddings of the last two blocks of rows.

    While it is active, nothing is read from or written to the cache on disk, so that classifying a million new products
    does not fill it. Content that every block needs, such as the class prompts of a zero-shot model, is embedded once,
    and so is content that several models of an ensemble see through the same frozen encoder.
    """

    def __init__(self) -> None:
        """Start without embeddings."""
        self.encoders: dict[str, Any] = {}
        """The encoders that models which are not torch models name, built once."""
        self._before: dict[str, dict[bytes, Embedded]] = {}
        self._now: dict[str, dict[bytes, Embedded]] = {}

    def forget(self) -> None:
        """Forget all embeddings; encoders are kept."""
        self._before, self._now = {}, {}

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        """Activate this memory for one block of rows, and forget what the last block did not use."""
        self._before, self._now = self._now, {}
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    def get(self, encoder: str, digest: bytes) -> Embedded | None:
        """Return what the encoder with an identity made of the content with a digest; None if it is not known."""
        now = self._now.setdefault(encoder, {})
        known = now.get(digest) or self._before.get(encoder, {}).get(digest)
        if known is not None:
            now[digest] = known
        return known

    def put(self, encoder: str, digest: bytes, embedded: Embedded) -> None:
        """Keep an embedding for this block and the next."""
        self._now.setdefault(encoder, {})[digest] = embedded


_ACTIVE: ContextVar[TransientEmbeddings | None] = ContextVar("mmeval_transient_embeddings", default=None)


def active() -> TransientEmbeddings | None:
    """Return the memory that takes the place of the cache on disk; None where the cache is used."""
    return _ACTIVE.get()
