"""The fingerprint of a data set, computed while it is prepared or from a prepared Store."""

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
"""Rows per batch; the rows of one batch become Python objects at once."""


def fingerprint(images: str, rows: str, tasks: Sequence[Mapping[str, object]]) -> str:
    """Return the SHA-256 over images and rows (both as digests) and tasks (as :meth:`Task.as_json` returns them)."""
    return digest(images, rows, json.dumps(tasks))


def images_digest(digests: Iterable[str]) -> str:
    """Return the SHA-256 over the digests of all images, in their order."""
    sha = hashlib.sha256()
    for image_digest in digests:
        sha.update(image_digest.encode())
    return sha.hexdigest()


def encode_row(row: Mapping[str, Any]) -> bytes:
    """Return a row of the examples in the encoding over which the digest of all rows is computed."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


class Recomputed(NamedTuple):
    """Facts that ``store.json`` states, computed from the shards instead."""

    fingerprint: str
    splits: dict[str, int]
    languages: list[str]
    images: int


def recompute(store: Store, advance: Callable[[int], None] = lambda _: None) -> Recomputed:
    """Compute the fingerprint and counts of a Store from its shards; ``advance`` receives the number of rows done."""
    sha, languages, splits = hashlib.sha256(), set[str](), Counter[str]()
    for batch in store.examples.to_batches(max_chunksize=ROWS):
        for row in batch.to_pylist():
            sha.update(encode_row(row))
            languages.add(row["language"])
            splits[row["split"]] += 1
        advance(batch.num_rows)
    chunks = store.images["digest"].chunks if any(store.shards(IMAGES)) else []
    images = images_digest(digest for chunk in chunks for digest in chunk.to_pylist())
    tasks = [task.as_json() for task in store.tasks]
    return Recomputed(
        fingerprint(images, sha.hexdigest(), tasks), dict(splits), sorted(languages), sum(map(len, chunks))
    )
