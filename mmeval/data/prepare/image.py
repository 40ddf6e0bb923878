"""One image as a source has it -> the bytes that the Store keeps."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mmeval.data.images import decode, is_jpeg, resize, rgb
from mmeval.data.prepare.decoding import opened, reading, turn, upright_pixels
from mmeval.errors import DataError
from mmeval.protocol import IMAGE_LONGEST, IMAGE_SIDE
from mmeval.protocol import IMAGE_RULE as RULE

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

QUALITY = 95
MOST_BYTES = 512 * 1024
"""Of an image that is kept as it came; more are metadata that nobody reads."""

OTHER_COLOURS = ("Gray", "CMYK", "YCCK")


class Stored(NamedTuple):
    """An image that is ready for the Store."""

    data: bytes
    """JPEG or PNG."""
    digest: str
    """SHA-256, 64 hex digits, of the image as it came and of the rule it was made by: no JPEG library changes it."""
    repaired: str
    """What was mended, in words; empty if nothing was broken."""


def stored(image: ImageData) -> Stored:
    """Make an image as the Store keeps it: RGB, upright, its shorter side ``IMAGE_SIDE`` pixels at most.

    One that is so already is kept byte by byte, so that no quality is lost. Any other is decoded, turned as its EXIF
    orientation says, put on white where it is transparent, made smaller with antialias (never larger) and encoded as
    JPEG. A JPEG that is cut short is kept as far as it goes, and said to be repaired.

    Raises:
        DataError: it can't be decoded, or is too large; the message is a few words.
    """
    if not isinstance(image, bytes):
        pixels = _checked_pixels(image)
        sha = hashlib.sha256(f"{RULE} {pixels.shape}".encode())
        sha.update(np.ascontiguousarray(pixels).data)
        return Stored(_encoded(rgb(pixels)), sha.hexdigest(), "")
    if not image:
        raise DataError("the image has no bytes")
    if _is_plain_jpeg(image):
        return Stored(image, hashlib.sha256(image).hexdigest(), "")
    with reading(image):
        if _fits_as_it_is(image):
            return Stored(image, hashlib.sha256(image).hexdigest(), "")
        pixels, repaired = upright_pixels(image)
    return Stored(_encoded(pixels), hashlib.sha256(RULE.encode() + image).hexdigest(), repaired)


def _is_plain_jpeg(data: bytes) -> bool:
    """As below, of what most images are: told without Pillow, and without silencing it."""
    if len(data) > MOST_BYTES or not is_jpeg(data) or _may_be_turned(data):
        return False
    try:
        return _is_small_rgb(data) and decode(data) is not None
    except ValueError:
        return False


def _fits_as_it_is(data: bytes) -> bool:
    """Whether nothing need be done to an image; it was decoded whole, so that it can be later."""
    if len(data) > MOST_BYTES:
        return False
    try:
        if is_jpeg(data):
            return _is_small_rgb(data) and _is_upright(data) and decode(data) is not None
        with opened(data) as image:
            plain = image.format == "PNG" and image.mode in ("RGB", "RGBA") and "transparency" not in image.info
            if not plain or _smaller(image.height, image.width) is not None:
                return False
            image.load()
            return turn(image) is None and (image.mode == "RGB" or image.getchannel("A").getextrema() == (255, 255))
    except (OSError, ValueError, SyntaxError):
        return False


def _is_small_rgb(jpeg: bytes) -> bool:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(jpeg, strict=True)
    return colours not in OTHER_COLOURS and _smaller(height, width) is None


def _may_be_turned(jpeg: bytes) -> bool:
    # Pillow, and so whoever made the data, also heeds what XMP says.
    return b"Exif" in jpeg or b"tiff:Orientation" in jpeg


def _is_upright(jpeg: bytes) -> bool:
    if not _may_be_turned(jpeg):
        return True
    with opened(jpeg) as image:
        return turn(image) is None


def _checked_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if not isinstance(pixels, np.ndarray):
        raise DataError(f"an image must be bytes or uint8 pixels, it is of the type {type(pixels).__name__}")
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape:
        raise DataError(f"pixels must be uint8 [H, W, 3] or [H, W], they are {pixels.dtype} {list(pixels.shape)}")
    return pixels


def _smaller(height: int, width: int) -> tuple[int, int] | None:
    """The size that an image is reduced to; None if it is small enough."""
    scale = min(IMAGE_SIDE / min(height, width), IMAGE_LONGEST / max(height, width))
    if scale >= 1:
        return None
    return max(1, round(height * scale)), max(1, round(width * scale))


def _encoded(pixels: NDArray[np.uint8]) -> bytes:
    if size := _smaller(*pixels.shape[:2]):
        pixels = resize(pixels, size).permute(1, 2, 0).contiguous().numpy()
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorsubsampling="420")
    return data
