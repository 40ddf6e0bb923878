"""Fashion Product Images (small): 44,072 products, English, seven tasks, from Parquet shards of the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmeval.api.source import Example, Rejected
from mmeval.api.task import Task
from mmeval.data.reading.parquet import parquet_columns, parquet_rows, read_parquet
from mmeval.data.reading.row import require_columns
from mmeval.data.split import DEFAULT_SHARES, assign_split
from mmeval.datasets.fashion_product_images.names import normalised, says
from mmeval.errors import DataError
from mmeval.files import digest

NAME = "fashion-product-images"
RULES = "fashion-product-images-1"
"""Names what this module does; part of the identity, and the salt of the split."""
TASKS = ("gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "usage")
COLUMNS = ("id", *TASKS, "year", "productDisplayName", "image")
NO_LABEL = frozenset({"", "NA"})
"""What stands for a label that isn't known, beside null. ``NA`` is how the CSV file on Kaggle writes it."""
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.parquet")
GET = (
    "Its two Parquet files (271 MB) are in the data set ashraq/fashion-product-images-small on the Hugging Face Hub. "
    "Get them with `hf download ashraq/fashion-product-images-small --repo-type dataset --local-dir FOLDER`, then type "
    "`mmeval data prepare fashion-product-images --source FOLDER`."
)


@dataclass(frozen=True)
class Product:
    """One row of the table, without its image."""

    id: str
    where: str
    name: str
    year: str
    labels: dict[str, str]


class FashionProductsSource:
    """The source of ``fashion-product-images``. Images are read in one pass of their own, a batch at a time."""

    def __init__(self, path: Path) -> None:
        """``path``: a Parquet file, or a folder of shards.

        Raises:
            DataError: nothing is there, a shard is missing, or a file lacks a column.
        """
        self.shards = shards(path)
        for shard in self.shards:
            require_columns(parquet_columns(shard, shard.name), COLUMNS, shard.name)

    @property
    def identity(self) -> dict[str, str]:
        """Names, sizes and times of the files, and the version of the rules."""
        stats = [(shard.name, shard.stat()) for shard in self.shards]
        files = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
        return {"rules": RULES, "files": digest(*files)}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Seven tasks; the classes are what the data has, sorted."""
        classes: dict[str, set[str]] = {task: set() for task in TASKS}
        for product in self._products():
            if isinstance(product, Product):
                for task, label in product.labels.items():
                    classes[task].add(label)
        return tuple(Task(task, tuple(sorted(names))) for task, names in classes.items())

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(map(parquet_rows, self.shards))

    def images(self) -> Iterator[tuple[str, bytes | Callable[[], bytes]]]:
        """Yield the image of each product under its id, as it stands in the table: JPEG, 60 x 80 pixels."""
        seen: set[str] = set()
        for shard, row in self._rows("id", "image"):
            key = _text(row["id"])
            if not key or key in seen:  # examples() says so
                continue
            seen.add(key)
            cell = row["image"]
            if not isinstance(cell, dict | None):
                raise DataError(f"{shard}: the column image must hold bytes and path, as datasets writes images.")
            data = (cell or {}).get("bytes")
            yield key, data or b""  # said as of any image without bytes

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield one example per product, in the order of the table."""
        for product in self._products():
            if isinstance(product, Rejected):
                yield product
                continue
            # Products without a name share nothing.
            group = normalised(product.name) or f"id {product.id}"
            labels = product.labels
            yield Example(
                id=product.id,
                text=product.name,
                language="en",
                split=assign_split(group, DEFAULT_SHARES, RULES),
                labels=labels,
                image=product.id,
                cluster=group,
                slices={
                    "article_type_in_name": _yes(says(product.name, labels.get("articleType", ""))),
                    "colour_in_name": _yes(says(product.name, labels.get("baseColour", ""))),
                },
                metadata={"year": product.year},
                where=product.where,
            )

    def _products(self) -> Iterator[Product | Rejected]:
        seen: dict[str, str] = {}
        numbers = dict.fromkeys((shard.name for shard in self.shards), 0)
        for shard, row in self._rows(*(column for column in COLUMNS if column != "image")):
            numbers[shard] += 1
            where, key = f"{shard}, row {numbers[shard]}", _text(row["id"])
            if not key:
                yield Rejected(where, "lacks its id")
            elif key in seen:
                yield Rejected(where, f"has the id of {seen[key]}", key)
            else:
                seen[key] = where
                found = {task: _text(row[task]) for task in TASKS}
                labels = {task: label for task, label in found.items() if label not in NO_LABEL}
                yield Product(key, where, _text(row["productDisplayName"]), _text(row["year"]), labels)

    def _rows(self, *columns: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in self.shards:
            for row in read_parquet(shard, shard.name, required=columns, columns=columns):
                yield shard.name, row.cells


def shards(path: Path) -> list[Path]:
    """The Parquet files that ``path`` means, in their order.

    Raises:
        DataError: there are none, or one of several is missing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"There is no file or folder {path}.")
    found = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if not found:
        raise DataError(f"{path} holds no Parquet file, and no folder data that does. {GET}")
    matches = [match for file in found if (match := _SHARD.fullmatch(file.name))]
    have = {(match["stem"], match["count"], match["number"]) for match in matches}
    for stem, count in sorted({(match["stem"], match["count"]) for match in matches}):
        for number in (f"{number:05}" for number in range(int(count))):
            if (stem, count, number) not in have:
                raise DataError(f"{found[0].parent} lacks {stem}-{number}-of-{count}.parquet; fetch it again.")
    return found


def _text(value: object) -> str:
    if value is None or value != value:  # NaN, with which pandas fills gaps
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _yes(value: bool) -> str:
    return "yes" if value else "no"
