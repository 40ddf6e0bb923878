"""Generator of fashion-product-images: two Parquet shards as `datasets` writes them to the Hub."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NAMES = ("train-00000-of-00002-6cff4c59f91661c3.parquet", "train-00001-of-00002-bb459e5ac5f01e71.parquet")
TEXTS = ("gender", "masterCategory", "subCategory", "articleType", "baseColour", "season")
FEATURES = {
    "id": {"dtype": "int64", "_type": "Value"},
    **{name: {"dtype": "string", "_type": "Value"} for name in TEXTS},
    "year": {"dtype": "float64", "_type": "Value"},
    "usage": {"dtype": "string", "_type": "Value"},
    "productDisplayName": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
}
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        *((name, pa.string()) for name in TEXTS),
        ("year", pa.float64()),
        ("usage", pa.string()),
        ("productDisplayName", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)
ARTICLES = (
    # masterCategory, subCategory, articleType, word in the name
    ("Apparel", "Topwear", "Tshirts", "T-shirt"),
    ("Apparel", "Topwear", "Shirts", "Shirt"),
    ("Apparel", "Bottomwear", "Jeans", "Jeans"),
    ("Footwear", "Shoes", "Casual Shoes", "Casual Shoes"),
    ("Accessories", "Watches", "Watches", "Watch"),
    ("Accessories", "Bags", "Handbags", "Bag"),
)
COLOURS = {"Black": (20, 20, 20), "Navy Blue": (20, 30, 110), "Red": (200, 20, 30), "White": (240, 240, 240)}
GENDERS, SEASONS, USAGES = ("Men", "Women", "Unisex"), ("Fall", "Summer", "Winter"), ("Casual", "Formal", "Sports")
BRANDS = ("Puma", "Redtape", "Fabindia", "Catwalk")


def write(folder: Path, *, rows: int = 240, seed: int = 0, traps: bool = True) -> Path:
    """Write the two shards into ``folder/data``, and return ``folder``: the value of ``--source``.

    ``traps`` adds ten unusual rows; the last two are invalid.
    """
    rng = np.random.default_rng(seed)
    products = [product(rng, number) for number in range(rows)]
    if traps:
        products += unusual_rows(rng, products)
    half = len(products) // 2
    for name, part in zip(NAMES, (products[:half], products[half:]), strict=True):
        write_shard(folder / "data" / name, part)
    return folder


def write_shard(path: Path, products: Sequence[dict[str, Any]], schema: pa.Schema = SCHEMA) -> Path:
    """Write rows as a Parquet file in row groups of 100, as `datasets` does for images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(products), schema=schema), path, row_group_size=100)
    return path


def product(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Return one row; its name mostly contains gender, colour and article, as in the published data."""
    master, sub, article, word = ARTICLES[rng.integers(len(ARTICLES))]
    colour = tuple(COLOURS)[rng.integers(len(COLOURS))]
    gender, brand = GENDERS[rng.integers(3)], BRANDS[rng.integers(4)]
    word_of_colour = colour if rng.random() < 0.7 else "Printed"
    return {
        "id": 1163 + number,
        "gender": gender,
        "masterCategory": master,
        "subCategory": sub,
        "articleType": article,
        "baseColour": colour,
        "season": SEASONS[rng.integers(3)],
        "year": float(2011 + rng.integers(6)),
        "usage": USAGES[rng.integers(3)],
        "productDisplayName": f"{brand} {gender} {word_of_colour} {number} {word}",
        "image": {"bytes": jpeg(rng, COLOURS[colour]), "path": None},
    }


def unusual_rows(rng: np.random.Generator, products: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return unusual rows; the last two are invalid: a repeated id and a missing image."""

    def like(first: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
        image = {"bytes": jpeg(rng, (90, 90, 90)), "path": f"{number}.jpg"}
        return first | {"id": number, "image": image} | changes

    first_product, second, third = products[:3]
    return [
        like(first_product, 50001, productDisplayName=f"  {first_product['productDisplayName'].upper()} "),
        like(first_product, 50002, baseColour="White"),
        like(second, 50003, baseColour=None, usage=None, productDisplayName="Kiara Women Clutch"),
        like(second, 50004, usage="NA", season="", productDisplayName="Rocky S Women Bag"),
        like(second, 50005, productDisplayName=None),
        like(second, 50006, productDisplayName=""),
        like(third, 50007, year=None, productDisplayName='Sushilã "Tee",\nblue\u00a0'),
        like(third, 50008, image={"bytes": jpeg(rng, (9, 9, 200), mode="L"), "path": None}),
        like(third, first_product["id"], productDisplayName="The id of another"),
        like(third, 50009, productDisplayName="No image at all", image={"bytes": None, "path": "50009.jpg"}),
    ]


def jpeg(rng: np.random.Generator, colour: tuple[int, int, int], mode: str = "RGB") -> bytes:
    """Return an image of 60 x 80 pixels in a colour, with random noise."""
    pixels = np.clip(np.array(colour) + rng.normal(0, 12, (80, 60, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=90)
    return file.getvalue()
