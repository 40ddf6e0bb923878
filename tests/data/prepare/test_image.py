"""Conversion of images: converted, kept as they are, or rejected with a short reason."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import threading
import warnings
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, features

from mmeval.data.images import decode
from mmeval.data.prepare.image import MAX_BYTES, RULE, StoredImage, convert
from mmeval.errors import DataError

SHORT = "the image is cut short before its first line"
ORIENTATION = 0x0112
TURNED = {
    # How the pixels lie in a file of this orientation whose upright image is `pixels`.
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, -1),
}
AVIF = [pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without"))]


def photo(height: int = 60, width: int = 80, noise: float = 0) -> NDArray[np.uint8]:
    """Return a smooth image with a different colour in each corner."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    pixels = np.stack([255 * x, 255 * y, 200 * (1 - x) * (1 - y)], -1)
    pixels += np.random.default_rng(0).normal(0, noise, pixels.shape) if noise else 0
    return np.clip(pixels, 0, 255).astype(np.uint8)


def file(pixels: NDArray[np.uint8] | Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 95} if kind in ("JPEG", "MPO", "WEBP", "AVIF") else {}) | options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def pixels_of(data: bytes) -> NDArray[np.int64]:
    """Return the pixels as readers of the Store decode them."""
    image = Image.open(io.BytesIO(data))
    assert image.mode in ("RGB", "RGBA")
    assert image.format in ("JPEG", "MPO", "PNG")
    return decode(data).astype(np.int64)


def near(data: bytes, pixels: NDArray[np.uint8], most: float) -> bool:
    decoded = pixels_of(data)
    return decoded.shape == pixels.shape and float(np.abs(decoded - pixels).mean()) <= most


def complaint(image: Any) -> str:
    with pytest.raises(DataError) as caught:
        convert(image)
    return str(caught.value)


def outcome(data: bytes) -> StoredImage | str:
    """Return the converted image or the reason for rejecting it."""
    try:
        return convert(data)
    except DataError as error:
        reason = str(error)
    assert 0 < len(reason) < 160
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "JPEG2000", *AVIF])
@pytest.mark.parametrize("size", [(60, 80), (300, 400)])
def test_every_format_gives_the_same_image(kind: str, size: tuple[int, int]) -> None:
    converted = convert(file(photo(*size), kind))
    wanted = photo(*size) if size[0] < 256 else np.asarray(Image.fromarray(photo(*size)).resize((341, 256)))
    assert converted.repaired == ""
    assert near(converted.data, wanted, 8 if kind == "GIF" else 3)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(mode, kind) for mode in ("L", "1", "CMYK", "YCbCr") for kind in ("JPEG", "TIFF")]
    + [(mode, "PNG") for mode in ("L", "LA", "1", "P", "RGBA")],
)
def test_every_mode_gives_the_same_image(mode: str, kind: str) -> None:
    """Shops have grey and CMYK images; models need RGB."""
    image = Image.fromarray(photo()).convert(mode)
    assert near(convert(file(image, kind)).data, np.asarray(image.convert("RGB")), {"1": 60, "P": 25}.get(mode, 4))


def test_16_bit_images_keep_their_greys() -> None:
    """Pillow alone would clip them to white."""
    grey = np.repeat(photo()[:, :, :1], 3, axis=2)
    deep = Image.fromarray(grey[:, :, 0].astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert near(convert(file(deep, kind)).data, grey, 2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode: str) -> None:
    """Otherwise the background of cut-out products would depend on the format, and so on the shop."""
    image = Image.fromarray(np.zeros((40, 40, 3), np.uint8)).convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.array([0, 255], np.uint8), 20)[None].repeat(40, axis=0)))
    if mode == "P":
        palette = Image.fromarray(np.repeat(np.array([0, 1], np.uint8), 20)[None].repeat(40, axis=0), mode="L")
        palette = palette.convert("P")
        palette.putpalette([255, 0, 0, 0, 0, 0])
        data = file(palette, "PNG", transparency=bytes([0, 255]))
    else:
        data = file(image.convert(mode), "PNG")
    decoded = pixels_of(convert(data).data)
    assert decoded[:, :16].min() > 250
    assert decoded[:, 24:].max() < 5


