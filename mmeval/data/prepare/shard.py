"""Shards of images: conversion in threads, in the source's order, and atomic writing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmeval.data.loader import cores, in_order
from mmeval.data.prepare.image import StoredImage, convert
from mmeval.data.reading.text import is_text
from mmeval.errors import DataError
from mmeval.files import atomic_path, file_digest

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

SCHEMA = pa.schema({"key": pa.string(), "digest": pa.string(), "bytes": pa.binary()})
TASK, AHEAD, BATCH = 32, 10, 1024
"""Images per task, tasks under way, images per record batch."""

SourceImage = tuple[str, "ImageData | Callable[[], ImageData]"]
"""A key, and an image or a function that reads it."""
Converted = list[tuple[str, StoredImage | str]]
"""The result of a task: each key with its image, or with the reason for rejecting it."""


def convert_all(images: Iterator[SourceImage], size: int) -> Generator[Converted, None, None]:
    """Convert images in threads, in their order, ahead of the shard that is being written.

    No task spans two shards of ``size`` images.
    """

    def tasks() -> Iterator[list[SourceImage]]:
        left = size
        while part := list(itertools.islice(images, min(TASK, left))):
            left = left - len(part) or size
            yield part

    return in_order(tasks(), _convert_task, workers=cores(), ahead=AHEAD)


def write_shard(
    shard: Path, converted: Iterator[Converted], size: int, report: Callable[[int, int], None]
) -> dict[str, Any]:
    """Write the next ``size`` images, or those that are left, and return the facts for the shard's sidecar file.

    Args:
        shard: the Arrow file.
        converted: the results of :func:`convert_all`.
        size: the number of images per shard.
        report: receives the number of images just done, and the number of this shard's images rejected so far.
    """
    rejected: dict[str, str] = {}
    repaired: dict[str, str] = {}
    keys: list[str] = []
    with (
        atomic_path(shard) as path,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, SCHEMA) as writer,
    ):
        rows: list[tuple[str, StoredImage]] = []
        while len(keys) < size and (done := next(converted, None)):
            for key, image in done:
                keys.append(key)
                if isinstance(image, str):
                    rejected[key] = image
                    continue
                if image.repaired:
                    repaired[key] = image.repaired
                rows.append((key, image))
            report(len(done), len(rejected))
            if len(rows) >= BATCH:
                writer.write_batch(_batch(rows))
                rows = []
        writer.write_batch(_batch(rows))
    return facts(keys) | {"sha256": file_digest(shard), "rejected": rejected, "repaired": repaired}


def facts(keys: Sequence[str]) -> dict[str, int | str]:
    """Return facts by which a later attempt recognises the images of a shard."""
    return {"given": len(keys), "first": keys[0] if keys else "", "last": keys[-1] if keys else ""}


def _convert_task(part: list[SourceImage]) -> Converted:
    return [(key, convert_or_reason(key, image)) for key, image in part]


def convert_or_reason(key: str, image: ImageData | Callable[[], ImageData]) -> StoredImage | str:
    """Return the image for the Store, or the reason for rejecting it."""
    if not is_text(key):
        return "its name is not valid UTF-8"
    try:
        return convert(image() if callable(image) else image)
    except DataError as error:
        return str(error)
    except FileNotFoundError:
        return "the image's file is missing"


def _batch(rows: list[tuple[str, StoredImage]]) -> pa.RecordBatch:
    columns = [key for key, _ in rows], [image.digest for _, image in rows], [image.data for _, image in rows]
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
