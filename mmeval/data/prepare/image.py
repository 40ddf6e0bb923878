"""Conversion of one source image to the form in which the Store keeps it; ``images`` converts all of a source."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mmeval.data.images import decode, is_jpeg, resize, rgb
from mmeval.data.prepare.decoding import decoding_errors, open_image, rotation, upright_pixels
from mmeval.errors import DataError
from mmeval.protocol import IMAGE_LONGEST, IMAGE_SIDE
from mmeval.protocol import IMAGE_RULE as RULE

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

QUALITY = 95
MAX_BYTES = 512 * 1024
"""A larger image is encoded again, even if its size and format fit: the excess is metadata."""

OTHER_COLOURS = ("Gray", "CMYK", "YCCK")


class StoredImage(NamedTuple):
    """An image in the form in which the Store keeps it."""

    data: bytes
    """JPEG or PNG."""
    digest: str
    """SHA-256, 64 hex digits, of the source image and the conversion rule, so that it depends on no JPEG library."""
    repaired: str
    """Description of a repaired defect; empty if there was none."""


def convert(image: ImageData) -> StoredImage:
    """Convert an image for the Store: RGB, upright, its shorter side at most ``IMAGE_SIDE`` pixels.

    An image that has this form is kept byte by byte, without loss of quality. Any other is decoded, rotated by its
    EXIF orientation, put on white if transparent, reduced with antialiasing (never enlarged) and encoded as JPEG. A
    truncated JPEG is kept as far as it can be decoded, and counts as repaired.

    Raises:
        DataError: the image can't be decoded or is too large; the message is a short reason.
    """
    if not isinstance(image, bytes):
        pixels = _checked_pixels(image)
        sha = hashlib.sha256(f"{RULE} {pixels.shape}".encode())
        sha.update(np.ascontiguousarray(pixels).data)
        return StoredImage(_encode(rgb(pixels)), sha.hexdigest(), "")
    if not image:
        raise DataError("the image has no bytes")
    if _is_plain_jpeg(image):
        return StoredImage(image, hashlib.sha256(image).hexdigest(), "")
    with decoding_errors(image):
        if _needs_no_conversion(image):
            return StoredImage(image, hashlib.sha256(image).hexdigest(), "")
        pixels, repaired = upright_pixels(image)
    return StoredImage(_encode(pixels), hashlib.sha256(RULE.encode() + image).hexdigest(), repaired)


def needs_reduction(pixels: NDArray[np.uint8]) -> bool:
    """Return whether an image of these pixels would be reduced.

    Raises:
        DataError: they are not pixels of an image.
    """
    return _reduced_size(*_checked_pixels(pixels).shape[:2]) is not None


def _is_plain_jpeg(data: bytes) -> bool:
    """Return whether data is a JPEG that needs no conversion, for the common cases that don't need Pillow."""
    if len(data) > MAX_BYTES or not is_jpeg(data) or _may_be_rotated(data):
        return False
    try:
        return _is_small_rgb(data) and decode(data) is not None
    except ValueError:
        return False


def _needs_no_conversion(data: bytes) -> bool:
    """Return whether an image can be kept as it is; it was decoded completely, so that later decoding succeeds."""
    if len(data) > MAX_BYTES:
        return False
    try:
        if is_jpeg(data):
            return _is_small_rgb(data) and _is_upright(data) and decode(data) is not None
        with open_image(data) as image:
            plain = image.format == "PNG" and image.mode in ("RGB", "RGBA") and "transparency" not in image.info
            if not plain or _reduced_size(image.height, image.width) is not None:
                return False
            image.load()
            return rotation(image) is None and (image.mode == "RGB" or image.getchannel("A").getextrema() == (255, 255))
    except (OSError, ValueError, SyntaxError):
        return False


def _is_small_rgb(jpeg: bytes) -> bool:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(jpeg, strict=True)
    return colours not in OTHER_COLOURS and _reduced_size(height, width) is None


def _may_be_rotated(jpeg: bytes) -> bool:
    # Pillow also reads the orientation in XMP metadata.
    return b"Exif" in jpeg or b"tiff:Orientation" in jpeg


def _is_upright(jpeg: bytes) -> bool:
    if not _may_be_rotated(jpeg):
        return True
    with open_image(jpeg) as image:
        return rotation(image) is None


def _checked_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not isinstance(pixels, np.ndarray):
        raise DataError(f"an image must be bytes or uint8 pixels, it is of the type {type(pixels).__name__}")
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape:
        raise DataError(f"pixels must be uint8 [H, W, 3] or [H, W], they are {pixels.dtype} {list(pixels.shape)}")
    return pixels


def _reduced_size(height: int, width: int) -> tuple[int, int] | None:
    """Return the height and width that an image is reduced to; None if it is small enough."""
    scale = min(IMAGE_SIDE / min(height, width), IMAGE_LONGEST / max(height, width))
    if scale >= 1:
        return None
    return max(1, round(height * scale)), max(1, round(width * scale))


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    if size := _reduced_size(*pixels.shape[:2]):
        pixels = resize(pixels, size).permute(1, 2, 0).contiguous().numpy()
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorsubsampling="420")
    return data
