"""What a model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """``B`` examples as tensors. What is missing is zero (or empty) and marked so in the masks.

    Ids, splits and slice columns are not here, so that no model can use them.
    """

    has_image: Tensor
    """bool ``[B]``."""
    has_text: Tensor
    """bool ``[B]``."""
    languages: tuple[str, ...]
    """ISO 639-1 codes, ``B`` of them."""
    labels: Mapping[str, Tensor]
    """int64 ``[B]`` by task; -1 where there is no label. Empty in prediction."""
    seeds: Tensor
    """int64 ``[B]``: a random seed per example, made of what is shown of it: the same in every batch and order."""
    images: Tensor | None = None
    """uint8 ``[B, 3, H, W]``, RGB; None where embeddings take their place or no image is shown."""
    image_embeddings: Tensor | None = None
    """float32 ``[B, D]`` from the cache of a frozen image encoder."""
    image_tokens: Tensor | None = None
    """float32 ``[B, T, D]`` from the same, if the encoder keeps tokens."""
    text_ids: Tensor | None = None
    """int64 ``[B, T, ...]``, as the model's text encoder tokenizes."""
    text_mask: Tensor | None = None
    """bool ``[B, T]``, True where a token stands."""
    text_embeddings: Tensor | None = None
    """float32 ``[B, D]`` from the cache of a frozen text encoder, in place of ids."""
    text_tokens: Tensor | None = None
    """float32 ``[B, T, D]`` from the same, if the encoder keeps tokens; ``text_mask`` goes with them."""
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    """int64 ``[B]`` by name: inputs beside image and text, which only few data sets have; the index of the value in
    ``ModelContext.attributes``, -1 for one that training never had."""

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.languages)

    def same_image(self) -> Tensor:
        """Bool ``[B, B]``: which examples show the same image, to the pixel (or to its cached embedding).

        A contrastive loss must not take the other texts of an image for texts of another one.
        """
        shown = self.image_embeddings if self.images is None else self.images
        if shown is None:
            return torch.eye(len(self), dtype=torch.bool, device=self.has_image.device)
        rows = shown.flatten(1)
        numbers = (rows if rows.dtype is torch.uint8 else rows.float().view(torch.int32)).long()
        # A sum with random 64-bit weights, modulo 2**64: different images share it once in 2**57 pairs.
        # Sorting the rows would cost more, and wait for the device.
        generator = torch.Generator().manual_seed(0)
        weights = torch.randint(-(2**63), 2**63 - 1, rows.shape[1:], generator=generator, device="cpu")
        sums = (numbers * weights.to(rows.device)).sum(1)
        return sums[:, None] == sums

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device``."""

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
