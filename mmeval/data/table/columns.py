"""Which column is what, guessed by its name where nobody said."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from mmeval.data.table.options import Columns
from mmeval.errors import UserError

KNOWN = {
    "image": "image photo picture img image_path image_file file_name filename image_url photo_url main_image",
    "language": "language lang language_code language_tag locale",
    "id": "id sku item_id product_id productid asin ean gtin article_number uid",
    "split": "split fold subset",
    "group": "group group_id parent_id model_id",
}
"""Names by role, the likeliest first; case, blanks, dashes and underscores don't count."""
LABELS = "label category class category_name class_name product_type producttype target"
TITLES = "title name product_name productdisplayname item_name product_title text caption"
DESCRIPTIONS = "description product_description long_description"


def resolve(said: Columns, names: Sequence[str], where: str, *, fixed_language: bool = False) -> Columns:
    """Every role with its columns: what was said, else what the names suggest, else nothing.

    Raises:
        UserError: a column that isn't there, or neither picture nor text, or no label.
    """
    for role, columns in said.said().items():
        for column in columns:
            if column not in names:
                near = difflib.get_close_matches(column, names, n=1)
                guess = f' Did you mean "{near[0]}"?' if near else ""
                raise UserError(f'--columns {role}={column}: {where} has no column "{column}".{guess} {_has(names)}')
    taken = {column for columns in said.said().values() for column in columns}
    free = [name for name in names if name not in taken]
    found = {role: _first(free, known) for role, known in KNOWN.items()}
    if fixed_language:
        found["language"] = None
    texts = [name for name in (_first(free, TITLES), _first(free, DESCRIPTIONS)) if name]
    label = _first(free, LABELS)
    guessed: dict[str, object] = {role: name or "" for role, name in found.items()}
    guessed |= {"text": tuple(texts), "label": (label,) if label else (), "slice": (), "metadata": ()}
    resolved = Columns.model_validate(guessed | {r: v for r, v in said.model_dump().items() if v is not None})
    if not resolved.image and not resolved.text:
        raise UserError(
            f"{where}: which columns hold picture and text? Say it: --columns image=NAME,text=NAME. {_has(names)}"
        )
    if not resolved.label:
        raise UserError(f"{where}: which column holds the class? Say it: --columns label=NAME. {_has(names)}")
    return resolved


def guessed(said: Columns, resolved: Columns) -> Columns:
    """The part of ``resolved`` that nobody said."""
    return Columns(**{role: columns for role, columns in resolved.model_dump().items() if getattr(said, role) is None})


def _first(names: Sequence[str], known: str) -> str | None:
    plain = {_plain(name): name for name in reversed(names)}
    return next((plain[_plain(one)] for one in known.split() if _plain(one) in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _has(names: Sequence[str]) -> str:
    return f"Its columns are {', '.join(names)}."
