"""A Store as a ``datasets.DatasetDict``. The only module that imports ``datasets``."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmeval.api.task import Task
from mmeval.data.store import LABEL, Store
from mmeval.data.store_files import EXAMPLES

PROTOCOL = "mmeval-store"
"""An image's address is ``mmeval-store://FOLDER/ROW``: a Store's folder, and a row of its table of images."""


class StoreFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The images of a Store as files for ``fsspec``, by which ``datasets`` reads an image that has an address.

    A row of a data set then holds an address instead of a copy of the bytes, and an image that several rows share is
    stored once. The package's entry point in ``fsspec.specs`` makes the protocol known in every process.
    """

    protocol = PROTOCOL

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - as fsspec declares it
        """Return ``name``, ``type`` and ``size`` (bytes) of the image at an address ``mmeval-store://FOLDER/ROW``.

        Raises:
            FileNotFoundError: the address names no image of a Store.
        """
        return {"name": path, "type": "file", "size": len(self.cat_file(path))}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:  # noqa: ANN401
        """Return the encoded bytes of an image.

        Raises:
            FileNotFoundError: the address names no image of a Store.
        """
        folder, _slash, row = self._strip_protocol(path).rpartition("/")
        if not (folder and row.isdecimal()):
            raise FileNotFoundError(path)
        return _store(folder).image(int(row))[start:end]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:  # noqa: ANN401
        if mode != "rb":
            raise OSError(f"{path}: the images of a Store can only be read.")
        return io.BytesIO(self.cat_file(path))


def as_dataset_dict(store: Store) -> datasets.DatasetDict:
    """Return the splits of a Store; see :meth:`mmeval.data.request.Dataset.to_datasets`."""
    store.require_intact(EXAMPLES)
    fsspec.register_implementation(PROTOCOL, StoreFileSystem, clobber=True)
    shards = [datasets.Dataset.from_file(str(shard)) for shard in store.shards(EXAMPLES)]
    examples = datasets.concatenate_datasets(shards)
    split_of_row = np.asarray(examples.data["split"])
    images = _images(store, examples.data["image"])
    examples = examples.remove_columns(["split", "image"])
    names = {LABEL + task.name: _free_name(task.name, examples.column_names) for task in store.tasks}
    examples = examples.rename_columns(names)
    types = {names[LABEL + task.name]: _label_type(task) for task in store.tasks}
    features = datasets.Features(examples.features | types | {"image": datasets.Image()})
    table = examples.data.append_column("image", images).cast(features.arrow_schema)
    info = datasets.DatasetInfo(features=features)
    whole = datasets.Dataset(table, info=info, fingerprint=store.fingerprint[:16])
    return datasets.DatasetDict(
        {split: whole.select(np.flatnonzero(split_of_row == split)) for split in store.split_sizes}
    )


def _images(store: Store, rows: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the addresses of images as ``datasets.Image`` stores them; null for row -1."""
    prefix = f"{PROTOCOL}://{store.folder.absolute().as_posix()}/"
    addresses = pc.binary_join_element_wise(prefix, rows.cast(pa.string()), "")
    chunks = []
    for path, row in zip(addresses.chunks, rows.chunks, strict=True):
        no_bytes, missing = pa.nulls(len(path), pa.binary()), pc.less(row, 0)
        chunks.append(pa.StructArray.from_arrays([no_bytes, path], ["bytes", "path"], mask=missing))
    return pa.chunked_array(chunks, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def _label_type(task: Task) -> datasets.ClassLabel | datasets.List:
    one = datasets.ClassLabel(names=list(task.classes))
    return datasets.List(one) if task.multilabel else one


def _free_name(task: str, taken: list[str]) -> str:
    """The task's name, or ``label:TASK`` if another column has that name."""
    return LABEL + task if task in (*taken, "image") else task


@lru_cache(maxsize=8)
def _store(folder: str) -> Store:
    # fsspec may strip the leading slash of an address.
    path = Path(folder)
    return Store(path if path.is_absolute() else Path("/") / path)
