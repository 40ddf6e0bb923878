"""The cache folder of mmeval: prepared data, embeddings, and named tables."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

VARIABLE = "MMEVAL_HOME"


def home() -> Path:
    """Return the cache folder: ``$MMEVAL_HOME``, or ``mmeval`` in the user's cache folder."""
    if override := os.environ.get(VARIABLE):
        return Path(override).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("mmeval", appauthor=False)


def stores(name: str) -> Path:
    """Return the folder with the Stores of a data set, for all its variants."""
    return home() / "stores" / name


def table_file(name: str) -> Path:
    """Return the path of the ``dataset.toml`` of a named table."""
    return home() / "tables" / f"{name}.toml"


def table_names() -> list[str]:
    """Return the names of all tables that have a ``dataset.toml`` in the cache folder."""
    return sorted(path.stem for path in (home() / "tables").glob("*.toml"))


def table_summary(name: str) -> str:
    """Return a one-line summary of a named table."""
    try:
        table = tomllib.loads(table_file(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"its file {table_file(name)} can't be read"
    return str(table.get("summary") or f"the table {table.get('source')}")
