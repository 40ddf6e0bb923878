"""What every reader of tables yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmeval.errors import DataError


@dataclass(frozen=True)
class Row:
    """One record of a table."""

    number: int
    """The first record is 1."""
    cells: dict[str, Any]
    """Value by column."""


def require_columns(names: Sequence[str], required: Sequence[str], where: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        DataError: naming what is missing, and what there is.
    """
    if missing := [name for name in required if name not in names]:
        several = "s" if len(missing) > 1 else ""
        raise DataError(f"{where} lacks the column{several} {' and '.join(missing)}; it has {', '.join(names)}.")
