"""Generator of fashiongen: two small HDF5 files with the keys, shapes and defects of the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

TRAIN, VALIDATION = "fashiongen_256_256_train.h5", "fashiongen_256_256_validation.h5"
LABELS = (
    ("TOPS", "T-SHIRTS", "CLOTHING"),
    ("SHIRTS", "SHIRTS", "CLOTHING"),
    ("SNEAKERS", "LOW TOP SNEAKERS", "SHOES"),
    ("DUFFLE & TOP HANDLE BAGS", "DUFFLE & TOP HANDLE BAGS", "BAGS"),
    ("GLOVES", "GLOVES", "ACCESSORIES"),
    ("MONKSTRAPS", "MONKSTRAPS", "SHOES"),
)
"""Category, subcategory, department; the last row is not in the validation file."""
UNKNOWN = "CULOTTES"
"""A subcategory in the validation file that is not a class."""
WIDTHS = {"input_description": 400, "input_concat_description": 600}


def write(
    folder: Path,
    *,
    products: int = 90,
    validation_products: int = 20,
    seed: int = 0,
    vlen: bool = False,
    chunk: int = 8,
) -> Path:
    """Write both files into ``folder`` and return it.

    They have 1 to 4 views of each product, in consecutive rows with the same text; letters of latin-1; tabs and spaces
    in labels; a subcategory that is not a class; two products in both files; a product without a description; and
    ``index_2`` in one dimension.

    Args:
        folder: where they are written; created if it is missing.
        products: products in the training file; two of them are in the validation file too.
        validation_products: products in the validation file, 4 or more.
        seed: changes images and texts.
        vlen: whether texts have variable length and UTF-8, as h5py writes strings; else fixed length, latin-1.
        chunk: images per compressed chunk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    known = [_product(1000 + number, LABELS[number % 6], rng) for number in range(products)]
    other = [_product(5000 + number, LABELS[number % 5], rng) for number in range(validation_products - 2)]
    other[1]["input_subcategory"] = UNKNOWN
    _write(folder / TRAIN, known, rng, vlen, chunk)
    _write(folder / VALIDATION, [*known[:2], *other], rng, vlen, chunk)
    return folder


def _product(number: int, labels: tuple[str, str, str], rng: np.random.Generator) -> dict[str, Any]:
    category, subcategory, department = labels
    colour = str(rng.choice(["black", "navy", "crème", "red"]))
    description = f"Slim {category.lower()} in {colour} cotton. Appliqué no. {number} at front. Tonal stitching."
    return {
        "input_productID": number,
        "input_description": "" if number % 50 == 7 else description,
        "input_concat_description": f"{description} cotton",
        # Some labels have a tab instead of a space, others trailing spaces.
        "input_category": (category.replace(" & TOP", " &\tTOP"), category + "  ")[number % 2],
        "input_subcategory": subcategory,
        "input_department": department,
        "input_gender": ("Men", "Women")[number % 2],
        "input_name": f"{colour.title()} {subcategory.title()}",
        "input_brand": f"Maison Étienne {number % 4}",
        "input_composition": "100% cotton.",
        "input_season": f"{('SS', 'FW')[number % 2]}{2014 + number % 4}",
        "input_msrpUSD": 95.5 + number,
        "views": 1 + number % 4,
        "colour": [40 + 35 * LABELS.index(labels), 200 - 30 * LABELS.index(labels), number % 200],
    }


def _write(path: Path, products: list[dict[str, Any]], rng: np.random.Generator, vlen: bool, chunk: int) -> None:
    rows = [row | {"input_pose": f"id_gridfs_{view + 1}"} for row in products for view in range(row["views"])]
    pixels = np.empty((len(rows), 256, 256, 3), np.uint8)
    for number, row in enumerate(rows):
        # A random mark per row makes all images different, and they still compress well.
        pixels[number] = row["colour"]
        pixels[number, 8 * (number % 30) : 8 * (number % 30) + 8, :64] = rng.integers(0, 255, 3)
    with h5py.File(path, "w") as file:
        shape = (min(chunk, len(rows)), 256, 256, 3)
        file.create_dataset("input_image", data=pixels, chunks=shape, compression="gzip", compression_opts=1)
        for key in [key for key in rows[0] if key not in ("views", "colour")]:
            values = [row[key] for row in rows]
            if key == "input_productID":
                data = np.array(values, np.int64)
            elif key == "input_msrpUSD":
                data = np.array(values, np.float32)
            elif vlen:
                file.create_dataset(key, data=[[value] for value in values], dtype=h5py.string_dtype())
                continue
            else:
                data = np.array([value.encode("latin-1") for value in values], f"S{WIDTHS.get(key, 64)}")
            file.create_dataset(key, data=data[:, None], chunks=True, compression="gzip")
        numbers = np.arange(len(rows), dtype=np.int64)
        file.create_dataset("index", data=numbers[:, None])
        file.create_dataset("index_2", data=numbers)
