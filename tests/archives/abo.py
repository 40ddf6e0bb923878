"""Generator of the unpacked archives of abo: 16 gzipped files of JSON Lines, a gzipped CSV file, small JPEGs."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLUMNS = ("image_id", "height", "width", "path")
SHOPS = {
    # domain_name -> country, language tags of a name there
    "amazon.com": ("US", ("en_US", "es_US")),
    "amazon.in": ("IN", ("en_IN",)),
    "amazon.de": ("DE", ("de_DE", "nl_NL")),
    "amazon.es": ("ES", ("es_ES", "pt_PT")),
    "amazon.fr": ("FR", ("fr_FR",)),
    "amazon.it": ("IT", ("it_IT", "en_GB")),
    "amazon.co.jp": ("JP", ("ja_JP", "zh_CN")),
}
THINGS = {
    "CHAIR": {
        "en": "chair",
        "es": "silla",
        "de": "Stuhl",
        "nl": "stoel",
        "pt": "cadeira",
        "fr": "chaise",
        "it": "sedia",
    }
    | {"ja": "椅子", "zh": "椅"},
    "LAMP": {"en": "lamp", "es": "lámpara", "de": "Lampe", "nl": "lamp", "pt": "candeeiro", "fr": "lampe"}
    | {"it": "lampada", "ja": "ランプ", "zh": "灯"},
    "RUG": {"en": "rug", "es": "alfombra", "de": "Teppich", "nl": "tapijt", "pt": "tapete", "fr": "tapis"}
    | {"it": "tappeto", "ja": "ラグ", "zh": "地毯"},
}
COLOURS = {
    # English -> pixels, German
    "Black": ((20, 20, 20), "Schwarz"),
    "Red": ((200, 30, 30), "Rot"),
    "Blue": ((30, 40, 200), "Blau"),
}
MATERIALS = ("Wood", "Metal")


def write(folder: Path, *, listings: int = 240, seed: int = 0, traps: bool = True) -> Path:
    """Write the unpacked archives into ``folder``, and return it: the value of ``--source``.

    ``traps`` adds unusual and invalid listings, see :func:`unusual_listings`. A colour has about 70 of 240 listings, so
    tasks beside product_type need ``AboSource(..., min_listings=3)`` or more listings.
    """
    rng = np.random.default_rng(seed)
    records = [listing(rng, number) for number in range(listings)]
    images = {record["main_image_id"]: f"{number % 256:02x}/{number:08x}.jpg" for number, record in enumerate(records)}
    for record in records:
        colour = COLOURS[record["color"][0]["standardized_values"][0]][0]
        path = folder / "images/small" / images[record["main_image_id"]]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(rng, colour))
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    if traps:
        added, more = unusual_listings(records)
        lines += added
        images |= more
    for number in range(16):
        write_lines(folder, f"{number:x}", lines[number::16])
    write_images(folder, images)
    return folder


def write_lines(folder: Path, number: str, lines: list[str]) -> Path:
    """Write one of the 16 files of listings."""
    path = folder / f"listings/metadata/listings_{number}.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    return path


def write_images(folder: Path, images: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write the table of images."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows((key, 64, 64, path)[: len(columns)] for key, path in images.items())
    path = folder / "images/metadata/images.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return path


def listing(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Return one record, with used and unused fields of the published records."""
    kind, colour = tuple(THINGS)[rng.integers(3)], tuple(COLOURS)[rng.integers(3)]
    domain = tuple(SHOPS)[rng.integers(len(SHOPS))]
    country, tags = SHOPS[domain]
    english = f"{colour}, no. {number}"
    return {
        "brand": [{"language_tag": tags[0], "value": "Rivet"}],
        "bullet_point": [{"language_tag": tag, "value": f"{text} {number}"} for tag in tags for text in ("A", "B")],
        "color": [
            {"language_tag": "en_US", "value": english, "standardized_values": [colour]},
            {"language_tag": "de_DE", "value": COLOURS[colour][1]},
        ],
        "item_id": f"B07{number:07}",
        "item_name": [name(tag, kind, number) for tag in tags],
        "item_weight": [{"normalized_value": {"unit": "pounds", "value": 2.5}, "unit": "pounds", "value": 2.5}],
        "main_image_id": f"{number:04}MAIN+L",
        "material": [{"language_tag": "en_US", "value": f" {MATERIALS[rng.integers(2)]}"}],
        "other_image_id": [f"{number:04}OTHERL"],
        "pattern": [{"language_tag": "en_US", "value": "Solid"}],
        "product_type": [{"value": kind}],
        "country": country,
        "marketplace": "Amazon",
        "domain_name": domain,
        "node": [{"node_id": 1063318, "node_name": "/Home & Kitchen"}],
    }


