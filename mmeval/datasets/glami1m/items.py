"""Rows of the tables of GLAMI-1M."""

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
"""Language by market. Four of the country codes differ from the language code."""
LABELLED_BY = {
    "admin": "human",
    "quality-check": "human",
    "custom-tag": "human",
    "combined-tag": "combined",  # the authors count it neither as human nor as by rule
    "unknown": "rule",
}
"""Slice by label source; ``unknown`` is the published code's name for an empty label source."""
EMPTY = frozenset({"", "NaN", "nan", "NA", "N/A", "NULL", "null", "None"})
"""Empty values of a label source; in other columns these are texts."""
LONGEST_NUMBER = 18
"""Digits of an id, so that it fits into 64 bits."""


class Item(NamedTuple):
    """One row."""

    where: str
    """File and row, for messages."""
    id: int
    image: int
    """``image_id``."""
    geo: str
    """Market."""
    text: str
    category: int
    """Id of the category."""
    name: str
    """Name of the category."""
    label_source: str
    """``unknown`` if the cell is empty."""
    raw_label_source: str
    """The unchanged cell."""


def read_items(stream: IO[bytes], where: str) -> Iterator[Item | Rejected]:
    """Yield the rows of a table, in order; ``where`` is its name in messages.

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
    """Return why a row can't be used; empty if it can."""
    for column in ("item_id", "image_id", "category"):
        value = cells[column]
        if not (value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER):
            return f'{column} is "{value}", not a whole number'
    if cells["geo"] not in LANGUAGES:
        return f'geo is "{cells["geo"]}", not one of the 13 markets'
    if not cells["category_name"].strip():
        return "category_name is empty"
    source = cells["label_source"]
    if source not in LABELLED_BY and source not in EMPTY:
        return f'label_source is "{source}", not one of the published values'
    return ""


def _text(cells: dict[str, str]) -> str:
    """Return name and description, joined by a space; one of them if the other is empty."""
    return " ".join(cells[column] for column in ("name", "description") if cells[column].strip())
