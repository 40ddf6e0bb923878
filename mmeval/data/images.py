"""Encoded image -> pixels at the size that an encoder wants."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmeval.data.buffers import Buffers

_BUFFERS = Buffers()


def is_jpeg(data: bytes) -> bool:
    """Whether an image begins as a JPEG. simplejpeg's test also refuses bytes behind the end, which cameras add."""
    return data[:3] == b"\xff\xd8\xff"


def decode(data: bytes) -> NDArray[np.uint8]:
    """Encoded image -> ``[H, W, 3]`` uint8 RGB; JPEGs by libjpeg-turbo, the rest by Pillow, transparency on white."""
    if is_jpeg(data):
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB")
        return pixels
    with Image.open(io.BytesIO(data)) as image:
        return rgb(image)


def rgb(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of any mode, or grey pixels ``[H, W]`` -> ``[H, W, 3]`` uint8 RGB, transparency on white."""
    if isinstance(image, np.ndarray):
        return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    if image.mode.startswith("I;16"):
        # Pillow clips sixteen bits to eight, which makes such an image white.
        return rgb((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def resize(pixels: NDArray[np.uint8], size: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    """``[H, W, 3]`` -> uint8 ``[3, height, width]``, antialiased; what torchvision's v2 ``Resize`` computes."""
    return _resized(pixels, size, interpolation)[0]


def decode_batch(
    encoded: Sequence[bytes | None], size: tuple[int, int], interpolation: str = "bilinear", crop: float = 0.0
) -> Tensor:
    """Encoded images -> uint8 ``[B, 3, height, width]``, channels last in memory; a missing one is all zero.

    ``crop``: 0 stretches the whole image to ``size``; else it is cut out of the middle after the image was resized,
    in its own proportions, so that it just covers ``size / crop``.
    """
    batch = _BUFFERS.take(len(encoded), *size, 3).permute(0, 3, 1, 2)
    for row, data in enumerate(encoded):
        if data is None:
            batch[row] = 0
        else:
            pixels = decode(data)
            if crop:
                covering = _covering(pixels.shape[:2], size, crop)
                batch[row] = _middle(_resized(pixels, covering, interpolation)[0], size)
            else:
                batch[row] = _resized(pixels, size, interpolation)[0]
    return batch


def _covering(has: tuple[int, ...], size: tuple[int, int], crop: float) -> tuple[int, int]:
    """The smallest size with the proportions of ``has`` that covers ``size / crop``; rounded as torchvision rounds."""
    scales = [wanted / crop / side for wanted, side in zip(size, has, strict=True)]
    scale = max(scales)
    height, width = (
        round(wanted / crop) if own == scale else max(wanted, int(side * scale))
        for wanted, side, own in zip(size, has, scales, strict=True)
    )
    return height, width


def _middle(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``[3, H, W]`` -> the ``[3, height, width]`` in its middle, as torchvision's ``CenterCrop``."""
    top, left = (round((side - wanted) / 2) for side, wanted in zip(image.shape[1:], size, strict=True))
    return image[:, top : top + size[0], left : left + size[1]]


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> Tensor:
    """``[1, 3, height, width]``, channels last in memory."""
    # What Pillow gives may be read-only, which torch warns of.
    tensor = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
    # With the first dimension before the others are permuted, torch knows that channels are last: twice as fast.
    image = tensor[None].permute(0, 3, 1, 2)
    return image if pixels.shape[:2] == size else F.interpolate(image, size, mode=interpolation, antialias=True)