def name(tag: str, kind: str, number: int) -> dict[str, str]:
    """Return an entry of item_name."""
    return {"language_tag": tag, "value": f"Rivet {THINGS[kind][tag[:2]]} {number}"}


def unusual_listings(records: list[dict[str, Any]]) -> tuple[list[str], dict[str, str]]:
    """Return lines of unusual and invalid listings, and rows of images.csv for them.

    Valid: T1 (the item_id of record 0 on another marketplace), T2 (its image), T3 (no image), T4 and T5 (only German),
    T6 (several colours), T7 (a rare colour), T8 (two English names, one of them twice; several types). Invalid: T10
    (no name), T11 (an invalid tag), T12 (an empty name), record 1 repeated, T13 (a name that is a number), two that
    are not JSON objects, T14 (an image that images.csv lacks), T15 (a path out of the folder), T16 (a missing file).
    """
    base = records[0] | {"item_name": [{"language_tag": "en_US", "value": "A trap"}]}

    def like(item: str, **changes: Any) -> dict[str, Any]:
        return base | {"item_id": item, "main_image_id": records[2]["main_image_id"]} | changes

    german = [{"language_tag": "de_DE", "value": "Eine Falle"}]
    bare = {key: value for key, value in like("T3").items() if key not in ("main_image_id", "color")}
    domain = "amazon.ae" if base["domain_name"] != "amazon.ae" else "amazon.com"
    listings = [
        like(records[0]["item_id"], domain_name=domain, item_name=[{"language_tag": "ar_AE", "value": "فخ"}]),
        like("T2", main_image_id=records[0]["main_image_id"]),
        bare,
        like(
            "T4", item_name=german, color=[{"language_tag": "de_DE", "value": "rot", "standardized_values": ["RED "]}]
        ),
        like("T5", item_name=german, color=[{"language_tag": "de_DE", "value": "x", "standardized_values": ["Rot"]}]),
        like("T6", color=[{"language_tag": "en_US", "value": v} for v in ("Black", "Red")]),
        like("T7", color=[{"language_tag": "en_US", "value": "Ochre"}]),
        like(
            "T8",
            item_name=[{"language_tag": t, "value": v} for t, v in (("en_US", "1"), ("en_IN", "2"), ("en_US", "3"))],
            product_type=[{"value": "CHAIR"}, {"value": "LAMP"}],
        ),
        {key: value for key, value in like("T10").items() if key != "item_name"},
        like("T11", item_name=[{"language_tag": "qq_QQ", "value": "?"}, *german]),
        like("T12", item_name=[{"language_tag": "en_US", "value": " "}]),
        records[1],
        like("T13", item_name=[{"language_tag": "en_US", "value": 7}]),
        like("T14", main_image_id="nowhere"),
        like("T15", main_image_id="outside"),
        like("T16", main_image_id="lost"),
    ]
    lines = [json.dumps(record, ensure_ascii=False) for record in listings]
    return [*lines, '{"item_id": "T17", "item_na', "[]"], {"outside": "../../secret.jpg", "lost": "00/lost.jpg"}


def jpeg(rng: np.random.Generator, colour: tuple[int, int, int]) -> bytes:
    """Return an image of 64 x 64 pixels in a colour, with random noise."""
    pixels = np.clip(np.array(colour) + rng.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