def test_inverted_cmyk_and_ycck_of_photoshop_have_their_colours() -> None:
    """Adobe writes inverted inks, often as YCCK."""
    cmyk = Image.fromarray(photo()).convert("CMYK")
    plain = file(cmyk)
    marker = plain.index(b"Adobe") + 11
    assert plain[marker] == 0
    inks = np.asarray(cmyk)
    luminance = np.asarray(Image.fromarray(inks[:, :, :3]).convert("YCbCr"))
    # Pillow inverts what it writes, and reads it inverted again: libjpeg must meet YCC of the inks themselves.
    mixed = np.concatenate([255 - luminance, inks[:, :, 3:]], axis=2)
    ycck = bytearray(file(Image.fromarray(mixed, mode="CMYK"), subsampling=0))
    ycck[ycck.index(b"Adobe") + 11] = 2
    assert simplejpeg.decode_jpeg_header(bytes(ycck))[2] == "YCCK"
    for data in (plain, bytes(ycck)):
        assert near(convert(data).data, np.asarray(cmyk.convert("RGB")), 4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_are_rotated_by_their_exif_orientation(kind: str, orientation: int) -> None:
    data = file(Image.fromarray(np.ascontiguousarray(TURNED[orientation](photo()))), kind, exif=exif(orientation))
    converted = convert(data)
    assert near(converted.data, photo(), 4)
    assert ORIENTATION not in Image.open(io.BytesIO(converted.data)).getexif() or converted.data == data, (
        "otherwise it would be rotated twice"
    )


def test_grey_images_are_rotated() -> None:
    lying = np.ascontiguousarray(TURNED[6](photo()))
    data = file(Image.fromarray(lying).convert("L"), exif=exif(6))
    assert near(convert(data).data, np.asarray(Image.fromarray(photo()).convert("L").convert("RGB")), 4)


def test_the_orientation_in_xmp_is_used_for_small_and_large_images() -> None:
    xmp = b'http://ns.adobe.com/xap/1.0/\x00<x tiff:Orientation="3"/>'
    for size in ((60, 80), (300, 400)):
        plain = file(photo(*size))
        data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + plain[2:]
        decoded = pixels_of(convert(data).data)
        assert decoded[0, 0, 0] > 200, "the right edge, which is red"


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_invalid_orientation_is_ignored(orientation: int) -> None:
    data = file(photo(), exif=exif(orientation))
    assert convert(data).data == data


@pytest.mark.parametrize(
    "data",
    [
        file(photo()),
        file(photo(), progressive=True),
        file(photo(), subsampling=0),
        file(photo(256, 1024)),
        file(photo(), "PNG"),
        file(Image.fromarray(photo()).convert("RGBA"), "PNG"),
        file(photo(), exif=exif(1)),
        file(photo(1, 1), "PNG"),
    ],
    ids=["JPEG", "progressive", "4:4:4", "strip", "PNG", "opaque RGBA", "upright", "one pixel"],
)
def test_an_image_that_needs_no_conversion_is_kept_byte_by_byte(data: bytes) -> None:
    """Preparing prepared images must not lose quality."""
    converted = convert(data)
    assert converted == (data, hashlib.sha256(data).hexdigest(), "")
    assert convert(converted.data) == converted


def test_a_converted_image_needs_no_further_conversion() -> None:
    converted = convert(file(photo(300, 400), "WEBP"))
    assert convert(converted.data).data == converted.data


def test_large_metadata_are_removed() -> None:
    """A thumbnail may have a megabyte of Photoshop metadata."""
    plain = file(photo())
    comment = b"\xff\xfe" + struct.pack(">H", 60_002) + bytes(60_000)
    data = plain[:2] + comment * (MAX_BYTES // 60_000 + 1) + plain[2:]
    assert len(convert(data).data) < 20_000


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700))
@example(1, 5000)
@example(5000, 3)
@example(256, 1025)
@example(545, 263)
def test_images_are_reduced_like_in_pillow_and_never_enlarged(height: int, width: int) -> None:
    """The shorter side becomes at most 256 pixels, the longer one at most 1024."""
    pixels = photo(height, width, noise=8)
    converted = pixels_of(convert(pixels).data)
    scale = min(1, 256 / min(height, width), 1024 / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    assert converted.shape == (size[1], size[0], 3)
    if scale < 1 and min(size) > 8:
        wanted = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        jpeg = decode(simplejpeg.encode_jpeg(np.ascontiguousarray(wanted), quality=95, colorsubsampling="420"))
        assert np.abs(converted - jpeg).mean() < 2


def test_pixels_are_resized_within_a_level_of_pillow() -> None:
    from mmeval.data.images import resize

    pixels = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    ours = resize(pixels, (341, 256)).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - np.asarray(Image.fromarray(pixels).resize((256, 341), Image.Resampling.BILINEAR))).max() <= 1


