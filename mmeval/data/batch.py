"""The batch of tensors that a torch model receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """``B`` examples as tensors. Missing inputs are zero (or empty), and ``has_image`` and ``has_text`` are False.

    Ids, splits and slice columns are left out, so that no model can use them.
    """

    has_image: Tensor
    """bool ``[B]``."""
    has_text: Tensor
    """bool ``[B]``."""
    languages: tuple[str, ...]
    """ISO 639-1 codes, ``B`` of them."""
    labels: Mapping[str, Tensor]
    """By task: class indices, int64 ``[B]``, or for a multi-label task zeros and ones, int8 ``[B, classes]``; -1 where
    there is no label. Empty in prediction."""
    seeds: Tensor
    """int64 ``[B]``: a random seed per example, a hash of its inputs: the same in every batch and order."""
    images: Tensor | None = None
    """uint8 ``[B, 3, H, W]``, RGB; None if the batch has image embeddings, or the protocol shows no images."""
    image_embeddings: Tensor | None = None
    """float32 ``[B, D]`` from the cache of a frozen image encoder."""
    image_tokens: Tensor | None = None
    """float32 ``[B, T, D]`` from the same cache, if the encoder keeps tokens."""
    text_ids: Tensor | None = None
    """int64 ``[B, T, ...]``, from the tokenizer of the model's text encoder."""
    text_mask: Tensor | None = None
    """bool ``[B, T]``, True for tokens and False for padding."""
    text_embeddings: Tensor | None = None
    """float32 ``[B, D]`` from the cache of a frozen text encoder, instead of ``text_ids``."""
    text_tokens: Tensor | None = None
    """float32 ``[B, T, D]`` from the same cache, if the encoder keeps tokens; ``text_mask`` is their mask."""
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    """int64 ``[B]`` by name: further categorical inputs, which few data sets have. Indices into the values of
    ``ModelContext.attributes``; -1 for a value that does not occur in training."""

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.languages)

    def has_input(self) -> Tensor:
        """Return a bool ``[B]``: whether an example has an image, a text or a known attribute."""
        shown = self.has_image | self.has_text
        for values in self.attributes.values():
            shown = shown | (values >= 0)
        return shown

    def same_image(self) -> Tensor:
        """Return a bool ``[B, B]`` mask of pairs with the same image, compared by pixels or by cached embedding.

        A contrastive loss must not treat the other texts of an image as negatives.
        """
        shown = self.image_embeddings if self.images is None else self.images
        if shown is None:
            return torch.eye(len(self), dtype=torch.bool, device=self.has_image.device)
        rows = shown.flatten(1)
        numbers = (rows if rows.dtype is torch.uint8 else rows.float().view(torch.int32)).long()
        # A sum with random 64-bit weights, modulo 2**64: different images collide once in 2**57 pairs.
        # Sorting the rows would cost more, and would synchronize with the device.
        generator = torch.Generator().manual_seed(0)
        weights = torch.randint(-(2**63), 2**63 - 1, rows.shape[1:], generator=generator, device="cpu")
        sums = (numbers * weights.to(rows.device)).sum(1)
        return sums[:, None] == sums

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with every tensor on ``device``."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return replace(
            self,
            has_image=self.has_image.to(device),
            has_text=self.has_text.to(device),
            labels={name: values.to(device, non_blocking=True) for name, values in self.labels.items()},
            seeds=self.seeds.to(device),
            images=moved(self.images),
            image_embeddings=moved(self.image_embeddings),
            image_tokens=moved(self.image_tokens),
            text_ids=moved(self.text_ids),
            text_mask=moved(self.text_mask),
            text_embeddings=moved(self.text_embeddings),
            text_tokens=moved(self.text_tokens),
            attributes={name: values.to(device) for name, values in self.attributes.items()},
        )
