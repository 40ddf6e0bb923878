"""The data set of the checks: drawings of coloured shapes with texts in thirteen languages."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw

from mmeval.api.source import Example
from mmeval.api.spec import DatasetSpec
from mmeval.api.task import Task

COLOURS = MappingProxyType(
    {"red": (208, 40, 36), "green": (36, 160, 64), "blue": (36, 72, 208), "yellow": (232, 200, 24)}
)
SHAPES = ("circle", "square", "triangle")
WORDS = {
    "bg": "червен зелен син жълт кръг квадрат триъгълник",
    "cs": "červený zelený modrý žlutý kruh čtverec trojúhelník",
    "el": "κόκκινος πράσινος μπλε κίτρινος κύκλος τετράγωνο τρίγωνο",
    "es": "rojo verde azul amarillo círculo cuadrado triángulo",
    "et": "punane roheline sinine kollane ring ruut kolmnurk",
    "hr": "crveni zeleni plavi žuti krug kvadrat trokut",
    "hu": "piros zöld kék sárga kör négyzet háromszög",
    "lt": "raudonas žalias mėlynas geltonas apskritimas kvadratas trikampis",
    "lv": "sarkans zaļš zils dzeltens aplis kvadrāts trīsstūris",
    "ro": "roșu verde albastru galben cerc pătrat triunghi",
    "sk": "červený zelený modrý žltý kruh štvorec trojuholník",
    "sl": "rdeč zelen moder rumen krog kvadrat trikotnik",
    "tr": "kırmızı yeşil mavi sarı daire kare üçgen",
}
"""Names by language: the colours, then the shapes."""
UNSEEN, ELSEWHERE = "tr", "elsewhere"
"""A language that no other split has, and its split, so that training never sees it."""
SIZES = {"train": 24, "validation": 12, "test": 12}
PIXELS = 64


class ShapesSource:
    """Coloured shapes: each image once per language; image and text each determine the labels of both tasks."""

    identity: Mapping[str, str] = {"shapes": "2"}
    # The second name has a dot, as columns of real tables may; a torch module's name can't have one.
    tasks = (Task("colour", tuple(COLOURS)), Task("shape.kind", SHAPES))
    size = sum(SIZES.values())

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield every image as PNG."""
        for key, _, colour, shape, number in _shapes():
            yield key, _draw(colour, shape, number)

    def examples(self) -> Iterator[Example]:
        """Yield every example."""
        for key, split, colour, shape, number in _shapes():
            for language in sorted(WORDS):
                if language == UNSEEN and split != "test":
                    continue
                words = WORDS[language].split()
                yield Example(
                    id=f"{key}/{language}",
                    text=f"{words[list(COLOURS).index(colour)]} {words[len(COLOURS) + SHAPES.index(shape)]} {number}",
                    language=language,
                    split=ELSEWHERE if language == UNSEEN else split,
                    # Some examples lack the label of one task, as in real tables.
                    labels={"colour": colour} | ({} if number % 8 == 7 else {"shape.kind": shape}),
                    image=key,
                    cluster=key,
                    slices={"label_source": "human" if number % 3 else "rule", "market": language.upper()},
                )


def contract_data(folder: Path) -> DatasetSpec:
    """Return the spec of the data set, and write its data card into ``folder``."""
    card = folder / "shapes.md"
    counts = {split: count * (len(WORDS) - 1) for split, count in SIZES.items()} | {ELSEWHERE: SIZES["test"]}
    card.write_text(
        f"---\nlanguage: [{', '.join(sorted(WORDS))}]\nlicense: cc0-1.0\nmmeval:\n  name: shapes\n"
        f"  tasks:\n    colour: [{', '.join(COLOURS)}]\n    shape.kind: [{', '.join(SHAPES)}]\n"
        f"  splits: {{{', '.join(f'{split}: {count}' for split, count in counts.items())}}}\n"
        f"  images: {ShapesSource.size}\n---\nShapes, for the checks of model plugins.\n",
        encoding="utf-8",
    )
    return DatasetSpec(name="shapes", summary="coloured shapes in 13 languages", card=card, source=ShapesSource)


def _shapes() -> Iterator[tuple[str, str, str, str, int]]:
    """Yield key, split, colour, shape and number of each image."""
    for split, count in SIZES.items():
        for number in range(count):
            yield f"{split}{number}", split, tuple(COLOURS)[number % 4], SHAPES[number // 4 % 3], number


def _draw(colour: str, shape: str, number: int) -> bytes:
    """Return a drawing as PNG: a shape of random size and place on a noisy background."""
    rng = np.random.default_rng([number, len(colour), len(shape)])
    image = Image.fromarray(rng.integers(200, 256, (PIXELS, PIXELS, 3), dtype=np.uint8))
    (x, y), r = rng.integers(24, 40, 2).tolist(), int(rng.integers(14, 20))
    draw, fill = ImageDraw.Draw(image), COLOURS[colour]
    if shape == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill)
    elif shape == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill)
    else:
        draw.polygon(((x, y - r), (x - r, y + r), (x + r, y + r)), fill)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
