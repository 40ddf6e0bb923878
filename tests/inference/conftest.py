"""A small shop: a table with images in three languages, a run that was trained on it, and new products."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmeval
from mmeval import RunFolder

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210)}
WORDS = {
    "de": {"red": "rot", "green": "grün", "blue": "blau"},
    "en": {"red": "red", "green": "green", "blue": "blue"},
    "ja": {"red": "赤い", "green": "緑の", "blue": "青い"},
}
SMALL = (
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
    "text_encoder=char-ngrams:512x16",
    "width=16",
    "eval_mode=expectation",
    "recipe.epochs=2",
    "recipe.batch_size=16",
)


def picture(number: int, colour: str) -> bytes:
    """Return a noisy square of a colour as PNG."""
    pixels = np.array(COLOURS[colour]) + np.random.default_rng(number).normal(0, 12, (24, 24, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def products(count: int, first: int = 0) -> Iterator[dict[str, str]]:
    """Yield rows of the shop's table; every ninth has no text, every tenth no image."""
    for number in range(first, first + count):
        colour, language = tuple(COLOURS)[number % 3], tuple(WORDS)[number % 4 % 3]
        yield {
            "sku": f"p{number}",
            "title": "" if number % 9 == 4 else WORDS[language][colour],
            "body": f"number {number}" if number % 9 != 4 else "",
            "lang": language,
            "photo": "" if number % 10 == 7 else f"photos/{number}.png",
            "category": colour,
            "size": ("large", "small")[number % 2],
        }


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write a table and its images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        if row.get("photo"):
            image = path.parent / row["photo"]
            image.parent.mkdir(exist_ok=True)
            image.write_bytes(picture(int(row["sku"][1:]), row["category"]))
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two seeds on the shop's table, with two tasks."""
    folder = tmp_path_factory.mktemp("shop")
    table = write_table(folder / "shop.csv", list(products(120)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMEVAL_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        return mmeval.run(
            dataset=f"table:{table}",
            columns="text=title+body,label=category+size,image=photo,language=lang,id=sku",
            set=SMALL,
            seeds=2,
            device="cpu",
            output=folder / "run",
        )


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the trained run, which a test may damage."""
    shutil.copytree(trained.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def new_products(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes new products without labels; it can change the rows."""

    def make(count: int = 20, name: str = "new.csv", change: Callable[[dict[str, str]], None] | None = None) -> Path:
        rows = list(products(count, first=1000))
        path = write_table(tmp_path / "week" / name, rows)
        for row in rows:
            del row["category"], row["size"]
            if change:
                change(row)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return make
