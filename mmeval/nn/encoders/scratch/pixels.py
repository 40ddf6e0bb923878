"""Image inputs of the Perceiver: pixels, patches, or the output of one convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval.data.batch import Batch
from mmeval.errors import UserError
from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import EncoderName

CHANNELS = 3
LARGEST = 1024
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet."""


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:
    """Build ``pixels[:SIZE]``, ``patches[:SIZExPATCH]`` or ``conv[:SIZExWIDTH]``."""
    name.check_options()
    if name.kind == "pixels":
        (size,) = name.sizes("224", "SIZE")
        return Patches(name.full, _side(name, size, 1), 1)
    size, other = name.sizes(*(("224x16", "SIZE", "PATCH") if name.kind == "patches" else ("224x64", "SIZE", "WIDTH")))
    if name.kind == "patches":
        return Patches(name.full, _side(name, size, other), other)
    name.require_training("image", frozen)
    return ConvStem(name.full, _side(name, size, 4), other)


def _side(name: EncoderName, size: int, multiple: int) -> int:
    if size > LARGEST or size % multiple:
        raise UserError(f'"{name.full}": SIZE must be a multiple of {multiple} up to {LARGEST}.')
    return size


class Patches(ImageEncoder):
    """Normalised patches of ``P x P`` pixels: a token is a patch, row by row, each pixel as red, green, blue.

    There are no parameters. With ``P = 1`` a token is a pixel.
    """

    def __init__(self, name: str, size: int, patch: int) -> None:
        """``size`` is the side of the square image in pixels, a multiple of ``patch``."""
        super().__init__()
        self.name, self.patch, self.width = name, patch, CHANNELS * patch**2
        self.input = ImageInput(size, size, mean=MEAN, std=STD)

    def encode(self, images: Tensor) -> Encoded:
        """Return tokens ``[B, (S/P)^2, 3 P^2]`` of images ``[B, 3, S, S]``, pooled by their mean."""
        b, c, h, w = images.shape
        p = self.patch
        cut = self.input.normalise(images).view(b, c, h // p, p, w // p, p)
        tokens = cut.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, self.width)
        return Encoded.unpadded(tokens, tokens.mean(1))

    def forward(self, batch: Batch) -> Encoded:
        """Encode a batch as any image encoder does; a batch without images gives one masked token per example."""
        if batch.images is None and batch.image_embeddings is None:
            zeros = torch.zeros(batch.has_image.shape[0], self.width, device=batch.has_image.device)
            return Encoded(zeros[:, None], batch.has_image[:, None], zeros)
        return super().forward(batch)


class ConvStem(ImageEncoder):
    """7x7 convolution, batch norm, ReLU and 3x3 max pooling, both with stride 2 (arXiv 2107.14795, ImageNet).

    Padding makes the grid a quarter of the image's side. In training the batch norm uses the statistics of the batch,
    blank images included.
    """

    def __init__(self, name: str, size: int, width: int) -> None:
        """``size`` is the side of the square image in pixels, a multiple of 4; ``width`` the number of features."""
        super().__init__()
        self.name, self.width, self.input = name, width, ImageInput(size, size, mean=MEAN, std=STD)
        self.conv = nn.Conv2d(CHANNELS, width, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def blocks(self) -> Sequence[nn.Module]:
        """Return one block: the convolution and its norm."""
        return (nn.ModuleList([self.conv, self.norm]),)

    def encode(self, images: Tensor) -> Encoded:
        """Encode images ``[B, 3, S, S]`` into tokens ``[B, (S/4)^2, width]``, pooled by their mean."""
        maps = F.relu(self.norm(self.conv(self.input.normalise(images, self.conv.weight.dtype))))  # [B, W, S/2, S/2]
        # After ReLU, padding with zeros is as good as with minus infinity.
        maps = F.max_pool2d(F.pad(maps, (0, 1, 0, 1)), 3, stride=2)
        tokens = maps.flatten(2).transpose(1, 2)
        return Encoded.unpadded(tokens, tokens.mean(1))
