"""Perceptual hashes: a changed copy is a near-duplicate, a different image of the same kind is not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from mmeval.audit.hashes import MOST_BITS, PerceptualHashes, near_duplicates, perceptual_hashes_of, square
from mmeval.audit.images import near_duplicate_images
from tests.audit.conftest import jpeg, scene

MANY = 60


def hashes_of(images: list[bytes]) -> PerceptualHashes:
    return perceptual_hashes_of(np.stack([square(image) for image in images]))


def recall(changed: list[bytes], original: list[bytes]) -> float:
    """Return the share of changed images that are near-duplicates of their originals."""
    first, second = hashes_of(original), hashes_of(changed)
    near, _ = near_duplicates(first.thumbnails, second.thumbnails)
    return float((near & (np.bitwise_count(first.hashes ^ second.hashes) <= MOST_BITS)).mean())


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def symmetric(image: Image.Image) -> Image.Image:
    """Return the image averaged with its mirror image, as a garment laid flat: half of its frequencies are zero."""
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
def test_changed_copies_are_near_duplicates(change: str, kind: str) -> None:
    images = [symmetric(scene(i)) if kind == "symmetric" else scene(i) for i in range(MANY)]
    assert recall([CHANGES[change](image) for image in images], [jpeg(image) for image in images]) >= 0.98


def test_different_images_are_not_duplicates() -> None:
    graph, node, _ = near_duplicate_images(hashes_of([jpeg(scene(i)) for i in range(4 * MANY)]))
    assert len(graph.left) == 0
    assert len(set(node.tolist())) == 4 * MANY


def test_same_drawing_with_another_detail_is_not_a_duplicate() -> None:
    """As zodiac signs on a purple square, or prints on a shirt."""
    images = []
    for shape in ("ellipse", "line"):
        image = Image.new("RGB", (96, 96), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((8, 8, 88, 88), fill=(130, 90, 190))
        getattr(draw, shape)((38, 38, 58, 58), fill="white", **({"width": 6} if shape == "line" else {}))
        images.append(jpeg(image))
    assert len(near_duplicate_images(hashes_of(images))[0].left) == 0


@pytest.mark.parametrize("colours", [("white", "black"), ("red", "blue")])
def test_blank_images_are_duplicates_only_of_the_same_colour(colours: tuple[str, str]) -> None:
    images = [jpeg(Image.new("RGB", (64, 80), colour), quality) for colour in colours for quality in (95, 60)]
    graph, node, _ = near_duplicate_images(hashes_of(images))
    components = graph.components()[node]
    assert components[0] == components[1] != components[2] == components[3]


def test_ten_thousand_blank_images_are_one_node() -> None:
    """Comparing all of them would make fifty million pairs."""
    small = np.full((10_000, 768), 255, np.uint8)
    graph, node, _ = near_duplicate_images(PerceptualHashes(np.zeros(len(small), np.uint64), small))
    assert (graph.nodes, set(node.tolist())) == (1, {0})


def test_many_different_images_of_one_hash_stay_separate_nodes() -> None:
    small = np.random.default_rng(0).integers(0, 255, (200, 768)).astype(np.uint8)
    graph, node, _ = near_duplicate_images(PerceptualHashes(np.zeros(len(small), np.uint64), small))
    assert len(set(node.tolist())) == 200
    assert graph.cut


def test_png_and_jpeg_of_an_image_are_near_duplicates() -> None:
    image = scene(3)
    file = io.BytesIO()
    image.save(file, "PNG")
    assert recall([file.getvalue()], [jpeg(image, 90)]) == 1
