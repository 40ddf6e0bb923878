"""One shard of images: made in threads, in the order in which they are given, and written whole or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmeval.data.loader import cores, in_order
from mmeval.data.prepare.image import Stored, stored
from mmeval.data.reading.text import is_text
from mmeval.errors import DataError
from mmeval.files import atomic_path, file_digest

if TYPE_CHECKING:
    from mmeval.api.source import ImageData

SCHEMA = pa.schema({"key": pa.string(), "digest": pa.string(), "bytes": pa.binary()})
TASK, AHEAD, BATCH = 32, 10, 1024
"""Images per task of a thread, tasks that are under way, images per record batch."""

Given = tuple[str, "ImageData | Callable[[], ImageData]"]


Made = list[tuple[str, Stored | str]]
"""Of one task: each key with its image, or with why there is none."""


def make_all(given: Iterator[Given], size: int) -> Generator[Made, None, None]:
    """Make images in threads, in the order in which they are given.

    No task has images of two shards of ``size``, and threads work ahead of the shard that is being written.
    """

    def tasks() -> Iterator[list[Given]]:
        left = size
        while part := list(itertools.islice(given, min(TASK, left))):
            left = left - len(part) or size
            yield part

    return in_order(tasks(), _make, workers=cores(), ahead=AHEAD)


def write_shard(shard: Path, made: Iterator[Made], size: int, tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Write the next ``size`` images that are made, or those that are left; returns what is to be known of them.

    Args:
        shard: the Arrow file.
        made: from :func:`make_all`.
        size: of a shard.
        tell: is told how many more are done, and how many of the shard are rejected so far.
    """
    rejected: dict[str, str] = {}
    repaired: dict[str, str] = {}
    keys: list[str] = []
    with (
        atomic_path(shard) as path,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, SCHEMA) as writer,
    ):
        rows: list[tuple[str, Stored]] = []
        while len(keys) < size and (done := next(made, None)):
            for key, one in done:
                keys.append(key)
                if isinstance(one, str):
                    rejected[key] = one
                    continue
                if one.repaired:
                    repaired[key] = one.repaired
                rows.append((key, one))
            tell(len(done), len(rejected))
            if len(rows) >= BATCH:
                writer.write_batch(_batch(rows))
                rows = []
        writer.write_batch(_batch(rows))
    return facts(keys) | {"sha256": file_digest(shard), "rejected": rejected, "repaired": repaired}


def facts(keys: Sequence[str]) -> dict[str, int | str]:
    """By which another attempt knows the images of a shard again."""
    return {"given": len(keys), "first": keys[0] if keys else "", "last": keys[-1] if keys else ""}


def _make(part: list[Given]) -> Made:
    return [(key, _made(key, image)) for key, image in part]


def _made(key: str, image: ImageData | Callable[[], ImageData]) -> Stored | str:
    """The image for the Store, or why there is none."""
    if not is_text(key):
        return "its name is no valid text"
    try:
        return stored(image() if callable(image) else image)
    except DataError as error:
        return str(error)
    except FileNotFoundError:
        return "the image's file is not there"


def _batch(rows: list[tuple[str, Stored]]) -> pa.RecordBatch:
    columns = [key for key, _ in rows], [one.digest for _, one in rows], [one.data for _, one in rows]
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
