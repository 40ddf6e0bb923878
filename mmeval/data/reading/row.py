"""One record of a table, and the check of a table's header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmeval.errors import DataError


@dataclass(frozen=True)
class Row:
    """One record of a table."""

    number: int
    """Its number in the file, from 1; a header line does not count."""
    cells: dict[str, Any]
    """Value by column: a text in delimited files, any JSON value in JSON Lines, any Python value in Parquet."""


def require_columns(names: Sequence[str], required: Sequence[str], where: str) -> None:
    """Check that a table has all ``required`` columns.

    Args:
        names: the table's columns.
        required: columns that must exist.
        where: the name of the file in messages.

    Raises:
        DataError: a column is missing; the message names the missing and the existing columns.
    """
    if missing := [name for name in required if name not in names]:
        plural = "s" if len(missing) > 1 else ""
        raise DataError(f"{where} lacks the column{plural} {' and '.join(missing)}; it has {', '.join(names)}.")
