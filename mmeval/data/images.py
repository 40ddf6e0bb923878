"""Decoding and resizing of prepared images for batches; ``data.prepare.decoding`` decodes the images of sources."""

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
    """Return whether data begins as a JPEG; simplejpeg's own test rejects bytes after the end, which cameras add."""
    return data[:3] == b"\xff\xd8\xff"


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode an image to uint8 RGB ``[H, W, 3]``: JPEG with libjpeg-turbo, other formats with Pillow.

    Transparent images are put on white.
    """
    if is_jpeg(data):
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB")
        return pixels
    with Image.open(io.BytesIO(data)) as image:
        return rgb(image)


def rgb(image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert an image of any mode, or grey pixels ``[H, W]``, to uint8 RGB ``[H, W, 3]``, transparency on white."""
    if isinstance(image, np.ndarray):
        return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    if image.mode.startswith("I;16"):
        # Pillow would clip 16-bit values to 255, which turns most images white.
        return rgb((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def resize(pixels: NDArray[np.uint8], size: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    """Resize pixels ``[H, W, 3]`` to uint8 ``[3, height, width]``, antialiased, as torchvision's v2 ``Resize``."""
    return _resized(pixels, size, interpolation)[0]


def decode_batch(
    encoded: Sequence[bytes | None], size: tuple[int, int], interpolation: str = "bilinear", crop: float = 0.0
) -> Tensor:
    """Decode and resize images to uint8 ``[B, 3, height, width]``, channels last in memory.

    Args:
        encoded: the encoded images; None becomes all zeros.
        size: height and width.
        interpolation: as in ``torch.nn.functional.interpolate``.
        crop: 0 stretches the whole image to ``size``. Otherwise the image keeps its proportions, is resized to just
            cover ``size / crop``, and its centre is cut out.
    """
    batch = _BUFFERS.take(len(encoded), *size, 3).permute(0, 3, 1, 2)
    for row, data in enumerate(encoded):
        if data is None:
            batch[row] = 0
        else:
            pixels = decode(data)
            if crop:
                covering = _covering(pixels.shape[:2], size, crop)
                batch[row] = _center_crop(_resized(pixels, covering, interpolation)[0], size)
            else:
                batch[row] = _resized(pixels, size, interpolation)[0]
    return batch


def _covering(original: tuple[int, ...], size: tuple[int, int], crop: float) -> tuple[int, int]:
    """Return the smallest size with the original proportions that covers ``size / crop``, rounded as in torchvision."""
    scales = [target / crop / side for target, side in zip(size, original, strict=True)]
    scale = max(scales)
    height, width = (
        round(target / crop) if own == scale else max(target, int(side * scale))
        for target, side, own in zip(size, original, scales, strict=True)
    )
    return height, width


def _center_crop(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut ``[3, height, width]`` out of the centre of ``[3, H, W]``, as torchvision's ``CenterCrop``."""
    top, left = (round((side - target) / 2) for side, target in zip(image.shape[1:], size, strict=True))
    return image[:, top : top + size[0], left : left + size[1]]


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> Tensor:
    """Return uint8 ``[1, 3, height, width]``, channels last in memory."""
    # Pillow's arrays may be read-only, of which torch warns.
    tensor = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
    # Add the batch dimension before permuting: torch then recognises channels-last memory, which is twice as fast.
    image = tensor[None].permute(0, 3, 1, 2)
    return image if pixels.shape[:2] == size else F.interpolate(image, size, mode=interpolation, antialias=True)
