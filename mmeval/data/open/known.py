"""What this machine has prepared, or been told of, by the name that a user types."""

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


class Known(BaseModel):
    """Where a variant of a data set was read from, and its Store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """The file or folder that it was read from."""
    store: str
    """Name of the Store's folder."""
    released: bool
    """Whether it was held to its card."""


def known(name: str) -> dict[str, Known]:
    """What is known of a data set that is read from files, by variant."""
    try:
        found = json.loads((stores(name) / FILE).read_text(encoding="utf-8"))
        return {variant: Known(**one) for variant, one in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, ValidationError):
        return {}


def remember(name: str, variant: str, path: Path, store: Store) -> None:
    """Note what a variant was read from, so that its name is enough from now on."""
    one = Known(path=str(path.absolute()), store=store.folder.name, released=store.released)
    # Two variants may be prepared at once.
    with lock(stores(name) / f"{FILE}.lock"):
        every = {key: value.model_dump() for key, value in (known(name) | {variant: one}).items()}
        write_text(stores(name) / FILE, json.dumps(every, indent=1))


def prepared(name: str, one: Known) -> Path | None:
    """The folder of a known Store; None if it is gone, or of another version of mmeval."""
    folder = stores(name) / one.store
    try:
        # Of a damaged one nobody knows the version: whoever opens it is told.
        return folder if schema_of(folder) in (SCHEMA_VERSION, None) else None
    except FileNotFoundError:
        return None
