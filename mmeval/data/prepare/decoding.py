"""Decoding of untrusted source images to upright RGB pixels (JPEG, PNG, AVIF, ...), with errors as short reasons."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from codecs import BOM_UTF8
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mmeval.data.images import decode, rgb
from mmeval.errors import DataError

MAX_PIXELS = 64_000_000
"""Pixels of a source image; a decompression bomb has more."""
ORIENTATION = 0x0112
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that makes an image upright, by EXIF orientation; with any other value the image is upright."""
Image.init()
FORMATS = tuple(
    name for name in ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000") if name in Image.OPEN
)
"""The formats that are read. Pillow reads more, but some start another program (EPS) or have no signature (TGA)."""
MAX_REASON = 100
"""Characters of an error message that a reason quotes at most."""
WEB_PAGE = (b"<!doctype html", b"<html")
XML = b"<?xml"
"""How the error pages of shops begin, which scrapers save under the name of an image."""
END_OF_IMAGE = b"\xff\xd9"
# Otherwise Pillow logs errors of bad TIFF files to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def decoding_errors(data: bytes) -> Iterator[None]:
    """Convert every error about the encoded image ``data`` within the block into a DataError with a short reason."""
    try:
        with _WITHOUT_WARNINGS:
            yield
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(_unknown_format(data[:512].removeprefix(BOM_UTF8).lstrip().lower())) from None
    except Image.DecompressionBombError:
        raise DataError("the image is a decompression bomb") from None
    except Exception as error:  # Pillow may raise anything about a damaged file
        reason = (str(error).splitlines() or [""])[0][:MAX_REASON]
        raise DataError(f"the image can't be decoded ({reason or type(error).__name__})") from None


def _unknown_format(head: bytes) -> str:
    """Return the reason for rejecting data that is not an image, by its first bytes in lower case."""
    if head.startswith(WEB_PAGE) or (head.startswith(XML) and b"<html" in head):
        return "a web page, not an image"
    if head.startswith(b"<svg") or (head.startswith(XML) and b"<svg" in head):
        return "an SVG drawing, which is not a supported image format"
    if head.startswith((XML, b"<error")):
        return "an XML document, such as a server's error page, not an image"
    return "not an image in a supported format"


def open_image(data: bytes) -> Image.Image:
    """Open an image in one of ``FORMATS``; its pixels are decoded later."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise
    except OSError as error:
        if _is_cut_short(error):
            raise DataError("the image is cut short before its first line") from None
        raise


def upright_pixels(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Decode any image to upright RGB pixels ``[H, W, 3]``.

    Call it within :func:`decoding_errors`. A truncated or damaged JPEG is decoded as far as possible.

    Returns:
        The pixels, and a description of the defect that was repaired; empty if there was none.
    """
    with open_image(data) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"the image has {image.width:,} x {image.height:,} pixels, a decompression bomb")
        jpeg, defect = image.format in ("JPEG", "MPO"), ""
        if jpeg and image.mode == "RGB" and rotation(image) is None:
            try:
                return decode(data), ""
            except OSError:
                pass  # truncated; Pillow decodes it below
            except ValueError as error:
                # simplejpeg raises libjpeg's warnings too. Extra bytes at the end are common and harmless.
                message = str(error)
                damaged = "Corrupt JPEG data" in message and not message.endswith("extraneous bytes before marker 0xd9")
                defect = "damaged: a part of it is wrong" if damaged else ""
        try:
            image.load()
            return _upright(image), defect
        except OSError as error:
            if not _is_cut_short(error):
                raise
            if not jpeg:
                raise DataError("the image is cut short") from None
    return _decode_truncated(data), "cut short: its end is grey"


def rotation(image: Image.Image) -> Image.Transpose | None:
    """Return the operation that makes an image upright; None if it is upright or its EXIF data is damaged."""
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(ORIENTATION)
        return TRANSPOSES.get(orientation) if isinstance(orientation, int) else None
    return None


def _upright(image: Image.Image) -> NDArray[np.uint8]:
    # Call this after load(): Pillow rotates a TIFF while loading.
    needed = rotation(image)
    return rgb(image if needed is None else image.transpose(needed))


def _decode_truncated(data: bytes) -> NDArray[np.uint8]:
    """Decode a truncated JPEG; the missing part is grey."""
    with contextlib.suppress(OSError):
        # The same as Pillow's LOAD_TRUNCATED_IMAGES, which is a switch for the whole process.
        with open_image(data + END_OF_IMAGE) as image:
            image.load()
            pixels = _upright(image)
        if (pixels != pixels[0, 0]).any():
            return pixels
    raise DataError("the image is cut short before its first line")


def _is_cut_short(error: OSError) -> bool:
    return "truncated" in str(error).lower()


class _WithoutWarnings:
    """Ignores Pillow's warnings while any thread is within the block; ``catch_warnings`` is not thread-safe."""

    def __init__(self) -> None:
        self._lock, self._inside, self._caught = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_WITHOUT_WARNINGS = _WithoutWarnings()
