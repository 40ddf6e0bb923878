"""The Store: one prepared data set on disk, memory-mapped, identified by its content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmeval.errors import DataError
from mmeval.plugin.model import Task

SCHEMA_VERSION = 1
INFO, EXAMPLES, IMAGES = "store.json", "examples", "images"
LABEL, SLICE = "label:", "slice:"
"""Prefixes of the columns that hold labels (int32, -1 for none) and slices (string)."""


class Store:
    """A prepared data set.

    Two tables of Arrow shards that ``datasets`` opens as they are: ``examples-*.arrow`` (id, text, language, split,
    cluster, image, ``label:*``, ``slice:*``) and ``images-*.arrow`` (digest, bytes). ``image`` is a row of the
    second table, -1 where there is none: a picture that several examples share is stored once.
    """

    def __init__(self, folder: Path) -> None:
        """Open the Store in ``folder``.

        Raises:
            DataError: there is no Store, or one of another schema version.
        """
        self.folder = folder
        try:
            self.info: dict[str, Any] = json.loads((folder / INFO).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            raise DataError(f"{folder} holds no prepared data set; remove the folder and run again.") from None
        if self.info["schema"] != SCHEMA_VERSION:
            raise DataError(f"{folder} was prepared by another version of mmeval; remove the folder and run again.")

    @property
    def name(self) -> str:
        """Name of the data set."""
        return str(self.info["name"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all rows and pictures, 64 hex digits."""
        return str(self.info["fingerprint"])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, each with its classes in index order."""
        return tuple(Task(task["name"], tuple(task["classes"])) for task in self.info["tasks"])

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes that occur, sorted."""
        return tuple(self.info["languages"])

    @property
    def split_sizes(self) -> dict[str, int]:
        """Examples per split."""
        return dict(self.info["splits"])

    @property
    def image_count(self) -> int:
        """Number of different pictures."""
        return int(self.info["images"])

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the slice columns."""
        return tuple(c.removeprefix(SLICE) for c in self.examples.column_names if c.startswith(SLICE))

    @cached_property
    def examples(self) -> pa.Table:
        """The table of examples, memory-mapped."""
        return self._table(EXAMPLES)

    @cached_property
    def images(self) -> pa.Table:
        """The table of pictures, memory-mapped: ``digest`` (SHA-256 of the bytes), ``bytes``."""
        return self._table(IMAGES)

    def image(self, row: int) -> bytes:
        """Encoded bytes of picture ``row``."""
        return bytes(self.images["bytes"][row].as_buffer())

    def shards(self, table: str) -> Iterator[Path]:
        """The Arrow files of ``examples`` or ``images``, for ``datasets.Dataset.from_file``."""
        yield from sorted(self.folder.glob(f"{table}-*.arrow"))

    def _table(self, name: str) -> pa.Table:
        parts = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in self.shards(name)]
        if not parts:
            raise DataError(f"{self.folder} lacks its {name} shards; remove the folder and run again.")
        return pa.concat_tables(parts)
