"""What a row of GLAMI-1M says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

from mmeval import Rejected
from mmeval.data.reading import read_delimited

COLUMNS = ("item_id", "image_id", "geo", "name", "description", "category", "category_name", "label_source")
LANGUAGES = {geo: geo for geo in ("sk", "ro", "hu", "hr", "es", "lt", "lv", "tr", "bg")} | {
    "cz": "cs",
    "gr": "el",
    "si": "sl",
    "ee": "et",
}
"""Language by market; four of the country codes are no language's, or another one's."""
LABELLED_BY = {
    "admin": "human",
    "quality-check": "human",
    "custom-tag": "human",
    "combined-tag": "combined",  # the authors count it neither to the human labels nor to those by rule
    "unknown": "rule",
}
"""Slice by label source; ``unknown`` is what the published code calls an empty one."""
EMPTY = frozenset({"", "NaN", "nan", "NA", "N/A", "NULL", "null", "None"})
"""Of a label source alone: elsewhere these are texts."""
LONGEST_NUMBER = 18


class Item(NamedTuple):
    """One row."""

    where: str
    id: int
    image: int
    geo: str
    text: str
    category: int
    name: str
    """Of the category."""
    label_source: str
    """``unknown`` where the cell is empty."""
    raw_label_source: str
    """The cell as it stands."""


def read_items(stream: IO[bytes], where: str) -> Iterator[Item | Rejected]:
    """Yield the rows of a table in their order.

    Raises:
        DataError: the table can't be read, or lacks a column.
    """
    for row in read_delimited(stream, where, required=COLUMNS):
        if isinstance(row, Rejected):
            yield row
            continue
        place, cells = f"{where}, row {row.number}", row.cells
        numbers = [cells["item_id"], cells["image_id"], cells["category"]]
        if complaint := _complaint(cells):
            yield Rejected(place, complaint, cells["item_id"])
            continue
        item, image, category = map(int, numbers)
        raw = cells["label_source"]
        source = "unknown" if raw in EMPTY else raw
        name = cells["category_name"].strip()
        yield Item(place, item, image, cells["geo"], _text(cells), category, name, source, raw)


def _complaint(cells: dict[str, str]) -> str:
    """Why a row can't be used; empty if it can."""
    for column in ("item_id", "image_id", "category"):
        value = cells[column]
        if not (value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER):
            return f'{column} is "{value}", no whole number'
    if cells["geo"] not in LANGUAGES:
        return f'geo is "{cells["geo"]}", which is none of the 13 markets'
    if not cells["category_name"].strip():
        return "category_name is empty"
    source = cells["label_source"]
    if source not in LABELLED_BY and source not in EMPTY:
        return f'label_source is "{source}", which is none of the published ones'
    return ""


def _text(cells: dict[str, str]) -> str:
    """Name and description with a blank between them, unless one is missing."""
    return " ".join(cells[column] for column in ("name", "description") if cells[column].strip())
