"""The Store: one prepared data set on disk, memory-mapped, identified by its content."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmeval.api.task import Task
from mmeval.data.store_files import (
    EXAMPLES,
    IMAGES,
    IMAGES_INFO,
    INFO,
    REJECTED,
    SCHEMA_VERSION,
    ImageFacts,
    StoreFacts,
    how_to_rebuild,
    read_facts,
    require_intact,
    schema_of,
)
from mmeval.errors import DataError

LABEL, SLICE, METADATA, ATTRIBUTE = "label:", "slice:", "metadata:", "attribute:"
"""Prefixes of columns: labels (int32, -1 for none; of a multi-label task a list of int32, null for none); slices,
metadata and attributes (strings)."""


class Store:
    """A prepared data set.

    It has two tables of Arrow shards, which ``datasets`` can open: ``examples-*.arrow`` (id, text, language, split,
    cluster, image, ``label:*``, ``slice:*``, ``metadata:*``, ``attribute:*``) and, in a folder that the variants of a
    data set share, ``images-*.arrow`` (key, digest, bytes). The column ``image`` is a row of the second table, -1 for
    none: an image that several examples share is stored once. ``rejected.parquet`` lists the rejected rows with the
    reasons.
    """

    def __init__(self, folder: Path, class_names: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None) -> None:
        """Open the Store in ``folder``.

        Args:
            folder: the Store's folder.
            class_names: display names of the classes, by task, language and class, from the data card. They are not
                stored, so that a better translation does not need a new Store.

        Raises:
            DataError: the folder holds no Store, one of another schema version, or a damaged one.
        """
        self.folder, self._class_names = folder, class_names or {}
        try:
            if schema_of(folder) not in (SCHEMA_VERSION, None):
                raise DataError(f"{folder} was prepared by another version of mmeval; remove the folder and run again.")
            self.info: dict[str, Any] = read_facts(folder / INFO, StoreFacts, how_to_rebuild(folder))
        except FileNotFoundError:
            raise DataError(f"{folder} holds no prepared data set; remove the folder and run again.") from None
        self.images_folder = (folder / self.info["pictures"]).resolve()
        if not self.images_folder.is_dir():
            raise DataError(
                f"{folder} lacks its images ({self.images_folder}); remove both and prepare the data again."
            )

    @classmethod
    def in_memory(cls, name: str, tasks: Sequence[Task], examples: pa.Table, images: pa.Table) -> Store:
        """Return a Store of tables in memory, such as a block of new rows that a model classifies.

        Args:
            name: the name of the data set.
            tasks: the tasks.
            examples: a table with the columns of ``examples``; labels may be missing.
            images: a table with the columns of ``images``.
        """
        self = cls.__new__(cls)
        self.folder = self.images_folder = Path()
        self._class_names = {}
        languages = sorted(set(examples["language"].to_pylist()))
        self.info = {"name": name, "tasks": [task.as_json() for task in tasks], "languages": languages}
        # These take the place of the cached properties.
        self.__dict__.update(examples=examples, images=images)
        return self

    @property
    def name(self) -> str:
        """Name of the data set, with its variant: ``food101:title-masked``."""
        return str(self.info["name"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all rows and images, 64 hex digits."""
        return str(self.info["fingerprint"])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, each with its classes in index order."""
        return tuple(map(Task.from_json, self.info["tasks"]))

    @property
    def class_names(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Display names of the classes by task and language, in index order; a class without one has its own name."""
        return {
            task.name: {
                language: tuple(names.get(label, label) for label in task.classes)
                for language, names in self._class_names[task.name].items()
            }
            for task in self.tasks
            if task.name in self._class_names
        }

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
        """Number of different images."""
        return int(self.info["images"])

    @property
    def rejected_count(self) -> int:
        """Rows and images that were rejected."""
        return int(self.info["rejected"])

    @property
    def unknown_labels(self) -> dict[str, dict[str, int]]:
        """Number of rows by task and unknown label; the Store holds these rows without a label."""
        return dict(self.info["unknown"])

    @property
    def cut_count(self) -> int:
        """Number of texts that were longer than ``LONGEST_TEXT`` and were cut."""
        return int(self.info["cut"])

    @property
    def left_out_labels(self) -> dict[str, dict[str, int]]:
        """Number of rows by task and label whose class the variant leaves out; the Store holds them without a label."""
        return dict(self.info["left_out"])

    @property
    def released(self) -> bool:
        """Whether the data agrees with its card; False if it was accepted with ``--allow-mismatch``."""
        return bool(self.info["released"])

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the slice columns."""
        return self.columns(SLICE)

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Inputs beside image and text: the sorted values of each attribute."""
        return {name: tuple(values) for name, values in self.info["attributes"].items()}

    def columns(self, prefix: str) -> tuple[str, ...]:
        """Return the names of the columns that begin with ``prefix``, without the prefix."""
        return tuple(c.removeprefix(prefix) for c in self.examples.column_names if c.startswith(prefix))

    @cached_property
    def examples(self) -> pa.Table:
        """The table of examples, memory-mapped."""
        return self._table(EXAMPLES)

    @cached_property
    def images(self) -> pa.Table:
        """The table of images, memory-mapped: ``key``, ``digest`` (64 hex digits), ``bytes``."""
        return self._table(IMAGES)

    def image(self, row: int) -> bytes:
        """Return the encoded image at ``row``."""
        number = bisect.bisect_right(self._image_starts, row) - 1
        offsets, data = self._image_chunks[number]
        at = row - self._image_starts[number]
        return bytes(data[offsets[at] : offsets[at + 1]])

    @cached_property
    def _image_starts(self) -> list[int]:
        """The first row of each chunk."""
        return [0, *itertools.accumulate(map(len, self.images["bytes"].chunks[:-1]))]

    @cached_property
    def _image_chunks(self) -> list[tuple[memoryview, memoryview]]:
        """The offsets and the bytes of the images of each chunk, for access to an image within a microsecond."""
        chunks = []
        for chunk in self.images["bytes"].chunks:
            _, offsets, data = chunk.buffers()
            places = memoryview(offsets).cast("B").cast("i")[chunk.offset : chunk.offset + len(chunk) + 1]
            chunks.append((places, memoryview(data) if data else memoryview(b"")))
        return chunks

    def shards(self, table: str) -> Iterator[Path]:
        """Yield the Arrow files of the table ``examples`` or ``images``; ``datasets.Dataset.from_file`` opens them."""
        yield from sorted((self.images_folder if table == IMAGES else self.folder).glob(f"{table}-*.arrow"))

    def require_intact(self, table: str) -> None:
        """Compare the files of ``examples`` (and the Store's other files) or ``images`` with their digests.

        Raises:
            DataError: a file is damaged; the message names the file and the remedy.
        """
        shards = {path.name for path in self.shards(table)}
        if table == EXAMPLES:
            others = {name for name in (REJECTED,) if (self.folder / name).is_file()}
            require_intact(self.folder, self.info["files"], shards | others, self.name, how_to_rebuild(self.folder))
            return
        path, remedy = self.images_folder / IMAGES_INFO, how_to_rebuild(self.folder, self.images_folder)
        try:
            facts = read_facts(path, ImageFacts, remedy)
        except FileNotFoundError:
            raise DataError(f"{path} is damaged (it is missing); {remedy}.") from None
        if (facts["digest"], facts["count"]) != (self.info["pictures_digest"], self.info["images"]):
            raise DataError(f"{self.images_folder} holds the images of other data than {self.folder}; {remedy}.")
        require_intact(self.images_folder, facts["shards"], shards, f"the images of {self.name}", remedy)

    def _table(self, name: str) -> pa.Table:
        self.require_intact(name)
        try:
            parts = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in self.shards(name)]
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{self.folder} can't be read ({error}); {how_to_rebuild(self.folder, self.images_folder)}."
            ) from None
        if not parts:
            raise DataError(f"{self.folder} lacks its {name} shards; remove the folder and run again.")
        return pa.concat_tables(parts)
