"""Any image -> upright RGB pixels, or a few words on why not; of Pillow's warnings nothing is heard."""

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

MOST_PIXELS = 64_000_000
"""Of an image as it comes. A decompression bomb has more."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation; with any other it is upright."""
Image.init()
FORMATS = tuple(
    known for known in ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000") if known in Image.OPEN
)
"""What is read. Pillow knows more, some of which start another program (EPS) or are told by no mark (TGA)."""
WORDS = 100
"""Letters of an error that a reason quotes, at most."""
WEB_PAGE = (b"<!doctype html", b"<html")
XML = b"<?xml"
"""Stores answer so where they refuse an image."""
END_OF_IMAGE = b"\xff\xd9"
# Else what Pillow logs of a bad TIFF goes to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def reading(data: bytes) -> Iterator[None]:
    """Turn whatever goes wrong with the encoded image ``data`` within the block into a DataError of a few words."""
    try:
        with _SILENCE:
            yield
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(_what_it_is(data[:512].removeprefix(BOM_UTF8).lstrip().lower())) from None
    except Image.DecompressionBombError:
        raise DataError("the image is a decompression bomb") from None
    except Exception as error:  # of a damaged file Pillow may raise anything
        said = (str(error).splitlines() or [""])[0][:WORDS]
        raise DataError(f"the image can't be decoded ({said or type(error).__name__})") from None


def _what_it_is(head: bytes) -> str:
    if head.startswith(WEB_PAGE) or (head.startswith(XML) and b"<html" in head):
        return "a web page, not an image"
    if head.startswith(b"<svg") or (head.startswith(XML) and b"<svg" in head):
        return "an SVG drawing, not an image in a format that is read"
    if head.startswith((XML, b"<error")):
        return "an XML document, such as a server's error page, not an image"
    return "not an image in a format that is known"


def opened(data: bytes) -> Image.Image:
    """An image in one of ``FORMATS``, its pixels not read yet."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise
    except OSError as error:
        if _is_cut_short(error):
            raise DataError("the image is cut short before its first line") from None
        raise


def upright_pixels(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Upright RGB pixels ``[H, W, 3]`` of any image, and what was mended; call it within :func:`reading`."""
    with opened(data) as image:
        if image.width * image.height > MOST_PIXELS:
            raise DataError(f"the image has {image.width:,} x {image.height:,} pixels, a decompression bomb")
        jpeg, mended = image.format in ("JPEG", "MPO"), ""
        if jpeg and image.mode == "RGB" and turn(image) is None:
            try:
                return decode(data), ""
            except OSError:
                pass  # cut short, as below
            except ValueError as error:
                # Of what libjpeg only warns of; Pillow tells whether it is whole. Bytes too many at the end are usual.
                said = str(error)
                damaged = "Corrupt JPEG data" in said and not said.endswith("extraneous bytes before marker 0xd9")
                mended = "damaged: a part of it is wrong" if damaged else ""
        try:
            image.load()
            return _upright(image), mended
        except OSError as error:
            if not _is_cut_short(error):
                raise
            if not jpeg:
                raise DataError("the image is cut short") from None
    return _as_far_as_it_goes(data), "cut short: its end is grey"


def turn(image: Image.Image) -> Image.Transpose | None:
    """What makes an image upright, None if it is; damaged EXIF says nothing."""
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(ORIENTATION)
        return TURNS.get(orientation) if isinstance(orientation, int) else None
    return None


def _upright(image: Image.Image) -> NDArray[np.uint8]:
    # After load(): Pillow turns a TIFF by itself.
    needed = turn(image)
    return rgb(image if needed is None else image.transpose(needed))


def _as_far_as_it_goes(data: bytes) -> NDArray[np.uint8]:
    """Pixels of a JPEG that is cut short, grey where there are none."""
    with contextlib.suppress(OSError):
        # What Pillow's LOAD_TRUNCATED_IMAGES adds, without its switch for the whole process.
        with opened(data + END_OF_IMAGE) as image:
            image.load()
            pixels = _upright(image)
        if (pixels != pixels[0, 0]).any():
            return pixels
    raise DataError("the image is cut short before its first line")


def _is_cut_short(error: OSError) -> bool:
    return "truncated" in str(error).lower()


class _Silence:
    """Ignores Pillow's warnings while any thread is within; ``catch_warnings`` alone isn't made for threads."""

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


_SILENCE = _Silence()
