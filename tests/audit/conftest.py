"""Data sets with planted defects."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pytest
from PIL import Image

from mmeval import DatasetSpec, Example, Task
from mmeval.api.source import Rejected
from mmeval.data.prepare.prepare import prepare
from mmeval.data.store import Store

Given = Sequence[Example | Rejected]


class Planted:
    """A source of given examples and images."""

    def __init__(self, examples: Given, images: Mapping[str, bytes], tasks: tuple[Task, ...]) -> None:
        self.given, self.encoded, self.tasks, self.size = examples, images, tasks, len(images)
        content = [*map(repr, examples), repr(tasks), *(hashlib.sha256(image).hexdigest() for image in images.values())]
        self.identity = {"content": hashlib.sha256("\n".join(content).encode()).hexdigest()}

    def images(self) -> Iterator[tuple[str, bytes]]:
        yield from self.encoded.items()

    def examples(self) -> Iterator[Example | Rejected]:
        yield from self.given


@pytest.fixture
def planted() -> Callable[..., Store]:
    """Return a function (examples, images, tasks) -> prepared Store."""

    def make(examples: Given, images: Mapping[str, bytes] | None = None, tasks: tuple[Task, ...] = ()) -> Store:
        source = Planted(examples, images or {}, tasks)
        return prepare(DatasetSpec(name="planted", summary="defects", card=None, source=lambda: source))

    return make


def scene(seed: int, side: int = 200) -> Image.Image:
    """Return an image of soft blotches, different for each seed."""
    blotches = np.random.default_rng(seed).integers(0, 255, (6, 5, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize((side, side + 20), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """Return an image encoded as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
