"""Images held against train by what a network sees in them: crops, mirrored copies, the same thing taken again.

Measured on the 1,906 drawings of emoji14 at 128 pixels: above the threshold are 90 to 99 % of the images encoded
again, halved, made brighter or cropped by 2 % at each edge, 64 % of the mirrored ones, and 159 of 1.8 million pairs
of different drawings, most of them drawn alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Embedded, Share
from mmeval.console import progress
from mmeval.errors import MissingExtraError
from mmeval.home import home

if TYPE_CHECKING:
    from mmeval.engine.cache import Embeddings

ENCODER = "efficientnet-lite0"
SIZES = (224, 192, 160, 128, 96, 64)
KINDS = ("cuda", "cpu", "mps")
LEAST_COSINE = 0.97
MOST_WORK = 2e12
"""Multiplications; under a minute on two cores. Where more would be needed, a sample by chance is taken."""
BLOCK = 1024


def compare_embeddings(rows: Rows, encoder: str | None = None) -> Embedded:
    """Compare images of the scored split with train's, from the embedding cache.

    Args:
        rows: the examples.
        encoder: compute what the cache lacks with this encoder (``efficientnet-lite0:128``). None takes what is
            cached, and computes nothing.

    Raises:
        UserError: no such encoder.
    """
    split = rows.splits[rows.scored]
    if rows.scored == 0 or "train" not in rows.splits or not len(rows.store.images):
        return _without(encoder or ENCODER, split, "there are no images in two splits")
    train, scored = (np.unique(rows.image[(rows.split == index) & (rows.image >= 0)]) for index in (0, rows.scored))
    found = _computed(rows, encoder) if encoder else _cached(rows, np.union1d(train, scored))
    if found is None:
        return _without(ENCODER, split, "no embeddings of these images are cached")
    name, embeddings = found
    most = max(int(MOST_WORK / max(len(train) * embeddings.width, 1)), 1)
    note = ""
    if len(scored) > most:
        note = f"a sample by chance of {most:,} of {len(scored):,} images"
        scored = np.sort(np.random.default_rng(0).choice(scored, most, replace=False))
    best = nearest(embeddings, scored, train)
    duplicates = Share(count=int((best >= LEAST_COSINE).sum()), n=len(best))
    return Embedded(encoder=name, threshold=LEAST_COSINE, split=split, duplicates=duplicates, note=note)


def nearest(embeddings: Embeddings, some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
    """The greatest cosine of each image of ``some`` to any of ``others``."""
    mine = _normed(embeddings.gather(some))
    best = np.full(len(some), -1, np.float32)
    with progress("Comparing embeddings", len(others), "images") as advance:
        for start in range(0, len(others), BLOCK):
            block = _normed(embeddings.gather(others[start : start + BLOCK]))
            for at in range(0, len(mine), 8 * BLOCK):
                part = slice(at, at + 8 * BLOCK)
                np.maximum(best[part], (mine[part] @ block.T).max(1), out=best[part])
            advance(len(block))
    return best


def _normed(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normed: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return normed


def _cached(rows: Rows, images: NDArray[np.int64]) -> tuple[str, Embeddings] | None:
    if not any((home() / "embeddings").glob("*/part-*.npy")):
        return None
    from mmeval.engine.embeddings import cached_embeddings
    from mmeval.nn.build import image_encoder

    for size in SIZES:
        try:
            encoder = image_encoder(f"{ENCODER}:{size}", frozen=True)
        except MissingExtraError:
            return None
        for kind in KINDS:
            embeddings, has = cached_embeddings(encoder, rows.store, kind)
            if has[images].all():
                return encoder.name, embeddings
    return None


def _computed(rows: Rows, name: str) -> tuple[str, Embeddings]:
    import torch

    from mmeval.engine.embeddings import embeddings
    from mmeval.nn.build import image_encoder

    encoder = image_encoder(name, frozen=True)
    return encoder.name, embeddings(encoder, rows.store, rows.image, torch.device("cpu"))


def _without(encoder: str, split: str, why: str) -> Embedded:
    return Embedded(encoder=encoder, threshold=LEAST_COSINE, split=split, duplicates=None, note=f"not computed: {why}")
