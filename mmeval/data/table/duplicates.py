"""Images that are the same bytes under several names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from mmeval.console import progress
from mmeval.data.loader import cores, in_order
from mmeval.data.table.images import Reference
from mmeval.errors import DataError

TASK = 64
"""Images that one task of a thread reads."""


def same_files(images: Iterable[Reference]) -> Iterator[tuple[str, str]]:
    """Key and SHA-256 of each image that may be the same as another's: files of a size that no other has can't."""
    images = list(images)
    sizes = Counter(one.size for one in images if one.path)
    embedded = any(not one.path for one in images)
    files = [one for one in images if one.path and (embedded or sizes[one.size] > 1)]
    if not files:
        return
    parts = (files[start : start + TASK] for start in range(0, len(files), TASK))
    with progress("Comparing images", len(files), "images") as advance:
        for digests in in_order(parts, _digests, workers=cores()):
            yield from ((key, found) for key, found in digests if found)
            advance(len(digests))


def _digests(part: list[Reference]) -> list[tuple[str, str]]:
    return [(one.key, _digest(one)) for one in part]


def _digest(one: Reference) -> str:
    try:
        return hashlib.sha256(one.read()).hexdigest()
    except (DataError, FileNotFoundError):
        return ""  # said when the image itself is prepared
