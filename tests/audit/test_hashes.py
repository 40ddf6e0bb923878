"""An image encoded again is the same image; another one of the same kind is not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from mmeval.audit.hashes import MOST_BITS, PerceptualHashes, alike, perceptual_hashes_of, square
from mmeval.audit.images import link_images
from tests.audit.conftest import jpeg, scene

MANY = 60


def looks_at(images: list[bytes]) -> PerceptualHashes:
    return perceptual_hashes_of(np.stack([square(image) for image in images]))


def found(changed: list[bytes], original: list[bytes]) -> float:
    first, second = looks_at(original), looks_at(changed)
    near, _ = alike(first.small, second.small)
    return float((near & (np.bitwise_count(first.hashes ^ second.hashes) <= MOST_BITS)).mean())


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def symmetric(image: Image.Image) -> Image.Image:
    """A garment laid flat: half of the frequencies are nothing, where the usual hash is noise."""
    pixels = np.asarray(image).astype(np.uint16)
    return Image.fromarray(((pixels + pixels[:, ::-1]) // 2).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "encoded again": lambda image: jpeg(image, 50),
    "half the size": lambda image: jpeg(half(image)),
    "half the size and encoded again": lambda image: jpeg(half(image), 50),
    "darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.85)),
    "less contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(0.85)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["any", "symmetric"])
def test_a_changed_image_is_found_again(change: str, kind: str) -> None:
    images = [symmetric(scene(i)) if kind == "symmetric" else scene(i) for i in range(MANY)]
    assert found([CHANGES[change](image) for image in images], [jpeg(image) for image in images]) >= 0.98


def test_different_images_are_no_twins() -> None:
    links, node, _ = link_images(looks_at([jpeg(scene(i)) for i in range(4 * MANY)]))
    assert len(links.left) == 0
    assert len(set(node.tolist())) == 4 * MANY


def test_another_detail_on_the_same_drawing_is_another_image() -> None:
    """Zodiac signs on one purple square; a print on one shirt."""
    images = []
    for shape in ("ellipse", "line"):
        image = Image.new("RGB", (96, 96), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((8, 8, 88, 88), fill=(130, 90, 190))
        getattr(draw, shape)((38, 38, 58, 58), fill="white", **({"width": 6} if shape == "line" else {}))
        images.append(jpeg(image))
    assert len(link_images(looks_at(images))[0].left) == 0


@pytest.mark.parametrize("colours", [("white", "black"), ("red", "blue")])
def test_blank_images_are_twins_only_in_one_colour(colours: tuple[str, str]) -> None:
    images = [jpeg(Image.new("RGB", (64, 80), colour), quality) for colour in colours for quality in (95, 60)]
    links, node, _ = link_images(looks_at(images))
    sets = links.sets()[node]
    assert sets[0] == sets[1] != sets[2] == sets[3]


def test_ten_thousand_blank_images_are_one_node() -> None:
    """Not fifty million pairs."""
    small = np.full((10_000, 768), 255, np.uint8)
    links, node, _ = link_images(PerceptualHashes(np.zeros(len(small), np.uint64), small))
    assert (links.nodes, set(node.tolist())) == (1, {0})


def test_different_images_of_one_hash_stay_apart_however_many() -> None:
    small = np.random.default_rng(0).integers(0, 255, (200, 768)).astype(np.uint8)
    links, node, _ = link_images(PerceptualHashes(np.zeros(len(small), np.uint64), small))
    assert len(set(node.tolist())) == 200
    assert links.cut


def test_png_and_jpeg_of_one_image_look_the_same() -> None:
    image = scene(3)
    file = io.BytesIO()
    image.save(file, "PNG")
    assert found([file.getvalue()], [jpeg(image, 90)]) == 1
