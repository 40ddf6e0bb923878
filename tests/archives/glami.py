"""Generator of GLAMI-1M in the published format, of any size, with all known defects."""

from __future__ import annotations

import colorsys
import contextlib
import csv
import functools
import io
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageDraw

TOP = "GLAMI-1M-dataset"
NAMES = {"zip": f"{TOP}.zip", "test-only": f"{TOP}--test-only.zip", "folder": TOP}
COLUMNS = ("item_id", "image_id", "geo", "name", "description", "category", "category_name", "label_source")
WIDTH, HEIGHT = 228, 298
NEW = dict(
    [
        *[("sk", "nové"), ("lt", "nauja"), ("cz", "nový"), ("tr", "yeni"), ("bg", "нов"), ("hu", "új"), ("hr", "novo")],
        *[("gr", "νέο"), ("ro", "nou"), ("ee", "uus"), ("si", "nova"), ("es", "nuevo"), ("lv", "jauna")],
    ]
)
"""The word "new" in the language of each market."""
SHARES = {
    "train": (18.7, 13.8, 12.4, 11.3, 8.2, 6.6, 5.9, 5.0, 4.9, 4.5, 4.2, 2.2, 2.1),
    "test": (16.6, 15.5, 10.1, 9.3, 9.8, 6.9, 7.0, 3.0, 2.1, 7.7, 5.5, 2.9, 3.6),
}
"""Per cent of each market, in the order above."""
SOURCES = ("custom-tag", "admin", "", "combined-tag", "quality-check")
SOURCE_SHARES = {"train": (40.8, 34.3, 24.4, 0.4, 0.1), "test": (54.3, 45.6, 0.0, 0.0, 0.1)}
KNOWN = (
    "womens-pants",
    "mens-sneakers",
    "kitchen",
    "women-s-socks",
    "dresses",
    "men-s-umbrellas",
    "bikinis",
    "broaches",
)
IN_TEST = 0.3
SMALL = 5000
"""Rows from which images repeat and are stored uncompressed."""


@functools.cache
def classes(number: int) -> tuple[tuple[int, str], ...]:
    """Return ids, ascending with gaps, and names of the first categories."""
    return tuple((6 + 211 * n + n % 7, KNOWN[n] if n < len(KNOWN) else f"womens-thing-{n}") for n in range(number))


def write(
    folder: Path,
    rows: int = 600,
    seed: int = 0,
    form: str = "zip",
    *,
    traps: bool = True,
    number_of_classes: int | None = None,
    columns: Sequence[str] = COLUMNS,
    top: str = TOP,
    extra: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    without: Sequence[str] = (),
    grain: int = 0,
) -> Path:
    """Write the data set, and return the file or folder: the value of ``--source``.

    Args:
        folder: where it is written.
        rows: of train and test together, without traps.
        seed: changes rows and images.
        form: ``zip``, ``test-only`` (a zip file with a member per row) or ``folder``.
        traps: adds the rows of :func:`kept` and :func:`bad`, and their images.
        number_of_classes: 191 if None and there are many rows, else few.
        columns: columns in the order of the file; those that are not published are filled with an address.
        top: name of the top folder; may be empty.
        extra: further rows by split, each as cells by column; their images are written too.
        without: names of files to leave out.
        grain: noise on the images, in levels; with 6 they are as large as those of the real data set, 11 kB.
    """
    count = number_of_classes or (191 if rows >= SMALL else 6)
    sizes = {"test": round(IN_TEST * rows) if rows < SMALL else max(1, round(rows * 116_004 / 1_108_532))}
    sizes["train"] = rows - sizes["test"]
    splits = ("test",) if form == "test-only" else ("train", "test")
    path = folder / (NAMES[form] if form != "folder" else top or NAMES[form])
    inside = f"{top}/" if top and form != "folder" else ""

    def items(split: str) -> Iterator[Mapping[str, str]]:
        yield from _items(split, sizes[split], count, seed)
        if traps:
            yield from (row for row in (*kept(count), *bad(count)) if row["split"] == split)
        yield from (extra or {}).get(split, ())

    with _target(path, form, rows) as put:
        for name in ("LICENSE", "NOTICE", "README.txt"):
            _put(put, inside, name, without, name.encode())
        for split in splits:
            name = f"GLAMI-1M-{split}.csv"
            if name not in without:
                with put(f"{inside}{name}") as binary, io.TextIOWrapper(binary, "utf-8", newline="") as text:
                    writer = csv.writer(text, lineterminator="\n")
                    writer.writerow(columns)
                    for row in items(split):
                        writer.writerow(row.get(column, f"https://example.org/{row['image_id']}") for column in columns)
        seen: set[str] = set()
        for split in splits:
            for row in items(split):
                key = row["image_id"]
                if form != "test-only" and key in seen:
                    continue
                seen.add(key)
                if (data := _image(row, count, rows, grain)) is not None:
                    _put(put, inside, f"images/{key}.jpg", without, data)
    return path


