"""Search for image files with the same content under several names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from mmeval.console import progress
from mmeval.data.loader import cores, in_order
from mmeval.data.table.images import ImageReference
from mmeval.errors import DataError

TASK = 64
"""Images per task."""


def same_files(images: Iterable[ImageReference]) -> Iterator[tuple[str, str]]:
    """Yield the key and SHA-256 of each image file that may equal another image; files of a unique size are skipped."""
    images = list(images)
    sizes = Counter(image.size for image in images if image.path)
    embedded = any(not image.path for image in images)
    files = [image for image in images if image.path and (embedded or sizes[image.size] > 1)]
    if not files:
        return
    parts = (files[start : start + TASK] for start in range(0, len(files), TASK))
    with progress("Comparing images", len(files), "images") as advance:
        for digests in in_order(parts, _digests, workers=cores()):
            yield from ((key, digest) for key, digest in digests if digest)
            advance(len(digests))


def _digests(part: list[ImageReference]) -> list[tuple[str, str]]:
    return [(image.key, _digest(image)) for image in part]


def _digest(image: ImageReference) -> str:
    try:
        return hashlib.sha256(image.read()).hexdigest()
    except (DataError, FileNotFoundError):
        return ""  # reported when the image is prepared
