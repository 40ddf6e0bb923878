"""A small convolutional image encoder, without pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmeval.nn.encoder import Encoded, ImageEncoder, ImageInput
from mmeval.nn.encoders.name import EncoderName


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - built alike either way
    """Build ``small-cnn[:SIZE]``."""
    name.check_options()
    return SmallCNN(name.image_size(64))


class SmallCNN(ImageEncoder):
    """Four convolutions of stride 2 with group norm, which give ``(S / 16)^2`` tokens of 256 features.

    Group norm (Wu and He 2018, arXiv 1803.08494) keeps an example's embedding independent of its batch.
    """

    def __init__(self, size: int = 64) -> None:
        """``size`` is the side of the square input in pixels, a multiple of 16."""
        super().__init__()
        self.name, self.width, self.input = f"small-cnn:{size}", 256, ImageInput(size, size)
        widths = (3, 32, 64, 128, self.width)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.GroupNorm(8, b), nn.ReLU())
                for a, b in pairwise(widths)
            )
        )

    def blocks(self) -> Sequence[nn.Module]:
        """Return the four convolutions."""
        return tuple(self.stages)

    def encode(self, images: Tensor) -> Encoded:
        """Encode images ``[B, 3, S, S]``; ``pooled`` is the mean over positions."""
        maps = self.stages(self.input.normalise(images, next(self.parameters()).dtype))  # [B, 256, S/16, S/16]
        tokens = maps.flatten(2).transpose(1, 2)
        return Encoded.unpadded(tokens, tokens.mean(1))
