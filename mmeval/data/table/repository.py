"""Download of a table from the Hub: ``hub:owner/name``, or a folder or file in it."""

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
TABLES = ("parquet", *TEXTS, *(f"{suffix}.gz" for suffix in TEXTS))
SUFFIXES = ("jpg", "jpeg", "png", "webp", "avif", "gif", "tif", "tiff", "bmp", "jp2")
IMAGES = (*SUFFIXES, *map(str.upper, SUFFIXES))
"""The Hub compares names with their case."""
CARD = "README.md"


class DownloadedTable(NamedTuple):
    """The tables and images of a Hub repository, on disk."""

    path: Path
    """The table: a file, or a folder of files."""
    root: Path
    """The repository's folder."""
    commit: str
    licence: str
    """The licence on the repository's card."""


def download_table(options: TableOptions) -> DownloadedTable:
    """Download the tables and images of a Hub data set.

    Raises:
        DataError: the data set, revision or table does not exist, or there is no access or no connection.
    """
    name, inside = _parts(options.source)
    tables = [f"*.{suffix}" for suffix in TABLES]
    if inside:
        below = glob.escape(inside)
        tables = [below] if table_suffix(Path(inside)) else [f"{below}/{pattern}" for pattern in tables]
    images = [] if options.images else [f"*.{suffix}" for suffix in IMAGES]
    files = snapshot(name, [*tables, *images, CARD], options.revision or None)
    path = files.folder / inside if inside else files.folder
    return DownloadedTable(path, files.folder, files.commit, _licence(files.folder / CARD))


def _parts(source: str) -> tuple[str, str]:
    """Return ``owner/name``, and the path in the repository."""
    parts = PurePosixPath(source.removeprefix(HUB)).parts
    if len(parts) < 2 or ".." in parts:
        raise DataError(f"{source}: write hub:OWNER/NAME, or hub:OWNER/NAME/FOLDER for a part of it.")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _licence(card: Path) -> str:
    """Return the licence on a card; a card that can't be read has an unknown one."""
    unknown: str = TableOptions.model_fields["licence"].default
    try:
        with card.open("rb") as file:
            header, _ = read_header(file.read(MAX_BYTES))
        licence = header["license"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return unknown
    return " and ".join(map(str, licence)) if isinstance(licence, list) else str(licence or unknown)
