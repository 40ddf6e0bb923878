"""Which column is what, guessed by its name where nobody said."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from mmeval.data.table.options import Columns
from mmeval.data.table.tables import Table
from mmeval.errors import DataError, UserError

KNOWN = {
    "image": "image photo image img image_path image_file file_name filename image_url photo_url main_image",
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
        UserError: a column that isn't there, or neither image nor text, or no label.
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
    # That there is no such column is said of splits only by whom it was asked of: the files' names may tell them.
    guessed["split"] = found["split"]
    resolved = Columns.model_validate(guessed | {r: v for r, v in said.model_dump().items() if v is not None})
    unknown = {} if resolved.image or resolved.text else {"texts or images": "text=NAME,image=NAME"}
    unknown |= {} if resolved.label else {"the class": "label=NAME"}
    if unknown:
        raise UserError(
            f"{where}: which columns hold {' and '.join(unknown)}? Say it: --columns {','.join(unknown.values())}. "
            f"{_has(names)}"
        )
    return resolved


def require_everywhere(columns: Columns, tables: Sequence[Table]) -> None:
    """Refuse a folder whose files don't all have the columns; rows of JSON Lines may leave any out.

    Raises:
        DataError: naming the file.
    """
    for table in tables[1:]:
        if table.loose:
            continue
        there = table.columns()
        for role, names in columns.said().items():
            if missing := [name for name in names if name not in there]:
                raise DataError(
                    f'{table.where} has no column "{missing[0]}", which is {role} as {tables[0].where} has it; '
                    "name one file, or a folder whose files have the same columns."
                )


def guessed(said: Columns, resolved: Columns) -> Columns:
    """The part of ``resolved`` that nobody said."""
    return Columns(**{role: columns for role, columns in resolved.model_dump().items() if getattr(said, role) is None})


def _first(names: Sequence[str], known: str) -> str | None:
    plain = {_plain(name): name for name in reversed(names)}
    return next((plain[_plain(one)] for one in known.split() if _plain(one) in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _has(names: Sequence[str]) -> str:
    return f"Its columns are {', '.join(name or '(without a name)' for name in names)}."
