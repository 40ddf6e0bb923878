"""Patches of an image: their boxes, and an image encoder over them (section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmeval.nn import Encoded, ImageEncoder

AT_ONCE = 64
"""Crops per call of the image encoder."""
TURNS = 3
"""Rotated variants of the whole image: by 90, 180 and 270 degrees."""
GREY_LEVEL = 4
"""Level whose patches have a grey variant."""
GREYS = GREY_LEVEL**2
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


class Cell(NamedTuple):
    """The box of a patch in whole pixels; x2 and y2 are exclusive."""

    x1: int
    x2: int
    y1: int
    y2: int


def count(levels: int) -> int:
    """Return the number of patches of the grids 1x1 to LxL: 55 for 5 levels."""
    return sum(level**2 for level in range(1, levels + 1))


def start(level: int) -> int:
    """Return the index of the first patch of a level; levels count from 1."""
    return count(level - 1)


def cells(level: int, height: int, width: int) -> list[Cell]:
    """Return the ``level * level`` patches of an image, row by row, with edges rounded down to whole pixels."""
    x, y = ([side * i // level for i in range(level + 1)] for side in (width, height))
    return [Cell(x[c], x[c + 1], y[r], y[r + 1]) for r in range(level) for c in range(level)]


def boxes(levels: int, height: int, width: int, *, fractions: bool) -> Tensor:
    """Return (x1, x2, y1, y2, w * h) of every patch, ``[P, 5]``, in pixels or in fractions of the image."""
    rows = [
        (x1, x2, y1, y2, (x2 - x1) * (y2 - y1))
        for level in range(1, levels + 1)
        for x1, x2, y1, y2 in cells(level, height, width)
    ]
    scale = (width, width, height, height, width * height) if fractions else (1, 1, 1, 1, 1)
    return torch.tensor(rows, dtype=torch.float32) / torch.tensor(scale)


def grid_weights(levels: int, tokens: int) -> Tensor:
    """Return the weights ``[P, T]`` that average the tokens of a square grid within each patch; rows sum to 1.

    Tokens before the largest square number (class token, registers) have weight 0.
    """
    side = isqrt(tokens)
    each = torch.eye(side**2).view(1, side**2, side, side)
    pooled = [F.adaptive_avg_pool2d(each, level).flatten(2)[0].T for level in range(1, levels + 1)]
    return F.pad(torch.cat(pooled), (tokens - side**2, 0))


class PatchEncoder(ImageEncoder):
    """An image encoder over crops of the image: token ``i`` is the pooled vector of patch ``i``.

    As an encoder itself it uses the embedding cache: a frozen one encodes the patches once, like the paper's
    precomputed features. With ``variants``, 19 tokens follow for pre-training: the whole image rotated by 90, 180 and
    270 degrees, and the patches of level 4 in grey.
    """

    def __init__(self, encoder: ImageEncoder, levels: int, *, variants: bool = False) -> None:
        """Encode each patch, resized to the input of ``encoder``, with ``encoder``."""
        super().__init__()
        self.encoder, self.levels, self.variants = encoder, levels, variants
        self.name = f"{encoder.name} of patches, {levels} levels{', variants' if variants else ''}"
        self.width, self.input = encoder.width, encoder.input
        self.patches = count(levels) + (TURNS + GREYS if variants else 0)
        self.frozen, self.keeps_tokens = encoder.frozen, True

    def encode(self, images: Tensor) -> Encoded:
        """Encode uint8 images ``[B, 3, H, W]`` to tokens ``[B, P, D]``; ``pooled`` is the first, the whole image."""
        size = len(images)
        parts = [self._read(torch.cat(crops)) for crops in _chunks(self._crops(images), max(1, AT_ONCE // size))]
        tokens = torch.cat([part.view(-1, size, self.width) for part in parts]).transpose(0, 1)
        return Encoded.unpadded(tokens, tokens[:, 0])

    def _read(self, crops: Tensor) -> Tensor:
        return torch.cat([self.encoder.encode(part).pooled for part in torch.split(crops, AT_ONCE)])

    def _crops(self, images: Tensor) -> Iterator[Tensor]:
        """Yield each patch of all images, resized: uint8 ``[B, 3, H, W]``."""
        height, width = images.shape[2:]
        for level in range(1, self.levels + 1):
            for cell in cells(level, height, width):
                yield self._resized(_cut(images, cell))
        if self.variants:
            for turns in range(1, TURNS + 1):
                yield self._resized(images.rot90(turns, (2, 3)))
            grey = _grey(images)
            for cell in cells(GREY_LEVEL, height, width):
                yield self._resized(_cut(grey, cell))

    def _resized(self, crop: Tensor) -> Tensor:
        size = (self.input.height, self.input.width)
        if crop.shape[2:] == size:
            return crop
        # In float32: some devices can't resize uint8.
        resized = F.interpolate(crop.float(), size, mode=self.input.interpolation, antialias=True)
        return resized.round().clamp(0, 255).to(torch.uint8)


def _cut(images: Tensor, cell: Cell) -> Tensor:
    return images[:, :, cell.y1 : cell.y2, cell.x1 : cell.x2]


def _grey(images: Tensor) -> Tensor:
    """Return the luma of images in all three channels."""
    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    return (images * weights).sum(1, keepdim=True).round().to(torch.uint8).expand_as(images)


def _chunks(crops: Iterator[Tensor], size: int) -> Iterator[list[Tensor]]:
    """Yield lists of up to ``size`` crops, to bound the memory."""
    held: list[Tensor] = []
    for crop in crops:
        held.append(crop)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