def test_animated_images_give_their_first_frame() -> None:
    red, blue = (Image.new("RGB", (60, 50), colour) for colour in ("red", "blue"))
    for kind in ("GIF", "WEBP", "TIFF", "PNG", "MPO"):
        data = file(red, kind, save_all=True, append_images=[blue])
        decoded = pixels_of(convert(data).data)
        assert (decoded[..., 0].min() > 240, decoded[..., 2].max() < 20) == (True, True), kind


def test_the_digest_covers_the_source_and_the_rule() -> None:
    """So that it does not depend on the rounding of a JPEG library."""
    data = file(photo(300, 400))
    assert convert(data).digest == hashlib.sha256(RULE.encode() + data).hexdigest()
    pixels = photo(300, 400)
    known = hashlib.sha256(f"{RULE} (300, 400, 3)".encode() + pixels.tobytes()).hexdigest()
    assert convert(pixels).digest == convert(np.asfortranarray(pixels)).digest == known
    assert convert(pixels[:, :, 0]).digest != known


@pytest.mark.parametrize("shape", [(50, 70, 3), (50, 70)])
def test_pixel_arrays_are_accepted(shape: tuple[int, ...]) -> None:
    pixels = photo(50, 70) if len(shape) == 3 else photo(50, 70)[:, :, 0]
    wanted = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    assert near(convert(pixels).data, wanted, 3)
    pixels.setflags(write=False)
    assert near(convert(pixels[::-1]).data, wanted[::-1], 3)


