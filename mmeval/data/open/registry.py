"""The registry of prepared data sets: source files and Store of each variant on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from mmeval.data.store_files import SCHEMA_VERSION, schema_of
from mmeval.files import lock, write_text
from mmeval.home import stores

if TYPE_CHECKING:
    from mmeval.data.store import Store

FILE = "known.json"


class RegistryEntry(BaseModel):
    """The source and the Store of a variant of a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """The file or folder that the variant was read from."""
    store: str
    """Name of the Store's folder."""
    released: bool
    """Whether the data agrees with its card; False if accepted with ``--allow-mismatch``."""


def read_registry(name: str) -> dict[str, RegistryEntry]:
    """Return the entries of a data set, by variant; empty if there are none or the file is damaged."""
    try:
        entries = json.loads((stores(name) / FILE).read_text(encoding="utf-8"))
        return {variant: RegistryEntry(**entry) for variant, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError, ValidationError):
        return {}


def register(name: str, variant: str, path: Path, store: Store) -> None:
    """Record the source and Store of a variant, so that later calls need only its name."""
    entry = RegistryEntry(path=str(path.absolute()), store=store.folder.name, released=store.released)
    # The lock is for two variants that are prepared at once.
    with lock(stores(name) / f"{FILE}.lock"):
        entries = read_registry(name) | {variant: entry}
        dumped = {variant: entry.model_dump() for variant, entry in entries.items()}
        write_text(stores(name) / FILE, json.dumps(dumped, indent=1))


def registered_store(name: str, entry: RegistryEntry) -> Path | None:
    """Return the folder of an entry's Store; None if it is missing or of another version of mmeval."""
    folder = stores(name) / entry.store
    try:
        # The version of a damaged Store is unknown; opening it reports the damage.
        return folder if schema_of(folder) in (SCHEMA_VERSION, None) else None
    except FileNotFoundError:
        return None
