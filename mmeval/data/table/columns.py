"""Roles of a table's columns: as given by the user, otherwise inferred from the column names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from mmeval.data.table.options import Columns
from mmeval.data.table.tables import Table
from mmeval.errors import DataError, UserError

COLUMN_NAMES = {
    "image": "image photo image img image_path image_file file_name filename image_url photo_url main_image",
    "language": "language lang language_code language_tag locale",
    "id": "id sku item_id product_id productid asin ean gtin article_number uid",
    "split": "split fold subset",
    "group": "group group_id parent_id model_id",
}
"""Common column names by role, the most likely first; case, blanks, dashes and underscores are ignored."""
LABELS = "label category class category_name class_name product_type producttype target"
TITLES = "title name product_name productdisplayname item_name product_title text caption"
DESCRIPTIONS = "description product_description long_description"


def resolve(
    given: Columns, names: Sequence[str], where: str, *, fixed_language: bool = False, labelled: bool = True
) -> Columns:
    """Return the columns of every role: the given ones, otherwise those that the names suggest, otherwise none.

    Args:
        given: the user's choice.
        names: the table's columns.
        where: the name of the table in messages.
        fixed_language: whether the user gave a language for all rows, so that no language column is inferred.
        labelled: whether the table must have labels; without, no label column is inferred.

    Raises:
        UserError: a column does not exist, or there is no column for image and text, or none for labels.
    """
    for role, columns in given.named().items():
        for column in columns:
            if column not in names:
                near = difflib.get_close_matches(column, names, n=1)
                guess = f' Did you mean "{near[0]}"?' if near else ""
                raise UserError(f'--columns {role}={column}: {where} has no column "{column}".{guess} {_has(names)}')
    taken = {column for columns in given.named().values() for column in columns}
    free = [name for name in names if name not in taken]
    inferred_names = {role: _first(free, candidates) for role, candidates in COLUMN_NAMES.items()}
    if fixed_language:
        inferred_names["language"] = None
    texts = [name for name in (_first(free, TITLES), _first(free, DESCRIPTIONS)) if name]
    label = _first(free, LABELS) if labelled else None
    inferred: dict[str, object] = {role: name or "" for role, name in inferred_names.items()}
    inferred |= {"text": tuple(texts), "label": (label,) if label else (), "slice": (), "metadata": ()}
    # Without a column of splits the role stays None, so that the files' names may tell the splits; only the user's
    # "split=" makes it empty.
    inferred["split"] = inferred_names["split"]
    resolved = Columns.model_validate(inferred | {r: v for r, v in given.model_dump().items() if v is not None})
    unknown = {} if resolved.image or resolved.text else {"texts or images": "text=NAME,image=NAME"}
    unknown |= {} if resolved.label or not labelled else {"the class": "label=NAME"}
    if unknown:
        raise UserError(
            f"{where}: which columns hold {' and '.join(unknown)}? Name them: --columns {','.join(unknown.values())}. "
            f"{_has(names)}"
        )
    return resolved


def require_everywhere(columns: Columns, tables: Sequence[Table]) -> None:
    """Check that all files of a folder have the columns; JSON Lines files may leave any out.

    Raises:
        DataError: a file lacks a column.
    """
    for table in tables[1:]:
        if table.loose:
            continue
        existing = table.columns()
        for role, names in columns.named().items():
            if missing := [name for name in names if name not in existing]:
                raise DataError(
                    f'{table.where} has no column "{missing[0]}", the {role} column of {tables[0].where}; '
                    "name one file, or a folder whose files have the same columns."
                )


def inferred_columns(given: Columns, resolved: Columns) -> Columns:
    """Return the roles of ``resolved`` that ``given`` leaves open (None); every other role has its default."""
    return Columns(**{role: columns for role, columns in resolved.model_dump().items() if getattr(given, role) is None})


def _first(names: Sequence[str], candidates: str) -> str | None:
    """Return the name that matches the first of the ``candidates``; None if none matches."""
    by_normalized = {_normalized(name): name for name in reversed(names)}
    matching = (_normalized(name) for name in candidates.split() if _normalized(name) in by_normalized)
    return next((by_normalized[name] for name in matching), None)


def _normalized(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _has(names: Sequence[str]) -> str:
    return f"Its columns are {', '.join(name or '(without a name)' for name in names)}."
