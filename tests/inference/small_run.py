"""A run of a small torch model on a generated table with images, and new rows for it."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

import mmeval

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210)}
WORDS = {
    "de": {"red": "rot", "green": "grün", "blue": "blau"},
    "en": {"red": "red", "green": "green", "blue": "blue"},
}
OPTIONS = {
    "image_encoder": "small-cnn:16",
    "text_encoder": "char-ngrams:512x16",
    "image_tuning": {"frozen": False},
    "text_tuning": {"frozen": False},
    "width": 24,
    "recipe": {"epochs": 2, "batch_size": 16},
}


def write_table(folder: Path, rows: int, *, start: int = 0, labels: bool = True) -> Path:
    """Write ``rows`` coloured squares with names to ``folder/rows.csv``; some lack the image or the text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 20), colour).save(folder / f"{name}.png")
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "language", "title", "picture", *(["colour"] if labels else [])])
        for number in range(start, start + rows):
            colour, language = list(COLOURS)[number % 3], list(WORDS)[number // 3 % 2]
            text = "" if number % 11 == 7 else f"{WORDS[language][colour]} {number}"
            image = "" if number % 11 == 5 else f"{colour}.png"
            writer.writerow([f"row{number}", language, text, image, *([colour] if labels else [])])
    return folder / "rows.csv"


def train(folder: Path, plugin: str = "embracenet", **options: object) -> mmeval.RunFolder:
    """Train a model on 90 rows and return its run folder, ``folder/run``."""
    table = write_table(folder / "data", 90)
    columns = "id=id,language=language,text=title,image=picture,label=colour"
    return mmeval.run(
        plugin, f"table:{table}", columns=columns, output=folder / "run", device="cpu", **(options or OPTIONS)
    )
