"""Encoders by name: ``efficientnet-lite0:160``, ``small-cnn:64``, ``char-ngrams:131072x64``."""

from __future__ import annotations

from collections.abc import Callable

from mmeval.errors import UserError
from mmeval.nn.char_ngrams import CharNgrams
from mmeval.nn.efficientnet_encoder import EfficientNetLite0Encoder
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.small_cnn import SmallCNN


def image_encoder(name: str, *, frozen: bool) -> ImageEncoder:
    """Make an image encoder: ``efficientnet-lite0[:SIZE]`` or ``small-cnn[:SIZE]``, SIZE in pixels.

    Raises:
        UserError: no such encoder, or a size that it can't take.
    """
    kind, _, size = name.partition(":")
    pixels = _numbers(name, size or "0", 1, lambda values: values[0] % 16 == 0 and values[0] <= 1024)[0]
    if kind == "efficientnet-lite0":
        return EfficientNetLite0Encoder(pixels or 224, frozen=frozen)
    if kind == "small-cnn":
        encoder = SmallCNN(pixels or 64)
        return encoder.freeze() if frozen else encoder
    raise UserError(f'No image encoder is named "{name}"; there are efficientnet-lite0:SIZE and small-cnn:SIZE.')


def text_encoder(name: str, *, frozen: bool) -> TextEncoder:
    """Make a text encoder: ``char-ngrams[:BUCKETSxWIDTH]``.

    Raises:
        UserError: no such encoder, or sizes that it can't take.
    """
    kind, _, sizes = name.partition(":")
    if kind == "char-ngrams":
        buckets, width = _numbers(name, sizes or "131072x64", 2, lambda values: min(values) > 1)
        if frozen:
            raise UserError(f'The text encoder "{name}" starts from nothing: frozen, it would say nothing.')
        return CharNgrams(buckets, width)
    raise UserError(f'No text encoder is named "{name}"; there is char-ngrams:BUCKETSxWIDTH.')


def _numbers(name: str, text: str, count: int, good: Callable[[list[int]], bool]) -> list[int]:
    wanted = "write a multiple of 16 up to 1024" if count == 1 else "write two numbers, BUCKETSxWIDTH"
    parts = text.split("x")
    if len(parts) != count or not all(part.isdecimal() for part in parts) or not good([int(p) for p in parts]):
        raise UserError(f'"{name}": "{text}" is no size of this encoder; {wanted}.')
    return [int(part) for part in parts]
