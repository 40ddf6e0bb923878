"""Where prepared data and named tables are kept; light, so that listings may ask."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mmeval.home import home


def stores(name: str) -> Path:
    """Where the Stores of a data set are, of all its variants."""
    return home() / "stores" / name


def table_file(name: str) -> Path:
    """The ``dataset.toml`` of a table that has a name of its own."""
    return home() / "tables" / f"{name}.toml"


def table_names() -> list[str]:
    """Names of the tables that are known by a ``dataset.toml``."""
    return sorted(path.stem for path in (home() / "tables").glob("*.toml"))


def table_summary(name: str) -> str:
    """One line about a named table."""
    try:
        found = tomllib.loads(table_file(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"its file {table_file(name)} can't be read"
    return str(found.get("summary") or f"the table {found.get('source')}")
