"""Images nearly as they are: pixels, patches, or what one convolution makes of them (Perceiver's inputs)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval.data.batch import Batch
from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import Named

CHANNELS = 3
LARGEST = 1024
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet."""


def image(named: Named, frozen: bool) -> ImageEncoder:
    """``pixels[:SIZE]``, ``patches[:SIZExPATCH]`` or ``conv[:SIZExWIDTH]``."""
    named.only()
    if named.kind == "pixels":
        (size,) = named.sizes("224", "SIZE")
        return Patches(named.full, _side(named, size, 1), 1)
    size, other = named.sizes(
        *(("224x16", "SIZE", "PATCH") if named.kind == "patches" else ("224x64", "SIZE", "WIDTH"))
    )
    if named.kind == "patches":
        return Patches(named.full, _side(named, size, other), other)
    if frozen:
        raise UserError(f'The image encoder "{named.full}" starts from nothing: frozen, it would say nothing.')
    return ConvStem(named.full, _side(named, size, 4), other)


def _side(named: Named, size: int, multiple: int) -> int:
    if size > LARGEST or size % multiple:
        raise UserError(f'"{named.full}": SIZE must be a multiple of {multiple} up to {LARGEST}.')
    return size


class Patches(ImageEncoder):
    """Normalised pixels in squares of ``P x P``: a token holds its pixels row by row, each as red, green, blue.

    It has no parameter. With ``P = 1`` a token is a pixel.
    """

    def __init__(self, name: str, size: int, patch: int) -> None:
        """``size`` is the side of the square image in pixels, a multiple of ``patch``."""
        super().__init__()
        self.name, self.patch, self.width = name, patch, CHANNELS * patch**2
        self.input = ImageInput(size, size, mean=MEAN, std=STD)

    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, S, S]`` -> tokens ``[B, (S/P)^2, 3 P^2]``, pooled by their mean."""
        b, c, h, w = images.shape
        p = self.patch
        cut = self.input.normalise(images).view(b, c, h // p, p, w // p, p)
        tokens = cut.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, self.width)
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), tokens.mean(1))

    def forward(self, batch: Batch) -> Encoded:
        """As any image encoder; a batch without images gives one token, which the mask hides."""
        if batch.images is None and batch.image_embeddings is None:
            nothing = torch.zeros(len(batch), self.width, device=batch.has_image.device)
            return Encoded(nothing[:, None], batch.has_image[:, None], nothing)
        return super().forward(batch)


class ConvStem(ImageEncoder):
    """7x7 convolution, batch norm, ReLU, 3x3 max pooling, each pass at stride 2 (arXiv 2107.14795, ImageNet).

    Padded so that the grid is just a quarter of the image. In training, the statistics of the norm are those of the
    batch, blank images included.
    """

    def __init__(self, name: str, size: int, width: int) -> None:
        """``size`` is the side of the square image in pixels, a multiple of 4; ``width`` features come out."""
        super().__init__()
        self.name, self.width, self.input = name, width, ImageInput(size, size, mean=MEAN, std=STD)
        self.conv = nn.Conv2d(CHANNELS, width, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def blocks(self) -> Sequence[nn.Module]:
        """One: the convolution and its norm."""
        return (nn.ModuleList([self.conv, self.norm]),)

    def encode(self, images: Tensor) -> Encoded:
        """uint8 ``[B, 3, S, S]`` -> tokens ``[B, (S/4)^2, width]``, pooled by their mean."""
        maps = F.relu(self.norm(self.conv(self.input.normalise(images, self.conv.weight.dtype))))  # [B, W, S/2, S/2]
        # After ReLU zero is as good a padding as minus infinity.
        maps = F.max_pool2d(F.pad(maps, (0, 1, 0, 1)), 3, stride=2)
        tokens = maps.flatten(2).transpose(1, 2)
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device), tokens.mean(1))