def kept(number_of_classes: int = 6) -> list[dict[str, str]]:
    """Return unusual but valid rows."""
    known = classes(number_of_classes)
    (first_id, first), (second_id, second) = known[0], known[1]
    plain = {"split": "train", "geo": "cz", "description": "", "category": str(first_id), "category_name": first}
    plain |= {"label_source": "admin"}
    return [
        plain | {"item_id": "9000001", "image_id": "9000001", "name": "NA"},
        plain | {"item_id": "9000002", "image_id": "9000002", "name": "null", "description": "None"},
        plain | {"item_id": "9000003", "image_id": "9000003", "name": "Bota", "category_name": f"{first} "},
        plain | {"item_id": "9000004", "image_id": "9000004", "name": 'Šaty "Eva", dlhé', "description": "a\nb\r\nc"},
        plain | {"item_id": "9000005", "image_id": "9000005", "name": "", "description": "Len popis"},
        plain | {"item_id": "9000006", "image_id": "9000006", "name": "", "description": ""},
        plain | {"item_id": "9000007", "image_id": "9000007", "name": "Šedá", "image": "grey"},
        plain | {"item_id": "9000008", "image_id": "9000008", "name": "Tisk", "image": "CMYK"},
        plain | {"item_id": "9000009", "image_id": "9000009", "name": "Průhledná", "image": "RGBA"},
        plain
        | {"item_id": "9000010", "image_id": "9000010", "name": "Dámské boty", "description": "Topánky s podpätkom"},
        plain
        | {"item_id": "9000011", "image_id": "9000011", "geo": "lt", "name": "Plain English", "description": "Shoes"},
        plain | {"item_id": "9000012", "image_id": "9000001", "geo": "sk", "name": "NA"},
        plain | {"item_id": "9000013", "image_id": "9000001", "geo": "ee", "name": "NA", "split": "test"},
        plain | {"item_id": "9000014", "image_id": "9000014", "name": "Odvozeno", "label_source": ""},
        plain | {"item_id": "9000015", "image_id": "9000015", "name": "Spojeno", "label_source": "combined-tag"},
        plain
        | {
            "item_id": "9000016",
            "image_id": "9000016",
            "name": "nan",
            "category": str(second_id),
            "category_name": second,
        },
    ]


def bad(number_of_classes: int = 6) -> list[dict[str, str]]:
    """Return invalid rows; ``why`` is the reason with which each is rejected."""
    known = classes(number_of_classes)
    (first_id, first), (_, second) = known[0], known[1]
    plain = {"split": "train", "geo": "cz", "name": "Bota", "description": "", "category": str(first_id)}
    plain |= {"category_name": first, "label_source": "admin"}
    other = {"category": "4", "why": f'"{first}" is category 4, in most rows {first_id}'}
    named = {"category_name": second, "why": f'category {first_id} is "{second}", in most rows "{first}"'}
    rows = [
        plain | {"geo": "de", "why": 'geo is "de", not one of the 13 markets'},
        plain | {"name": "Bo\0ta", "why": "holds a NUL byte"},
        plain | {"item_id": "9000001", "why": 'the id "9000001" belongs to another example'},
        plain | {"image": "text", "why": "9100004: a web page, not an image"},
        plain | {"image": "empty", "why": "9100005: the image has no bytes"},
        plain | {"image": "missing", "why": "the image 9100006.jpg is missing"},
        plain | {"category": "6.0", "why": 'category is "6.0", not a whole number'},
        plain | {"category_name": " ", "why": "category_name is empty"},
        plain | {"label_source": "guess", "why": 'label_source is "guess", not one of the published values'},
        plain | other,
        plain | named,
    ]
    numbers = (str(9_100_001 + n) for n in range(len(rows)))
    return [{"item_id": number, "image_id": number} | row for number, row in zip(numbers, rows, strict=True)]


