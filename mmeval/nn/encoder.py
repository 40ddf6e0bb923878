"""The two interfaces of encoders: a picture or a text becomes tokens and one vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from mmeval.data.batch import Batch
from mmeval.files import digest


@dataclass(frozen=True)
class Encoded:
    """What an encoder returns for ``B`` examples."""

    tokens: Tensor
    """``[B, T, D]``."""
    mask: Tensor
    """bool ``[B, T]``, True where a token stands."""
    pooled: Tensor
    """``[B, D]``."""


@dataclass(frozen=True)
class ImageInput:
    """How an image encoder wants its pictures; the engine decodes and resizes to it."""

    height: int
    width: int
    interpolation: str = "bilinear"


class Encoder(nn.Module):
    """What image and text encoders share: a name, a width, and freezing."""

    name: str
    """The string that makes this encoder again."""
    width: int
    """``D``."""
    frozen: bool = False
    published: bool = False
    """Whether its weights come from elsewhere by name, so that a saved model need not hold them while frozen."""

    def freeze(self) -> Self:
        """Stop learning: no gradients, and evaluation mode for good (batch norm, dropout)."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)


class ImageEncoder(Encoder):
    """Base of image encoders."""

    input: ImageInput

    @abstractmethod
    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, H, W]`` -> :class:`Encoded`; the encoder normalises."""

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch; embeddings from the cache are taken as they are, as a single token."""
        if batch.image_embeddings is not None:
            pooled = batch.image_embeddings
            return Encoded(pooled[:, None], batch.has_image[:, None], pooled)
        if batch.images is None:
            pooled = next(self.parameters()).new_zeros(len(batch), self.width)
            return Encoded(pooled[:, None], batch.has_image[:, None], pooled)
        encoded = self.encode(batch.images)
        present = batch.has_image[:, None]
        return Encoded(encoded.tokens, encoded.mask & present, torch.where(present, encoded.pooled, 0))

    def pool(self, batch: Batch) -> Tensor:
        """Only the pooled vectors ``[B, D]``; zero where there is no picture."""
        encoded: Encoded = self(batch)
        return encoded.pooled

    def identity(self) -> str:
        """Digest of class, name, preprocessing and every weight: the key of this encoder in the embedding cache."""
        weights = [part for k, v in sorted(self.state_dict().items()) for part in (k, v.cpu().numpy().tobytes())]
        return digest(type(self).__qualname__, self.name, repr(self.input), *weights)


class TextEncoder(Encoder):
    """Base of text encoders."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask ``[B, T]``; called in a loader thread."""

    @abstractmethod
    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids and mask -> :class:`Encoded`."""

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch."""
        return self.encode(*self._tokens(batch))

    def pool(self, batch: Batch) -> Tensor:
        """Only the pooled vectors ``[B, D]``; of an empty text, what the encoder makes of it (char-ngrams: zero).

        Encoders override this where tokens cost more.
        """
        encoded: Encoded = self(batch)
        return encoded.pooled

    def _tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if batch.text_ids is None or batch.text_mask is None:
            raise ValueError("the batch holds no tokens; assign the text encoder as self.text_encoder in __init__")
        return batch.text_ids, batch.text_mask
