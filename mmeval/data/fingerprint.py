"""The fingerprint of a data set: when it is prepared, and again of what was prepared."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mmeval.data.store_files import IMAGES
from mmeval.files import digest

if TYPE_CHECKING:
    from mmeval.data.store import Store

ROWS = 4096
"""Rows that are Python objects at once."""


def fingerprint(images: str, rows: str, tasks: Sequence[Mapping[str, object]]) -> str:
    """SHA-256 over images, rows (each by its digest) and tasks (``name`` and ``classes``, in this order)."""
    return digest(images, rows, json.dumps(tasks))


def of_images(digests: Iterable[str]) -> str:
    """SHA-256 over the digests of all images, in their order."""
    sha = hashlib.sha256()
    for one in digests:
        sha.update(one.encode())
    return sha.hexdigest()


def encoded(row: Mapping[str, Any]) -> bytes:
    """A row of the examples as the digest of all rows takes it."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


class Recomputed(NamedTuple):
    """What the shards of a Store say, whatever its ``store.json`` does."""

    fingerprint: str
    splits: dict[str, int]
    languages: list[str]
    images: int


def recompute(store: Store, advance: Callable[[int], None] = lambda _: None) -> Recomputed:
    """Read a whole Store again; ``advance`` is told the rows that are done."""
    sha, languages, splits = hashlib.sha256(), set[str](), Counter[str]()
    for batch in store.examples.to_batches(max_chunksize=ROWS):
        for row in batch.to_pylist():
            sha.update(encoded(row))
            languages.add(row["language"])
            splits[row["split"]] += 1
        advance(batch.num_rows)
    chunks = store.images["digest"].chunks if any(store.shards(IMAGES)) else []
    images = of_images(one for chunk in chunks for one in chunk.to_pylist())
    tasks = [{"name": task.name, "classes": task.classes} for task in store.tasks]
    found = fingerprint(images, sha.hexdigest(), tasks)
    return Recomputed(found, dict(splits), sorted(languages), sum(map(len, chunks)))
