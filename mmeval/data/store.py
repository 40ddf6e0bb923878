"""The Store: one prepared data set on disk, memory-mapped, identified by its content."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping
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
    again,
    read_facts,
    require_whole,
    schema_of,
)
from mmeval.errors import DataError

LABEL, SLICE, METADATA, ATTRIBUTE = "label:", "slice:", "metadata:", "attribute:"
"""Prefixes of columns: labels (int32, -1 for none), slices, what else is known, other inputs (strings)."""


class Store:
    """A prepared data set.

    Two tables of Arrow shards that ``datasets`` opens as they are: ``examples-*.arrow`` (id, text, language, split,
    cluster, image, ``label:*``, ``slice:*``, ``metadata:*``, ``attribute:*``) and, in the folder of images that the
    variants of a data set share, ``images-*.arrow`` (key, digest, bytes). ``image`` is a row of the second table, -1
    where there is none: an image that several examples share is stored once. ``rejected.parquet`` has what was set
    aside, and why.
    """

    def __init__(self, folder: Path, class_names: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None) -> None:
        """Open the Store in ``folder``.

        Args:
            folder: where it is.
            class_names: the data card's, by task, language and class. They aren't stored: a better translation needs
                no other Store.

        Raises:
            DataError: there is no Store, or one of another schema version.
        """
        self.folder, self._class_names = folder, class_names or {}
        try:
            if schema_of(folder) not in (SCHEMA_VERSION, None):
                raise DataError(f"{folder} was prepared by another version of mmeval; remove the folder and run again.")
            self.info: dict[str, Any] = read_facts(folder / INFO, StoreFacts, again(folder))
        except FileNotFoundError:
            raise DataError(f"{folder} holds no prepared data set; remove the folder and run again.") from None
        self.images_folder = (folder / self.info["pictures"]).resolve()
        if not self.images_folder.is_dir():
            raise DataError(f"{folder} lacks its images ({self.images_folder}); remove both and prepare it again.")

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
        return tuple(Task(task["name"], tuple(task["classes"])) for task in self.info["tasks"])

    @property
    def class_names(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """What people call the classes, by task and language, in index order; a class without a name has its own."""
        return {
            task.name: {
                language: tuple(names.get(one, one) for one in task.classes)
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
        """Rows by task and label that is no class of it; they stand in the Store without a label."""
        return dict(self.info["unknown"])

    @property
    def cut_count(self) -> int:
        """Texts that were cut because they are longer than ``LONGEST_TEXT``."""
        return int(self.info["cut"])

    @property
    def left_out_labels(self) -> dict[str, dict[str, int]]:
        """Rows by task and label whose class the variant leaves out; they stand in the Store without a label."""
        return dict(self.info["left_out"])

    @property
    def released(self) -> bool:
        """Whether the data was held to its card, and not taken with ``--allow-mismatch``."""
        return bool(self.info["released"])

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the slice columns."""
        return self.columns(SLICE)

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Inputs beside image and text: the values of each, sorted, by its name."""
        return {name: tuple(values) for name, values in self.info["attributes"].items()}

    def columns(self, prefix: str) -> tuple[str, ...]:
        """Names of the columns with a prefix, without it."""
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
        """Encoded bytes of image ``row``."""
        number = bisect.bisect_right(self._image_starts, row) - 1
        offsets, data = self._image_chunks[number]
        at = row - self._image_starts[number]
        return bytes(data[offsets[at] : offsets[at + 1]])

    @cached_property
    def _image_starts(self) -> list[int]:
        """The row at which each chunk begins."""
        return [0, *itertools.accumulate(map(len, self.images["bytes"].chunks[:-1]))]

    @cached_property
    def _image_chunks(self) -> list[tuple[memoryview, memoryview]]:
        """Of each chunk, where its images begin and end, and their bytes: an image is found in a microsecond."""
        found = []
        for chunk in self.images["bytes"].chunks:
            _, offsets, data = chunk.buffers()
            places = memoryview(offsets).cast("B").cast("i")[chunk.offset : chunk.offset + len(chunk) + 1]
            found.append((places, memoryview(data) if data else memoryview(b"")))
        return found

    def shards(self, table: str) -> Iterator[Path]:
        """The Arrow files of ``examples`` or ``images``, for ``datasets.Dataset.from_file``."""
        yield from sorted((self.images_folder if table == IMAGES else self.folder).glob(f"{table}-*.arrow"))

    def require_whole(self, table: str) -> None:
        """Hold the files of ``examples`` (and all else in the Store's folder) or ``images`` against their digests.

        Raises:
            DataError: a file is damaged; the message names it and what mends it.
        """
        shards = {path.name for path in self.shards(table)}
        if table == EXAMPLES:
            others = {name for name in (REJECTED,) if (self.folder / name).is_file()}
            require_whole(self.folder, self.info["files"], shards | others, self.name, again(self.folder))
            return
        path, mend = self.images_folder / IMAGES_INFO, again(self.folder, self.images_folder)
        try:
            facts = read_facts(path, ImageFacts, mend)
        except FileNotFoundError:
            raise DataError(f"{path} is damaged (it is not there); {mend}.") from None
        if (facts["digest"], facts["count"]) != (self.info["pictures_digest"], self.info["images"]):
            raise DataError(f"{self.images_folder} holds the images of other data than {self.folder}; {mend}.")
        require_whole(self.images_folder, facts["shards"], shards, f"the images of {self.name}", mend)

    def _table(self, name: str) -> pa.Table:
        self.require_whole(name)
        try:
            parts = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in self.shards(name)]
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{self.folder} can't be read ({error}); {again(self.folder, self.images_folder)}."
            ) from None
        if not parts:
            raise DataError(f"{self.folder} lacks its {name} shards; remove the folder and run again.")
        return pa.concat_tables(parts)
