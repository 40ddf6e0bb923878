"""The cache folder: prepared data, embeddings, and tables that have a name of their own."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

VARIABLE = "MMEVAL_HOME"


def home() -> Path:
    """The cache folder: ``$MMEVAL_HOME``, or ``mmeval`` in the user's cache folder."""
    if override := os.environ.get(VARIABLE):
        return Path(override).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("mmeval", appauthor=False)


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
