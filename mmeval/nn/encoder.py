"""The two interfaces of encoders: an image or a text becomes tokens and one vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmeval.api.recipe import Tuning
from mmeval.data.batch import Batch
from mmeval.errors import UserError
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
    """How an image encoder wants its images; the engine decodes and resizes to it."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    interpolation: str = "bilinear"
    """``bilinear`` or ``bicubic``, antialiased."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted from the channels, which are 0 to 1."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """What the rest is divided by."""
    crop: float = 0.0
    """0: the whole image is stretched to the size. Else its shorter side is resized to ``side / crop`` and the middle
    is cut out: 1 for CLIP, 0.875 for 224 of 256."""

    def normalise(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 ``[B, 3, H, W]`` -> the same in ``dtype``, normalised."""
        mean, std = (images.new_tensor(v, dtype=dtype)[:, None, None] * 255 for v in (self.mean, self.std))
        return (images.to(dtype) - mean) / std


@dataclass(frozen=True)
class TextInput:
    """How a text encoder wants its texts."""

    length: int
    """Tokens at most, special ones included; the rest is cut off."""
    tokenizer: str
    """What cuts them."""
    padding: Literal["longest", "length"] = "longest"
    """To the longest text of a batch, or always to ``length``."""
    masked: bool = True
    """Whether the encoder is told where padding stands."""
    prefix: str = ""
    """Put before each text."""


class Encoder(nn.Module):
    """What image and text encoders share: a name, a width, and how it learns (``mmeval.nn.tuning``)."""

    name: str
    """The string that makes this encoder again."""
    width: int
    """``D``."""
    input: ImageInput | TextInput
    """What it wants, and how."""
    frozen: bool = False
    published: bool = False
    """Whether its weights come from elsewhere by name, so that a saved model need not hold those that don't learn."""
    keeps_tokens: bool = False
    """Whether the cache of a frozen encoder keeps its tokens too, and not only ``pooled``."""
    tuning: Tuning = Tuning()
    """How it learns."""
    _still: tuple[nn.Module, ...] = ()

    def blocks(self) -> Sequence[nn.Module]:
        """Its parts in their order from the input, embeddings first: what depth means. What is in none is the top."""
        return ()

    def checkpoint(self) -> None:
        """Turn gradient checkpointing on.

        Raises:
            NotImplementedError: it has none.
        """
        raise NotImplementedError

    def freeze(self) -> Self:
        """Stop learning: no gradients, and evaluation mode for good (batch norm, dropout)."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def freeze_blocks(self, count: int) -> None:
        """The same for the first ``count`` blocks."""
        self._still = tuple(self.blocks()[:count])
        for block in self._still:
            block.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``; what is frozen stays in evaluation mode."""
        super().train(mode and not self.frozen)
        for block in self._still:
            block.eval()
        return self

    def fixed(self) -> set[str]:
        """Names in ``state_dict`` that a saved model can leave out: of published weights, those that don't learn."""
        if not self.published:
            return set()
        if self.frozen:
            return set(self.state_dict())
        learning = {name for name, p in self.named_parameters() if id(p) not in self._fixed_ids}
        return {name for name, _ in self.named_parameters()} - learning

    def held(self) -> Sequence[nn.Module]:
        """What gets no gradient in the first epochs, if so asked: all of it, unless an encoder says otherwise."""
        return (self,)

    def hold(self, held: bool) -> None:
        """Deny its layers their gradients, or give them back, except to what never learns; statistics still move."""
        for part in self.held():
            for p in part.parameters():
                p.requires_grad_(not held and id(p) not in self._fixed_ids)

    def settle(self) -> None:
        """Take note of which parameters never learn, before epochs turn gradients off and on."""
        self._fixed_ids = {id(p) for p in self.parameters() if not p.requires_grad}

    _fixed_ids: set[int] = set()  # noqa: RUF012 - replaced, never changed

    def identity(self) -> str:
        """Digest of class, name, preprocessing and every weight: the key of this encoder in the embedding cache."""
        return self._identity_while_frozen if self.frozen else self._digest()

    @cached_property
    def _identity_while_frozen(self) -> str:
        return self._digest()

    def _load_from_state_dict(self, *arguments: Any) -> None:  # noqa: ANN401 - torch's
        self.__dict__.pop("_identity_while_frozen", None)
        super()._load_from_state_dict(*arguments)

    def _digest(self) -> str:
        weights = [part for k, v in sorted(self.state_dict().items()) for part in (k, _bytes(v))]
        return digest(type(self).__qualname__, self.name, repr(self.input), *weights)


def _bytes(tensor: Tensor) -> bytes:
    """The raw bytes of a tensor; NumPy has no bfloat16, in which some checkpoints come."""
    return tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()


class ImageEncoder(Encoder):
    """Base of image encoders."""

    input: ImageInput

    @abstractmethod
    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, H, W]`` -> :class:`Encoded`; the encoder normalises."""

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch, or take what the cache has. Where there is no image, mask and ``pooled`` are 0."""
        present = batch.has_image[:, None]
        if batch.image_embeddings is not None:
            pooled = batch.image_embeddings
            tokens = pooled[:, None] if batch.image_tokens is None else batch.image_tokens
            return Encoded(tokens, present.expand(tokens.shape[:2]), pooled)
        if batch.images is None:
            pooled = torch.zeros(len(batch), self.width, device=batch.has_image.device)
            return Encoded(pooled[:, None], present, pooled)
        encoded = self.encode(batch.images)
        return Encoded(encoded.tokens, encoded.mask & present, torch.where(present, encoded.pooled, 0))

    def pool(self, batch: Batch) -> Tensor:
        """Only the pooled vectors ``[B, D]``; zero where there is no image."""
        encoded: Encoded = self(batch)
        return encoded.pooled

    def try_out(self) -> None:
        """Encode a blank image.

        Raises:
            UserError: the model can't take images of this size.
        """
        was = self.training
        try:
            with torch.no_grad():
                self.eval().encode(torch.zeros(1, 3, self.input.height, self.input.width, dtype=torch.uint8))
        except (ValueError, RuntimeError, AssertionError) as error:
            raise UserError(f'"{self.name}": it takes no images of {self.input.height} pixels.') from error
        self.train(was)


class TextEncoder(Encoder):
    """Base of text encoders."""

    input: TextInput = TextInput(512, "")

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts -> ids ``[B, T]`` and mask ``[B, T]``; called in a loader thread."""

    @abstractmethod
    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Ids and mask -> :class:`Encoded`."""

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch, or take what the cache has. Where there is no text, mask and ``pooled`` are 0."""
        present = batch.has_text[:, None]
        if batch.text_embeddings is not None:
            pooled = batch.text_embeddings
            if batch.text_tokens is None or batch.text_mask is None:
                return Encoded(pooled[:, None], present, pooled)
            return Encoded(batch.text_tokens, batch.text_mask & present, pooled)
        encoded = self.encode(*self._tokens(batch))
        return Encoded(encoded.tokens, encoded.mask & present, torch.where(present, encoded.pooled, 0))

    def pool(self, batch: Batch) -> Tensor:
        """Only the pooled vectors ``[B, D]``; zero where there is no text.

        Encoders override this where tokens cost more.
        """
        encoded: Encoded = self(batch)
        return encoded.pooled

    def _tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if batch.text_ids is None or batch.text_mask is None:
            raise ValueError("the batch holds no tokens; assign the text encoder as self.text_encoder in __init__")
        return batch.text_ids, batch.text_mask
