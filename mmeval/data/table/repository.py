"""A table that is a data set on the Hub: ``hub:owner/name``, or a folder or file in it."""

from __future__ import annotations

import glob
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mmeval.data.card import MAX_BYTES, read_header
from mmeval.data.reading.files import table_suffix
from mmeval.data.table.options import HUB, TableOptions
from mmeval.errors import DataError
from mmeval.fetch.snapshot import snapshot

TEXTS = ("csv", "tsv", "jsonl", "ndjson")
TABLES = ("parquet", *TEXTS, *(f"{ending}.gz" for ending in TEXTS))
IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "JPG", "JPEG", "PNG")
CARD = "README.md"


class Fetched(NamedTuple):
    """A repository's tables and images on disk."""

    path: Path
    """The table: a file, or a folder of them."""
    root: Path
    """The repository's folder."""
    commit: str
    licence: str
    """As its card says it."""


def fetch(options: TableOptions) -> Fetched:
    """Have the tables and images of a Hub data set.

    Raises:
        DataError: there is no such data set, revision or table, no access or no connection.
    """
    name, inside = _parts(options.source)
    tables = [f"*.{ending}" for ending in TABLES]
    if inside:
        below = glob.escape(inside)
        tables = [below] if table_suffix(Path(inside)) else [f"{below}/{pattern}" for pattern in tables]
    images = [] if options.images else [f"*.{ending}" for ending in IMAGES]
    found = snapshot(name, [*tables, *images, CARD], options.revision or None)
    path = found.folder / inside if inside else found.folder
    return Fetched(path, found.folder, found.commit, _licence(found.folder / CARD))


def _parts(source: str) -> tuple[str, str]:
    """``owner/name``, and what is named in it."""
    parts = PurePosixPath(source.removeprefix(HUB)).parts
    if len(parts) < 2 or ".." in parts:
        raise DataError(f"{source}: write hub:OWNER/NAME, or hub:OWNER/NAME/FOLDER for a part of it.")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _licence(card: Path) -> str:
    unknown: str = TableOptions.model_fields["licence"].default
    try:
        with card.open("rb") as file:
            header, _ = read_header(file.read(MAX_BYTES))
        licence = header["license"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return unknown
    return " and ".join(map(str, licence)) if isinstance(licence, list) else str(licence or unknown)
