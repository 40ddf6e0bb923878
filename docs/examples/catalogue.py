"""Writes a small catalogue to follow docs/journey.md with: products with drawn images, and titles in four languages.

``python catalogue.py`` writes ``shop/catalogue.csv``, its images, and ``shop/new.csv``: 20 products without a category.
"""

import csv
import random
from pathlib import Path

from PIL import Image, ImageDraw

PRODUCTS, NEW = 160, 20
LANGUAGES = ("en", "de", "fr", "ja")
WORDS = {
    "mugs": ("mug", "Becher", "tasse", "マグカップ"),
    "shirts": ("shirt", "Hemd", "chemise", "シャツ"),
    "lamps": ("lamp", "Lampe", "lampe", "ランプ"),
    "bags": ("bag", "Tasche", "sac", "バッグ"),
}
COLOURS = {
    (196, 60, 52): ("red", "rot", "rouge", "赤"),
    (56, 96, 176): ("blue", "blau", "bleu", "青"),
    (70, 140, 80): ("green", "grün", "vert", "緑"),
    (90, 90, 96): ("grey", "grau", "gris", "グレー"),
}
SHAPES = {
    "mugs": (("rectangle", (18, 22, 60, 80)), ("arc", (50, 34, 82, 66))),
    "shirts": (("polygon", (30, 20, 66, 20, 88, 42, 74, 50, 70, 82, 26, 82, 22, 50, 8, 42)),),
    "lamps": (("polygon", (36, 14, 60, 14, 78, 50, 18, 50)), ("rectangle", (45, 50, 51, 84))),
    "bags": (("rectangle", (16, 42, 80, 84)), ("arc", (30, 18, 66, 64))),
}


def draw(category: str, colour: tuple[int, int, int], chance: random.Random) -> Image.Image:
    """Return a product as a drawing of 96 x 96 pixels, turned, scaled and on a background of any light colour."""
    background = tuple(chance.randrange(180, 256) for _ in range(3))
    image = Image.new("RGB", (96, 96), background)
    pencil = ImageDraw.Draw(image)
    for shape, points in SHAPES[category]:
        options = {"width": 6} if shape == "arc" else {"outline": "black"}
        getattr(pencil, shape)(points, *((0, 360) if shape == "arc" else ()), fill=colour, **options)
    size = chance.randrange(72, 97)
    image = image.rotate(chance.randrange(-30, 31), fillcolor=background).resize((size, size))
    return image.convert("RGB")


def main() -> None:
    """Write both tables and the images."""
    chance = random.Random(0)
    shop = Path("shop")
    (shop / "images").mkdir(parents=True, exist_ok=True)
    known, new = [], []
    for number in range(PRODUCTS + NEW):
        category, colour = chance.choice(list(WORDS)), chance.choice(list(COLOURS))
        image = f"images/{number:03}.jpg"
        draw(category, colour, chance).save(shop / image, quality=90)
        # One product in ten has no image, and half of the titles say only the colour.
        image = "" if chance.random() < 0.1 else image
        for index, language in enumerate(LANGUAGES):
            words = [COLOURS[colour][index], *([WORDS[category][index]] if chance.random() < 0.5 else [])]
            title = f"{' '.join(chance.sample(words, len(words)))} {chance.randrange(100, 1000)}"
            if number < PRODUCTS:
                known.append([f"P{number:03}", image, title, language, category])
            elif index == number % len(LANGUAGES):
                new.append([f"P{number:03}", image, title, language])
    for name, header, rows in (
        ("catalogue.csv", ["sku", "photo", "title", "language", "category"], known),
        ("new.csv", ["sku", "photo", "title", "language"], new),
    ):
        with (shop / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main()
