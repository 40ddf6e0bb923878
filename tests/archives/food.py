"""Generator of food101: small folders like the copy on Kaggle, and with MMBT's jsonl files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "apple_pie": (190, 140, 60),
    "cheese_plate": (240, 220, 120),
    "creme_brulee": (120, 60, 20),
    "cup_cakes": (240, 120, 180),
    "hot_and_sour_soup": (180, 40, 20),
    "tacos": (60, 160, 60),
}
WORDS = "easy recipe home best ever with from my kitchen blog quick dinner oven the how to make simple fresh food"
ODD_TITLES = (
    "None",
    "NA",
    "null",
    'The "best", they say',
    "Two\nlines",
    "Crème Brûlée à la maison",
    "Cupcakes &amp; Co",
)
SHARED = "Our new favorite brunch recipe laquo"
"""A title of many rows, in train and test, with several labels."""


def write(folder: Path, form: str = "kaggle", *, train: int = 240, test: int = 60, seed: int = 0) -> Path:
    """Write a folder in the published form and return it.

    Both splits have titles that pandas reads as missing values, a comma, quotes and a line break in titles, a title of
    many rows, ``-2`` in file names, an image without a title, and a title without an image.

    Args:
        folder: where it is written; created if it is missing.
        form: ``kaggle``; ``mmbt``, with ``dev.jsonl`` (every eighth row of train) and ``test_hard_gt.jsonl``.
        train: images of the training split.
        test: images of the test split.
        seed: changes titles and images.
    """
    rng = np.random.default_rng(seed)
    tables = {split: _split(folder, split, count, rng) for split, count in {"train": train, "test": test}.items()}
    if form == "kaggle":
        (folder / "texts").mkdir(parents=True, exist_ok=True)
        for split, rows in tables.items():
            write_csv(folder / "texts" / f"{split}_titles.csv", rows)
    else:
        rows = tables["train"]
        write_mmbt(folder / "train.jsonl", [row for number, row in enumerate(rows) if number % 8], "train")
        write_mmbt(folder / "dev.jsonl", rows[::8], "train")
        write_mmbt(folder / "test.jsonl", tables["test"], "test")
        write_mmbt(folder / "test_hard_gt.jsonl", tables["test"][::3], "test")
    return folder


def write_csv(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write rows of file, title, class without a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_mmbt(path: Path, rows: Sequence[tuple[str, str, str]], split: str) -> None:
    """Write rows of file, title, class as MMBT's scripts do."""
    lines = [
        {"id": f"{label}_{file}", "label": label, "text": title, "img": f"images/{split}/{label}/{file}"}
        for file, title, label in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _split(folder: Path, split: str, count: int, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Write the images of a split; returns its rows in the order of the file, which is not sorted."""
    rows = []
    first = 0 if split == "train" else 500
    for number in range(count):
        label = tuple(COLOURS)[number % len(COLOURS)]
        file = f"{label}_{first + number}{'-2' if number % 20 == 3 else ''}.jpg"
        path = folder / "images" / split / label / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(label, rng))
        words = rng.choice(WORDS.split(), size=6).tolist()
        name = label.replace("_", " ").title()
        title = " ".join([*words[:3], name, *words[3:]] if rng.random() < 0.735 else words)
        if number < len(ODD_TITLES):
            title = ODD_TITLES[number]
        elif number % 15 == 0:
            title = SHARED
        rows.append((file, title, label))
    rows[8] = (rows[8][0], "", rows[8][2])
    missing = folder / "images" / split / rows[9][2] / rows[9][0]
    missing.unlink()
    del rows[10]
    return rows[::-1]


def image(label: str, rng: np.random.Generator) -> bytes:
    """Return a small JPEG in the colour of the class."""
    pixels = np.clip(np.array(COLOURS[label]) + rng.normal(0, 25, (40, 56, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()