def _items(split: str, count: int, number_of_classes: int, seed: int) -> Iterator[dict[str, str]]:
    """Yield valid rows; about every eighth has the image of the row before, in another market."""
    rng = np.random.default_rng((seed, split == "test"))
    number = max(1, round(0.873 * count))
    products = np.sort(np.concatenate([np.arange(number), rng.integers(0, number, count - number)]))
    labels = np.append(np.arange(number_of_classes), (number_of_classes * rng.random(number) ** 2).astype(int))[:number]
    share = np.array(SHARES[split])
    markets = np.append(np.arange(len(NEW)), rng.choice(len(NEW), count, p=share / share.sum()))[:count]
    source = np.array(SOURCE_SHARES[split])
    sources = rng.choice(len(SOURCES), count, p=source / source.sum())
    geos, known, before, market = tuple(NEW), classes(number_of_classes), -1, 0
    base = 400_000 if split == "train" else 4_000_000
    for n, product in enumerate(products.tolist()):
        market = (market + 1) % len(geos) if product == before else int(markets[n])
        before = product
        # Every hundredth product of the test split (of a small one, every tenth) has its image in train too.
        again = split == "test" and product % (10 if count < SMALL else 100) == 9
        seen = product % number_of_classes  # the first products of train have these labels
        category, slug = known[seen if again else int(labels[product])]
        image = 400_000 + 3 * seen if again else base + 3 * product
        word = slug.replace("-", " ")
        yield {
            "item_id": str(base + 100_000 + 2 * n),
            "image_id": str(image),
            "geo": geos[market],
            "name": f"{NEW[geos[market]]} {word} {product % 977}",
            "description": "" if n % 5 < 2 else f"{NEW[geos[market]]}, {word}.",
            "category": str(category),
            "category_name": slug,
            "label_source": SOURCES[n] if split == "train" and n < len(SOURCES) else SOURCES[int(sources[n])],
        }


@functools.cache
def _places(number_of_classes: int) -> dict[str, int]:
    return {str(category): n for n, (category, _) in enumerate(classes(number_of_classes))}


def _image(row: Mapping[str, str], number_of_classes: int, rows: int, grain: int) -> bytes | None:
    defect = row.get("image", "")
    if defect in ("text", "empty", "missing"):
        return {"text": b"<html>404 Not Found</html>", "empty": b""}.get(defect)
    kind = _places(number_of_classes).get(row["category"], 0) / number_of_classes
    return _drawn(kind, int(row["image_id"]) % (4 if rows >= SMALL else 100_003), defect, grain)


@functools.lru_cache(1024)
def _drawn(hue: float, number: int, mode: str, grain: int) -> bytes:
    """Return an image whose colour depends on the category, with a rectangle that depends on the product."""
    colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.7, 0.9))
    image = Image.new("RGB", (WIDTH, HEIGHT), colour)
    x, y = number % 149, number // 149 % 199
    ImageDraw.Draw(image).rectangle((x, y, x + 60, y + 80), fill=(255, 255, 255))
    if grain:
        noise = np.random.default_rng(number).normal(0, grain, (HEIGHT, WIDTH, 3))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if mode in ("CMYK", "RGBA", "grey"):
        image = image.convert({"grey": "L"}.get(mode, mode))
    file = io.BytesIO()
    image.save(file, "PNG" if mode == "RGBA" else "JPEG", quality=85)
    return file.getvalue()


def _put(put: Put, inside: str, name: str, without: Sequence[str], data: bytes) -> None:
    if name not in without:
        with put(f"{inside}{name}") as file:
            file.write(data)


class Put:
    """Callable that opens a file of the archive for writing, by name."""

    def __init__(self, archive: zipfile.ZipFile | None, folder: Path, packed: bool) -> None:
        self.archive, self.folder, self.packed = archive, folder, packed

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[IO[bytes]]:
        if self.archive is None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                yield file
            return
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED if self.packed or name.endswith(".csv") else zipfile.ZIP_STORED
        with self.archive.open(info, "w") as file:
            yield file


@contextlib.contextmanager
def _target(path: Path, form: str, rows: int) -> Iterator[Put]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "folder":
        shutil.rmtree(path, ignore_errors=True)
        yield Put(None, path, packed=False)
        return
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # as published
        yield Put(archive, path, packed=form == "zip" and rows < SMALL)
