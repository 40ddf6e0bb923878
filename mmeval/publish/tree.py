"""The files of a publication by their path in the repository: files on disk, or bytes that were made for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from mmeval.console import cell

Tree = dict[str, Path | bytes]
"""Content by path in the repository (with ``/``)."""


def size_of(value: Path | bytes) -> int:
    """Return the number of bytes of a file."""
    return len(value) if isinstance(value, bytes) else value.stat().st_size


def listing(tree: Mapping[str, Path | bytes], title: str) -> Table:
    """Return a table of the files with their sizes, for ``--dry-run``."""
    table = Table(title=cell(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("file")
    table.add_column("size", justify="right")
    for name, value in sorted(tree.items()):
        table.add_row(cell(name), decimal(size_of(value)))
    total = sum(map(size_of, tree.values()))
    table.add_row(cell(f"{len(tree)} files", "bold"), cell(decimal(total), "bold"))
    return table
