"""Decoding and resizing give the same pixels as Pillow and torchvision."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmeval.data.images import decode, decode_batch, resize


def noise(height: int = 61, width: int = 47) -> Image.Image:
    """Return smooth shapes with some noise, similar to a photograph."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 6, 3)).astype(np.uint8)).resize((width, height), Image.BICUBIC)
    noise = rng.normal(0, 8, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_pillows_pixels(mode: str, options: dict[str, int]) -> None:
    data = encoded(noise().convert(mode), "JPEG", **options)
    pixels = decode(data)
    assert (pixels.shape, pixels.dtype) == ((61, 47, 3), np.uint8)
    assert np.array_equal(pixels, pillow(data))


def test_a_cmyk_jpeg_has_pillows_colours() -> None:
    """The decoders round differently, by one level."""
    data = encoded(noise().convert("CMYK"), "JPEG")
    assert np.abs(decode(data) - pillow(data)).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_png_without_transparency_has_pillows_pixels(mode: str) -> None:
    data = encoded(noise().convert(mode), "PNG")
    assert decode(data).dtype == np.uint8
    assert np.array_equal(decode(data), pillow(data))


def test_transparency_is_white() -> None:
    """Not the colour stored under the transparency."""
    image = noise().convert("RGBA")
    alpha = np.linspace(0, 255, 61 * 47).round().astype(np.uint8).reshape(61, 47)
    image.putalpha(Image.fromarray(alpha))
    share = alpha[..., None] / 255
    expected = np.asarray(noise()) * share + 255 * (1 - share)
    pixels = decode(encoded(image, "PNG"))
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels[0, 0] == 255).all()


def test_transparency_of_grey_and_of_a_palette_is_white() -> None:
    palette = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "L").convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    shown = np.array([[[255, 255, 255], [0, 255, 0]], [[0, 255, 0], [0, 0, 255]]])
    assert np.array_equal(decode(encoded(palette, "PNG", transparency=0)), shown)
    grey = Image.fromarray(np.array([[[9, 0], [9, 255]]], np.uint8), "LA")
    assert decode(encoded(grey, "PNG")).tolist() == [[[255] * 3, [9] * 3]]
    keyed = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert decode(encoded(keyed, "PNG", transparency=(1, 2, 3))).tolist() == [[[255] * 3, [4, 5, 6]]]


@pytest.mark.parametrize("size", [(32, 32), (24, 50), (100, 80), (7, 64)])
def test_resizing_equals_pillow_within_one_level(size: tuple[int, int]) -> None:
    """Encoders were trained on images that Pillow resized with antialiasing."""
    image = noise()
    small = resize(np.asarray(image), size)
    assert (small.dtype, tuple(small.shape)) == (torch.uint8, (3, *size))
    expected = np.asarray(image.resize(size[::-1], Image.BILINEAR)).astype(int)
    assert np.abs(small.permute(1, 2, 0).numpy() - expected).max() <= 1


def test_an_image_of_the_requested_size_is_unchanged() -> None:
    pixels = np.asarray(noise())
    assert np.array_equal(resize(pixels, (61, 47)).permute(1, 2, 0), pixels)


def test_a_missing_image_is_zero() -> None:
    """And the others keep their rows."""
    red, blue = (encoded(Image.new("RGB", (9, 9), colour), "PNG") for colour in ("red", "blue"))
    batch = decode_batch([red, None, blue], (4, 5))
    assert (batch.dtype, tuple(batch.shape)) == (torch.uint8, (3, 3, 4, 5))
    assert batch[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 0, 0], [0, 0, 255]]
    assert not batch[1].any()
    assert tuple(decode_batch([], (4, 5)).shape) == (0, 3, 4, 5)


@pytest.mark.parametrize("size", [(300, 400), (401, 299), (224, 224), (50, 400)])
@pytest.mark.parametrize(("side", "crop"), [(224, 0.875), (64, 1.0)])
def test_resizing_with_a_crop_equals_torchvision(size: tuple[int, int], side: int, crop: float) -> None:
    """CLIP and timm resize the shorter side to side / crop and cut out the centre."""
    from torchvision.transforms import v2

    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    resized = decode_batch([file.getvalue()], (side, side), "bicubic", crop)[0]
    steps = [
        v2.Resize(round(side / crop), interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
        v2.CenterCrop(side),
    ]
    expected = v2.Compose(steps)(torch.from_numpy(pixels).permute(2, 0, 1))
    torch.testing.assert_close(resized, expected, atol=1, rtol=0)
