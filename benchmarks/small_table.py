"""A small table of products with images, for benchmarks that need a data set."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

LANGUAGES = {"cs": ("boty", "kabát", "klobouk"), "en": ("shoes", "coat", "hat"), "lt": ("batai", "paltas", "skrybėlė")}
CLASSES = ("shoes", "coats", "hats")
COLOURS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))


def write_table(folder: Path, products: int = 60) -> Path:
    """Write ``shop.csv`` and its images into ``folder``, with a row per product and language; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with (folder / "shop.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "text", "language", "label", "group"])
        for product in range(products):
            kind = product % len(CLASSES)
            pixels = np.clip(np.array(COLOURS[kind]) + rng.normal(0, 40, (48, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{product}.png")
            for language, words in LANGUAGES.items():
                text = f"{words[kind]} {rng.integers(1000)}"
                writer.writerow([f"{product}-{language}", f"{product}.png", text, language, CLASSES[kind], product])
    return folder / "shop.csv"
