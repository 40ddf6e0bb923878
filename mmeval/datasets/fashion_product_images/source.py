"""Fashion Product Images (small): 44,072 products, English, seven tasks, from Parquet shards of the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmeval import DEFAULT_SHARES, DataError, Example, Rejected, Task, assign_split, digest
from mmeval.data.reading import parquet_columns, parquet_rows, read_parquet, require_columns
from mmeval.datasets.fashion_product_images.names import contains_label, normalized

NAME = "fashion-product-images"
RULES = "fashion-product-images-1"
"""Version of the rules in this package: part of the identity, and the salt of the split."""
TASKS = ("gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "usage")
COLUMNS = ("id", *TASKS, "year", "productDisplayName", "image")
NO_LABEL = frozenset({"", "NA"})
"""Values that stand for a missing label, beside null. ``NA`` comes from the CSV file on Kaggle."""
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
    """File and row, for messages."""
    name: str
    year: str
    labels: dict[str, str]


class FashionProductsSource:
    """The source of ``fashion-product-images``. Images are read in a separate pass, in batches."""

    def __init__(self, path: Path) -> None:
        """Check the files and their columns.

        Args:
            path: a Parquet file, or a folder of shards.

        Raises:
            DataError: there is no file, a shard is missing, or a file lacks a column.
        """
        self.shards = shards(path)
        for shard in self.shards:
            require_columns(parquet_columns(shard, shard.name), COLUMNS, shard.name)

    @property
    def identity(self) -> dict[str, str]:
        """Names, sizes and modification times of the files, and the version of the rules."""
        stats = [(shard.name, shard.stat()) for shard in self.shards]
        files = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
        return {"rules": RULES, "files": digest(*files)}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Seven tasks; the classes are the labels that occur, sorted."""
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
        """Yield the id of each product and its image as stored in the table: JPEG, 60 x 80 pixels."""
        seen: set[str] = set()
        for shard, row in self._rows("id", "image"):
            key = _text(row["id"])
            if not key or key in seen:  # examples() rejects the row
                continue
            seen.add(key)
            cell = row["image"]
            if not isinstance(cell, dict | None):
                raise DataError(f"{shard}: the column image must hold bytes and path, as datasets writes images.")
            data = (cell or {}).get("bytes")
            yield key, data or b""  # an image without bytes is rejected like any undecodable one

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield one example per product, in the order of the table."""
        for product in self._products():
            if isinstance(product, Rejected):
                yield product
                continue
            # Each product without a name is a group of its own.
            group = normalized(product.name) or f"id {product.id}"
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
                    "article_type_in_name": _yes(contains_label(product.name, labels.get("articleType", ""))),
                    "colour_in_name": _yes(contains_label(product.name, labels.get("baseColour", ""))),
                },
                metadata={"year": product.year},
                where=product.where,
            )

    def _products(self) -> Iterator[Product | Rejected]:
        """Yield the rows of all shards; a row without an id, or with the id of an earlier one, is rejected."""
        seen: dict[str, str] = {}
        numbers = dict.fromkeys((shard.name for shard in self.shards), 0)
        for shard, row in self._rows(*(column for column in COLUMNS if column != "image")):
            numbers[shard] += 1
            where, key = f"{shard}, row {numbers[shard]}", _text(row["id"])
            if not key:
                yield Rejected(where, "has no id")
            elif key in seen:
                yield Rejected(where, f"has the id of {seen[key]}", key)
            else:
                seen[key] = where
                values = {task: _text(row[task]) for task in TASKS}
                labels = {task: label for task, label in values.items() if label not in NO_LABEL}
                yield Product(key, where, _text(row["productDisplayName"]), _text(row["year"]), labels)

    def _rows(self, *columns: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in self.shards:
            for row in read_parquet(shard, shard.name, required=columns, columns=columns):
                yield shard.name, row.cells


def shards(path: Path) -> list[Path]:
    """Return the Parquet files of ``path``, sorted: the file itself, or those in the folder or in its folder ``data``.

    Raises:
        DataError: there is no Parquet file, or a numbered shard is missing.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"There is no file or folder {path}.")
    files = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if not files:
        raise DataError(f"{path} has no Parquet file, and no folder data with one. {GET}")
    matches = [match for file in files if (match := _SHARD.fullmatch(file.name))]
    present = {(match["stem"], match["count"], match["number"]) for match in matches}
    for stem, count in sorted({(match["stem"], match["count"]) for match in matches}):
        for number in (f"{number:05}" for number in range(int(count))):
            if (stem, count, number) not in present:
                raise DataError(f"{files[0].parent} lacks {stem}-{number}-of-{count}.parquet; fetch it again.")
    return files


def _text(value: object) -> str:
    """Return a cell as text: stripped, whole floats as integers, missing values as an empty text."""
    if value is None or value != value:  # NaN, which pandas writes for missing values
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _yes(value: bool) -> str:
    return "yes" if value else "no"
