"""The embedding cache: what a frozen encoder made of a picture is computed once, ever."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.console import progress
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.data.loader import batches
from mmeval.data.store import Store
from mmeval.files import atomic_path, digest
from mmeval.home import home
from mmeval.nn.build import image_encoder
from mmeval.nn.encoder import ImageEncoder

PART = 8192
BATCH = 32


class Embeddings:
    """The embeddings of a Store's pictures, memory-mapped."""

    def __init__(self, parts: list[NDArray[np.void]], part_of: NDArray[np.int64], row_of: NDArray[np.int64]) -> None:
        """``part_of[i]``, ``row_of[i]``: where picture ``i`` of the Store stands in ``parts``."""
        self._parts, self._part_of, self._row_of = parts, part_of, row_of
        self.width = parts[0]["vector"].shape[1] if parts else 0

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows of ``store.images`` (-1: no picture) -> ``[n, D]``; zeros for -1."""
        out = np.zeros((len(rows), self.width), np.float32)
        part_of = np.where(rows < 0, -1, self._part_of[rows])
        for part in np.unique(part_of[part_of >= 0]):
            here = np.flatnonzero(part_of == part)
            out[here] = self._parts[part]["vector"][self._row_of[rows[here]]]
        return out


def embed_images(examples: Examples, encoder: str, device: str = "cpu") -> NDArray[np.float32]:
    """What a frozen encoder makes of the examples' pictures, for models that aren't torch's.

    Args:
        examples: any examples; one that shows no picture gives zeros.
        encoder: an image encoder with weights of its own, by name: ``efficientnet-lite0:128``.
        device: where it is computed; what was computed once is taken from the cache.

    Returns:
        float32 ``[n, D]``, in the order of the examples.

    Raises:
        UserError: no such encoder.
    """
    made = image_encoder(encoder, frozen=True)
    if not (examples.image_rows >= 0).any():
        return np.zeros((len(examples), made.width), np.float32)
    return embeddings(made, examples.store, examples.image_rows, torch.device(device)).gather(examples.image_rows)


def embeddings(encoder: ImageEncoder, store: Store, rows: NDArray[np.int64], device: torch.device) -> Embeddings:
    """The embeddings of pictures ``rows``; what the cache lacks is computed on ``device`` and added to it.

    The key is encoder (name, weights), preprocessing, kind of device and image content, so that another data set with
    the same picture finds it too. Parts are written whole: a process killed half-way loses at most one part.
    """
    folder = home() / "embeddings" / digest(encoder.identity(), device.type)[:16]
    wanted = np.unique(rows[rows >= 0])
    digests = np.asarray(store.images["digest"].to_pylist(), dtype="S64")
    parts = _load(folder)
    part_of, row_of = _find(parts, digests)
    missing = wanted[part_of[wanted] < 0]
    if len(missing):
        _, first = np.unique(digests[missing], return_index=True)
        _compute(encoder, store, missing[np.sort(first)], digests, folder, device)
        parts = _load(folder)
        part_of, row_of = _find(parts, digests)
    return Embeddings(parts, part_of, row_of)


def cached_embeddings(encoder: ImageEncoder, store: Store, kind: str) -> tuple[Embeddings, NDArray[np.bool_]]:
    """What the cache has of a Store's pictures, and of which; nothing is computed. ``kind``: ``cpu``, ``cuda``, ..."""
    digests = np.asarray(store.images["digest"].to_pylist(), dtype="S64")
    parts = _load(home() / "embeddings" / digest(encoder.identity(), kind)[:16])
    part_of, row_of = _find(parts, digests)
    return Embeddings(parts, part_of, row_of), part_of >= 0


def _load(folder: Path) -> list[NDArray[np.void]]:
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("part-*.npy"))]


def _find(parts: list[NDArray[np.void]], digests: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(part, row) of each digest; part -1 where it is in none."""
    part_of, row_of = np.full(len(digests), -1), np.zeros(len(digests), np.int64)
    for number, part in enumerate(parts):
        known = part["digest"]
        order = np.argsort(known)
        place = np.searchsorted(known, digests, sorter=order).clip(max=len(known) - 1)
        hit = known[order[place]] == digests
        part_of[hit], row_of[hit] = number, order[place[hit]]
    return part_of, row_of


def _compute(
    encoder: ImageEncoder,
    store: Store,
    rows: NDArray[np.int64],
    digests: NDArray[np.bytes_],
    folder: Path,
    device: torch.device,
) -> None:
    encoder = encoder.to(device)
    size = (encoder.input.height, encoder.input.width)

    def make(part: NDArray[np.int64]) -> torch.Tensor:
        return decode_batch([store.image(int(row)) for row in part], size, encoder.input.interpolation)

    with progress(f"Embedding with {encoder.name}", len(rows), "pictures") as advance, torch.inference_mode():
        for start in range(0, len(rows), PART):
            part = rows[start : start + PART]
            vectors = _encode_part(encoder, part, make, device, advance)
            table = np.empty(len(part), dtype=[("digest", "S64"), ("vector", "<f4", (encoder.width,))])
            table["digest"], table["vector"] = digests[part], vectors
            name = digest(*(bytes(one) for one in digests[part]))[:16]
            data = io.BytesIO()
            np.save(data, table, allow_pickle=False)
            # By write() and not np.save(file), which hides that a disk is full.
            with atomic_path(folder / f"part-{name}.npy") as path:
                path.write_bytes(data.getbuffer())


def _encode_part(
    encoder: ImageEncoder,
    rows: NDArray[np.int64],
    make: Callable[[NDArray[np.int64]], torch.Tensor],
    device: torch.device,
    advance: Callable[..., None],
) -> NDArray[np.float32]:
    blocks = []
    for images in batches(rows, BATCH, make):
        blocks.append(encoder.encode(images.to(device)).pooled.float().cpu().numpy())
        advance(len(images))
    return np.concatenate(blocks)