PIXELS = "pixels must be uint8 [H, W, 3] or [H, W], they are"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "the image has no bytes"),
        (b"not an image", "not an image in a supported format"),
        ("Gr\xfc\xdfe".encode("utf-16"), "not an image in a supported format"),
        (
            b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
            "an XML document, such as a server's error page, not an image",
        ),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an XML document, such as a server's error page, not an image"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "an SVG drawing, which is not a supported image format"),
        (b"\n <!DOCTYPE html><html><title>404</title>", "a web page, not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing, which is not a supported image format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image in a supported format"),
        (file(photo(), "PNG")[:500], "the image is cut short"),
        (file(photo())[:300], SHORT),
        (np.zeros((9, 9, 4), np.uint8), f"{PIXELS} uint8 [9, 9, 4]"),
        (np.zeros((9, 9, 3), np.float32), f"{PIXELS} float32 [9, 9, 3]"),
        (np.zeros((0, 9, 3), np.uint8), f"{PIXELS} uint8 [0, 9, 3]"),
        (np.zeros(9, np.uint8), f"{PIXELS} uint8 [9]"),
        ("shoe.jpg", "an image must be bytes or uint8 pixels, it is of the type str"),
        (None, "an image must be bytes or uint8 pixels, it is of the type NoneType"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_invalid_images_are_rejected_with_a_reason(image: Any, reason: str) -> None:
    """The reason is written to rejected.parquet. EPS is not read because it would start Ghostscript."""
    assert complaint(image) == reason


def png(width: int, height: int) -> bytes:
    """Return a valid PNG of white bits, a few kilobytes whatever its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = b"\0" + b"\xff" * ((width + 7) // 8)
    packed = zlib.compressobj(9)
    parts = [packed.compress(line * 500) for _ in range(height // 500)] + [packed.compress(line * (height % 500))]
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = b"".join([*parts, packed.flush()])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (9000, 8000, "the image has 9,000 x 8,000 pixels, a decompression bomb"),
        (12000, 10000, "the image has 12,000 x 10,000 pixels, a decompression bomb"),  # Pillow warns
        (30000, 20000, "the image is a decompression bomb"),  # Pillow refuses
    ],
)
def test_decompression_bombs_are_rejected_before_decoding(width: int, height: int, reason: str) -> None:
    assert complaint(png(width, height)) == reason
    jpeg = bytearray(file(photo()))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", height, width)
    assert complaint(bytes(jpeg)) == reason


def test_large_images_are_reduced() -> None:
    assert Image.open(io.BytesIO(convert(png(3600, 3000)).data)).size == (307, 256)
    assert Image.open(io.BytesIO(convert(file(photo(1500, 2000))).data)).size == (341, 256)


@cache
def whole(kind: str, large: bool) -> bytes:
    image = Image.fromarray(photo(*((300, 400) if large else (60, 80)), noise=8))
    if kind == "exif":
        return file(image, exif=exif(6))
    return file(image.convert({"grey": "L", "CMYK": "CMYK"}.get(kind, "RGB")), progressive=kind == "progressive")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["plain", "progressive", "grey", "CMYK", "exif"]), st.booleans(), st.floats(0, 1))
def test_truncated_jpegs_are_repaired_or_rejected(kind: str, large: bool, share: float) -> None:
    """At any byte, without a library's own exception or warning."""
    data = whole(kind, large)
    cut = data[: int(share * len(data))]
    size = {True: (341, 256), False: (80, 60)}[large]
    converted = outcome(cut)
    if isinstance(converted, str):
        assert kind == "progressive" or b"\xff\xda" not in cut[:-40], "a part of the image could be decoded"
        return
    assert Image.open(io.BytesIO(converted.data)).size == (size if kind != "exif" else size[::-1])
    assert converted.repaired == ("" if cut == data else "cut short: its end is grey")


def test_the_beginning_of_a_truncated_jpeg_is_kept() -> None:
    """Without Pillow's switch for the whole process."""
    pixels = photo(300, 400, noise=8)
    for options in ({}, {"exif": exif(3)}):
        data = file(pixels, **options)
        converted = convert(data[: len(data) // 2])
        assert converted.repaired == "cut short: its end is grey"
        decoded, upright = pixels_of(converted.data), pixels_of(convert(data).data)
        if options:
            decoded, upright = decoded[::-1, ::-1], upright[::-1, ::-1]
        assert np.abs(decoded[:100] - upright[:100]).mean() < 3
        assert np.abs(decoded[-60:] - 128).max() < 12
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_corrupt_jpeg_counts_as_repaired() -> None:
    """Its colours may be wrong; the number of such images is shown."""
    for options in ({}, {"restart_marker_blocks": 4}):
        data = bytearray(file(photo(300, 400, noise=8), **options))
        data[len(data) // 2 : len(data) // 2 + 400] = np.random.default_rng(1).bytes(400)
        assert convert(bytes(data)).repaired == "damaged: a part of it is wrong"


def test_extra_bytes_are_no_damage() -> None:
    """Cameras and shops add them."""
    data = file(photo())
    for longer in (data + b"\0\0", data + b"thumbnail", data[:-2] + b"\0\0\0" + data[-2:]):
        converted = convert(longer)
        assert converted.repaired == ""
        assert near(converted.data, photo(), 4)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM"])
)
def test_random_bytes_raise_no_other_errors(data: bytes, head: bytes) -> None:
    assert outcome(head + data)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "MPO"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_damaged_images_are_repaired_or_rejected(kind: str, changes: list[tuple[float, int]], at_front: bool) -> None:
    """Damaged EXIF data, TIFF tags and palettes raise many kinds of warnings and exceptions in Pillow."""
    data = bytearray(damaged_of(kind))
    for place, value in changes:
        data[int(place * (min(300, len(data)) if at_front else len(data)))] = value
    converted = outcome(bytes(data))
    # Decoded as readers of the Store do it, which ignores damaged EXIF data.
    assert isinstance(converted, str) or len(decode(converted.data))


@cache
def damaged_of(kind: str) -> bytes:
    tags = exif(6)
    tags[0x010F] = "a camera " * 20
    return file(photo(), kind, **({"exif": tags} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}))


def test_pillows_warnings_are_suppressed_and_the_filters_restored() -> None:
    """Also in threads, where `warnings.catch_warnings` alone would lose the user's filters."""
    data, before = png(9500, 9500), list(warnings.filters)
    reasons: list[str] = []

    def work() -> None:
        reasons.extend(complaint(data) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons == ["the image has 9,500 x 9,500 pixels, a decompression bomb"] * 80
    assert warnings.filters == before


def test_pillows_log_does_not_reach_the_terminal() -> None:
    """Python prints log records that no handler takes."""
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("PIL").handlers)


def test_bytes_after_the_end_of_a_jpeg_are_accepted() -> None:
    """By the fast decoder: Pillow took twice as long."""
    small, large = file(photo()), file(photo(600, 800))
    assert convert(small + b"added").data == small + b"added"
    kept = convert(large + b"added")
    assert kept.repaired == ""
    assert (decode(kept.data) == decode(convert(large).data)).all()
