"""The interfaces of image and text encoders, which turn an image or a text into tokens and a pooled vector."""

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
    """The output of an encoder for ``B`` examples."""

    tokens: Tensor
    """Token vectors ``[B, T, D]``."""
    mask: Tensor
    """bool ``[B, T]``, True for a token and False for padding."""
    pooled: Tensor
    """One vector per example ``[B, D]``."""

    @classmethod
    def unpadded(cls, tokens: Tensor, pooled: Tensor) -> Self:
        """Return an output without padding: the mask is True everywhere."""
        return cls(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), pooled)


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean ``[B, D]`` of the tokens ``[B, T, D]`` where ``mask`` ``[B, T]`` is True; zeros without any."""
    weights = mask[:, :, None].to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


@dataclass(frozen=True)
class ImageInput:
    """The images that an encoder takes; the engine decodes and resizes images accordingly."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    interpolation: str = "bilinear"
    """``bilinear`` or ``bicubic``, antialiased."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted from the channels, whose values are from 0 to 1."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Divides the result."""
    crop: float = 0.0
    """0 stretches the whole image to the size. Otherwise the shorter side is resized to ``side / crop`` and the centre
    is cropped: 1 for CLIP, 0.875 for 224 of 256."""

    def normalise(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return uint8 images ``[B, 3, H, W]`` as ``dtype``, normalised by ``mean`` and ``std``."""
        mean, std = (images.new_tensor(v, dtype=dtype)[:, None, None] * 255 for v in (self.mean, self.std))
        return (images.to(dtype) - mean) / std


@dataclass(frozen=True)
class TextInput:
    """The texts that an encoder takes."""

    length: int
    """Tokens at most, special tokens included; longer texts are truncated."""
    tokenizer: str
    """The tokenizer's name."""
    padding: Literal["longest", "length"] = "longest"
    """Whether texts are padded to the longest of a batch, or always to ``length``."""
    masked: bool = True
    """Whether the encoder gets a mask of the padding."""
    prefix: str = ""
    """A string that is put before each text."""


class Encoder(nn.Module):
    """Base of image and text encoders: a name, a width, and how it learns (``mmeval.nn.tuning``)."""

    name: str
    """The name from which ``image_encoder`` or ``text_encoder`` builds this encoder."""
    width: int
    """The number of features ``D`` of tokens and pooled vectors."""
    input: ImageInput | TextInput
    """The input that it takes."""
    frozen: bool = False
    """Whether no parameter learns, so that the engine may cache the outputs."""
    published: bool = False
    """Whether its initial weights can be loaded again by name; a saved model then omits those that never changed."""
    keeps_tokens: bool = False
    """Whether the cache of a frozen encoder stores its tokens too, not only ``pooled``."""
    tuning: Tuning = Tuning()
    """How it learns."""
    _frozen_blocks: tuple[nn.Module, ...] = ()

    def blocks(self) -> Sequence[nn.Module]:
        """Return the blocks from the input to the top, embeddings first; parameters in no block belong to the top."""
        return ()

    def enable_gradient_checkpointing(self) -> None:
        """Turn on gradient checkpointing: activations are computed again in the backward pass.

        Raises:
            NotImplementedError: this encoder does not support it.
        """
        raise NotImplementedError

    def freeze(self) -> Self:
        """Freeze all parameters, and stay in evaluation mode, so that batch norm and dropout are fixed too."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def freeze_blocks(self, count: int) -> None:
        """Freeze the first ``count`` blocks in the same way."""
        self._frozen_blocks = tuple(self.blocks()[:count])
        for block in self._frozen_blocks:
            block.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode as ``nn.Module.train`` does; frozen parts stay in evaluation mode."""
        super().train(mode and not self.frozen)
        for block in self._frozen_blocks:
            block.eval()
        return self

    def restorable_state(self) -> set[str]:
        """Return the names in ``state_dict`` that a saved model can omit: published weights that never learn."""
        if not self.published:
            return set()
        if self.frozen:
            return set(self.state_dict())
        learning = {name for name, p in self.named_parameters() if id(p) not in self._never_trained}
        return {name for name, _ in self.named_parameters()} - learning

    def frozen_at_first(self) -> Sequence[nn.Module]:
        """Return the modules that ``Tuning.frozen_epochs`` freezes: by default the whole encoder."""
        return (self,)

    def freeze_for_now(self, frozen: bool) -> None:
        """Turn off the gradients of :meth:`frozen_at_first`, or turn them on again.

        Parameters that never learn stay frozen either way. Batch-norm statistics still change.
        """
        for module in self.frozen_at_first():
            for p in module.parameters():
                p.requires_grad_(not frozen and id(p) not in self._never_trained)

    def record_frozen_parameters(self) -> None:
        """Remember which parameters never learn, before :meth:`freeze_for_now` turns gradients off and on."""
        self._never_trained = {id(p) for p in self.parameters() if not p.requires_grad}

    _never_trained: set[int] = set()  # noqa: RUF012 - replaced, never changed

    def identity(self) -> str:
        """Return a digest of class, name, preprocessing and all weights: this encoder's key in the embedding cache."""
        return self._frozen_identity if self.frozen else self._digest()

    @cached_property
    def _frozen_identity(self) -> str:
        return self._digest()

    def _load_from_state_dict(self, *arguments: Any) -> None:  # noqa: ANN401 - torch's
        self.__dict__.pop("_frozen_identity", None)
        super()._load_from_state_dict(*arguments)

    def _digest(self) -> str:
        weights = [part for k, v in sorted(self.state_dict().items()) for part in (k, _bytes(v))]
        return digest(type(self).__qualname__, self.name, repr(self.input), *weights)


def _bytes(tensor: Tensor) -> memoryview:
    """Return the raw bytes of a tensor without a copy, also of bfloat16, which NumPy lacks."""
    raw: Any = tensor.detach().cpu().flatten().view(torch.uint8).numpy()
    return memoryview(raw)


class ImageEncoder(Encoder):
    """Base of image encoders."""

    input: ImageInput

    @abstractmethod
    def encode(self, images: Tensor) -> Encoded:
        """Encode uint8 images ``[B, 3, H, W]``; the encoder normalises them itself."""

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch, or return its cached embeddings. Where an image is missing, mask and ``pooled`` are 0."""
        present = batch.has_image[:, None]
        if batch.image_embeddings is not None:
            pooled = batch.image_embeddings
            tokens = pooled[:, None] if batch.image_tokens is None else batch.image_tokens
            return Encoded(tokens, present.expand(tokens.shape[:2]), pooled)
        if batch.images is None:
            pooled = torch.zeros(batch.has_image.shape[0], self.width, device=batch.has_image.device)
            return Encoded(pooled[:, None], present, pooled)
        encoded = self.encode(batch.images)
        return Encoded(encoded.tokens, encoded.mask & present, torch.where(present, encoded.pooled, 0))

    def pool(self, batch: Batch) -> Tensor:
        """Return only the pooled vectors ``[B, D]``; zero where an image is missing."""
        encoded: Encoded = self(batch)
        return encoded.pooled

    def check_image_size(self) -> None:
        """Encode a blank image of the declared size.

        Raises:
            UserError: the model does not accept images of this size.
        """
        training = self.training
        try:
            with torch.no_grad():
                self.eval().encode(torch.zeros(1, 3, self.input.height, self.input.width, dtype=torch.uint8))
        except (ValueError, RuntimeError, AssertionError) as error:
            raise UserError(f'"{self.name}": it does not accept images of {self.input.height} pixels.') from error
        self.train(training)


class TextEncoder(Encoder):
    """Base of text encoders."""

    input: TextInput = TextInput(512, "")

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, T]`` and mask ``[B, T]`` of texts; loader threads call this."""

    @abstractmethod
    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """Encode ids ``[B, T]`` with the mask of their padding ``[B, T]``."""

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch, or return its cached embeddings. Where a text is missing, mask and ``pooled`` are 0."""
        present = batch.has_text[:, None]
        if batch.text_embeddings is not None:
            pooled = batch.text_embeddings
            if batch.text_tokens is None or batch.text_mask is None:
                return Encoded(pooled[:, None], present, pooled)
            return Encoded(batch.text_tokens, batch.text_mask & present, pooled)
        encoded = self.encode(*self._tokens(batch))
        return Encoded(encoded.tokens, encoded.mask & present, torch.where(present, encoded.pooled, 0))

    def pool(self, batch: Batch) -> Tensor:
        """Return only the pooled vectors ``[B, D]``; zero where a text is missing.

        Encoders override this where it is cheaper than :meth:`forward`.
        """
        encoded: Encoded = self(batch)
        return encoded.pooled

    def _tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if batch.text_ids is None or batch.text_mask is None:
            raise ValueError("the batch holds no tokens; assign the text encoder as self.text_encoder in __init__")
        return batch.text_ids, batch.text_mask
