"""Data sets with defects that were put there on purpose."""

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
    """A source of whatever examples and images it is given."""

    def __init__(self, examples: Given, images: Mapping[str, bytes], tasks: tuple[Task, ...]) -> None:
        self.given, self.encoded, self.tasks, self.size = examples, images, tasks, len(images)
        content = [*map(repr, examples), repr(tasks), *(hashlib.sha256(one).hexdigest() for one in images.values())]
        self.identity = {"content": hashlib.sha256("\n".join(content).encode()).hexdigest()}

    def images(self) -> Iterator[tuple[str, bytes]]:
        yield from self.encoded.items()

    def examples(self) -> Iterator[Example | Rejected]:
        yield from self.given


@pytest.fixture
def planted() -> Callable[..., Store]:
    """Prepares a Store of examples, images and tasks."""

    def make(examples: Given, images: Mapping[str, bytes] | None = None, tasks: tuple[Task, ...] = ()) -> Store:
        source = Planted(examples, images or {}, tasks)
        return prepare(DatasetSpec(name="planted", summary="defects", card=None, source=lambda: source))

    return make


def scene(seed: int, side: int = 200) -> Image.Image:
    """An image of soft blotches: a different one for each seed."""
    blotches = np.random.default_rng(seed).integers(0, 255, (6, 5, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize((side, side + 20), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """As JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
