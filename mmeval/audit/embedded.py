"""Near-duplicate images by embeddings: finds crops, mirrored copies and other photos of the same object.

Measured on the 1,906 drawings of emoji14 at 128 pixels: above the threshold are 90 to 99 % of the images that were
re-encoded, halved, brightened or cropped by 2 % at each edge, 64 % of the mirrored ones, and 159 of 1.8 million pairs
of different drawings, most of which look alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import EmbeddingDuplicates, Share
from mmeval.console import progress
from mmeval.errors import MissingExtraError
from mmeval.home import home

if TYPE_CHECKING:
    from mmeval.engine.cache import Embeddings

ENCODER = "efficientnet-lite0"
SIZES = (224, 192, 160, 128, 96, 64)
"""Encoder, and image sizes, whose cached embeddings are compared."""
DEVICES = ("cuda", "cpu", "mps")
LEAST_COSINE = 0.97
MOST_WORK = 2e12
"""Multiplications; under a minute on two cores. A random sample is compared where more would be needed."""
BLOCK = 1024


def compare_embeddings(rows: Rows, encoder: str | None = None) -> EmbeddingDuplicates:
    """Compare the embeddings of the scored split's images with those of train.

    Args:
        rows: the examples.
        encoder: encoder such as ``efficientnet-lite0:128``; embeddings that the cache lacks are computed. None
            compares cached embeddings only.

    Raises:
        UserError: there is no such encoder.
    """
    split = rows.splits[rows.scored]
    if rows.scored == 0 or "train" not in rows.splits or not len(rows.store.images):
        return _not_computed(encoder or ENCODER, split, "there are no images in two splits")
    train, scored = (np.unique(rows.image[(rows.split == index) & (rows.image >= 0)]) for index in (0, rows.scored))
    available = _computed(rows, encoder) if encoder else _cached(rows, np.union1d(train, scored))
    if available is None:
        return _not_computed(ENCODER, split, "no embeddings of these images are cached")
    name, embeddings = available
    most = max(int(MOST_WORK / max(len(train) * embeddings.width, 1)), 1)
    note = ""
    if len(scored) > most:
        note = f"a random sample of {most:,} of {len(scored):,} images"
        scored = np.sort(np.random.default_rng(0).choice(scored, most, replace=False))
    best = nearest(embeddings, scored, train)
    duplicates = Share(count=int((best >= LEAST_COSINE).sum()), n=len(best))
    return EmbeddingDuplicates(encoder=name, threshold=LEAST_COSINE, split=split, duplicates=duplicates, note=note)


def nearest(embeddings: Embeddings, some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the largest cosine similarity of each image of ``some`` with any image of ``others``.

    Args:
        embeddings: of all images.
        some: rows of images ``[n]``.
        others: rows of images ``[m]``.

    Returns:
        ``[n]``.
    """
    queries = _unit_vectors(embeddings.gather(some))
    best = np.full(len(some), -1, np.float32)
    with progress("Comparing embeddings", len(others), "images") as advance:
        for start in range(0, len(others), BLOCK):
            block = _unit_vectors(embeddings.gather(others[start : start + BLOCK]))
            for at in range(0, len(queries), 8 * BLOCK):
                part = slice(at, at + 8 * BLOCK)
                np.maximum(best[part], (queries[part] @ block.T).max(1), out=best[part])
            advance(len(block))
    return best


def _unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return unit


def _cached(rows: Rows, images: NDArray[np.int64]) -> tuple[str, Embeddings] | None:
    """Return the name of an encoder and its embeddings, if the cache has those of all ``images``; else None."""
    if not any((home() / "embeddings").glob("*/part-*.npy")):
        return None
    from mmeval.engine.embeddings import cached_image_embeddings
    from mmeval.nn.build import image_encoder

    for size in SIZES:
        try:
            encoder = image_encoder(f"{ENCODER}:{size}", frozen=True)
        except MissingExtraError:
            return None
        for device in DEVICES:
            embeddings = cached_image_embeddings(encoder, rows.store, device)
            if embeddings.present[images].all():
                return encoder.name, embeddings
    return None


def _computed(rows: Rows, name: str) -> tuple[str, Embeddings]:
    import torch

    from mmeval.engine.embeddings import image_embeddings
    from mmeval.nn.build import image_encoder

    encoder = image_encoder(name, frozen=True)
    return encoder.name, image_embeddings(encoder, rows.store, rows.image, torch.device("cpu"))


def _not_computed(encoder: str, split: str, why: str) -> EmbeddingDuplicates:
    return EmbeddingDuplicates(
        encoder=encoder, threshold=LEAST_COSINE, split=split, duplicates=None, note=f"not computed: {why}"
    )
