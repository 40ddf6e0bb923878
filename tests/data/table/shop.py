"""Small catalogues in the formats of shops and tools."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmeval.api.source import Example, Rejected
from mmeval.data.table.options import TableOptions, parse_columns
from mmeval.data.table.source import TableSource

CLASSES = ("shoe", "hat", "bag", "coat")
WORDS = {"de": ("Schuh", "Hut", "Tasche", "Mantel"), "en": CLASSES, "sk": ("topánka", "klobúk", "taška", "kabát")}


def jpeg(number: int) -> bytes:
    """A square of the colour of class ``number % 4``; another number is another image."""
    colour = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (180, 180, 20))[number % 4]
    noise = np.random.default_rng(number).normal(0, 15, (24, 24, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def products(count: int = 40) -> list[dict[str, str]]:
    """``count`` products in three languages each, photos in a folder."""
    return [
        {
            "sku": f"S{number}",
            "photo": f"photos/{number}.jpg",
            "title": f"{words[number % 4]} {number}",
            "lang": language,
            "category": CLASSES[number % 4],
            "season": ("summer", "winter")[number % 2],
        }
        for number in range(count)
        for language, words in WORDS.items()
    ]


def texts(count: int = 40) -> list[dict[str, str]]:
    """Return rows with a text and a class."""
    return [{"text": f"{CLASSES[number % 4]} {number}", "label": CLASSES[number % 4]} for number in range(count)]


def write(path: Path, rows: Iterable[Mapping[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Write a CSV file as Python's own writer does."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def shop(folder: Path, count: int = 40) -> Path:
    """A shop's export: ``shop.csv`` and a folder of photos; returns the table."""
    for number in range(count):
        photo = folder / "photos" / f"{number}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(jpeg(number))
    return write(folder / "shop.csv", products(count))


def source(path: Path, columns: str = "", **options: str) -> TableSource:
    """Return the source of a table."""
    return TableSource(TableOptions(source=str(path), columns=parse_columns(columns), **options), path)


def read(path: Path, columns: str = "", **options: str) -> tuple[list[Example], list[Rejected]]:
    """Return the examples and the rejected rows of a table."""
    rows = list(source(path, columns, **options).examples())
    return [row for row in rows if isinstance(row, Example)], [row for row in rows if isinstance(row, Rejected)]


def split_by_id(examples: Sequence[Example]) -> dict[str, str]:
    """Return the split of each example by its id."""
    return {example.id: example.split for example in examples}
