"""One picture as a source has it -> the bytes that the Store keeps."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from mmeval.data.images import decode, resize, rgb
from mmeval.errors import DataError
from mmeval.protocol import IMAGE_LONGEST, IMAGE_SIDE

if TYPE_CHECKING:
    from mmeval.plugin.source import Picture

RULE = "picture-1"
"""Names what this module does; another rule makes other pixels, so another Store."""
QUALITY = 95
MOST_PIXELS = 64_000_000
"""Of a picture as it comes. A decompression bomb has more."""
MOST_BYTES = 512 * 1024
"""Of a picture that is kept as it came; more are metadata that nobody reads."""
UPRIGHT, ORIENTATION = 1, 0x0112


class Stored(NamedTuple):
    """A picture that is ready for the Store."""

    data: bytes
    """JPEG or PNG."""
    digest: str
    """SHA-256, 64 hex digits, of the picture as it came and of the rule it was made by: no JPEG library changes it."""
    repaired: str
    """What was mended, in words; empty if nothing was broken."""


def stored(picture: Picture) -> Stored:
    """Make a picture as the Store keeps it: RGB, upright, its shorter side ``IMAGE_SIDE`` pixels at most.

    One that is so already is kept byte by byte, so that no quality is lost. Any other is decoded, turned as its EXIF
    orientation says, put on white where it is transparent, made smaller with antialias (never larger) and encoded as
    JPEG. A JPEG that is cut short is kept as far as it goes, and said to be repaired.

    Raises:
        DataError: it can't be decoded, or is too large; the message is a few words.
    """
    if not isinstance(picture, bytes):
        pixels = _checked_pixels(picture)
        sha = hashlib.sha256(f"{RULE} {pixels.shape}".encode())
        sha.update(np.ascontiguousarray(pixels).data)
        return Stored(_encoded(rgb(pixels)), sha.hexdigest(), "")
    if not picture:
        raise DataError("the picture has no bytes")
    if _fits_as_it_is(picture):
        return Stored(picture, hashlib.sha256(picture).hexdigest(), "")
    pixels, repaired = _pixels(picture)
    return Stored(_encoded(pixels), hashlib.sha256(RULE.encode() + picture).hexdigest(), repaired)


def _fits_as_it_is(data: bytes) -> bool:
    """Whether nothing need be done to a picture; it was decoded whole, so that it can be later."""
    if len(data) > MOST_BYTES:
        return False
    try:
        if simplejpeg.is_jpeg(data):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=True)
            upright = b"Exif" not in data[:65536] or _orientation(data) == UPRIGHT
            fits = upright and colours not in ("Gray", "CMYK", "YCCK") and _smaller(height, width) is None
            return fits and decode(data) is not None
        with Image.open(io.BytesIO(data)) as image:
            plain = image.format == "PNG" and image.mode in ("RGB", "RGBA") and "transparency" not in image.info
            upright = image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT
            if not plain or not upright or _smaller(image.height, image.width) is not None:
                return False
            return (image.mode == "RGB" and image.load() is not None) or _opaque(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _opaque(image: Image.Image) -> bool:
    return image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)


def _pixels(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Upright RGB pixels of any picture, and what was mended."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"the picture has {image.width:,} x {image.height:,} pixels, a decompression bomb")
            turned, jpeg = image.getexif().get(ORIENTATION, UPRIGHT), image.format in ("JPEG", "MPO")
            if jpeg and turned == UPRIGHT and image.mode == "RGB":
                try:
                    return decode(data), ""
                except ValueError:
                    pass  # of what libjpeg only warns of; Pillow tells whether it is whole
            try:
                image.load()
                return rgb(ImageOps.exif_transpose(image)), ""
            except OSError as error:
                if not jpeg or "truncated" not in str(error):
                    raise
                return rgb(ImageOps.exif_transpose(_as_far_as_it_goes(data))), "cut short: its end is grey"
    except UnidentifiedImageError:
        raise DataError("not a picture in a format that is known") from None
    except Image.DecompressionBombError:
        raise DataError("the picture is a decompression bomb") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"the picture can't be decoded ({error})") from None


def _as_far_as_it_goes(data: bytes) -> Image.Image:
    parser = ImageFile.Parser()
    parser.feed(data)
    # What Pillow's LOAD_TRUNCATED_IMAGES does, without its switch for the whole process.
    image = parser.image
    if image is None:
        raise DataError("the picture is cut short before its first line")
    lines = np.asarray(image.convert("L"))
    if lines.min() == lines.max():
        raise DataError("the picture is cut short before its first line")
    return image


def _orientation(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return int(image.getexif().get(ORIENTATION, UPRIGHT))


def _checked_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape:
        raise DataError(f"pixels must be uint8 [H, W, 3] or [H, W], they are {pixels.dtype} {list(pixels.shape)}")
    return pixels


def _smaller(height: int, width: int) -> tuple[int, int] | None:
    """The size that a picture is reduced to; None if it is small enough."""
    scale = min(IMAGE_SIDE / min(height, width), IMAGE_LONGEST / max(height, width))
    if scale >= 1:
        return None
    return max(1, round(height * scale)), max(1, round(width * scale))


def _encoded(pixels: NDArray[np.uint8]) -> bytes:
    if size := _smaller(*pixels.shape[:2]):
        pixels = resize(pixels, size).permute(1, 2, 0).contiguous().numpy()
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorsubsampling="420")
    return data
