"""Where embeddings are kept: parts on disk, found by the digest of what was embedded."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmeval.files import atomic_path, digest

LARGEST_HALF = 65504.0


class Part(NamedTuple):
    """A block of embeddings, memory-mapped."""

    table: NDArray[np.void]
    """``digest``, ``vector`` and, where tokens are kept, ``start`` and ``length`` in ``tokens``."""
    tokens: NDArray[np.float16] | None


class Embeddings:
    """The embeddings of some pictures or texts."""

    def __init__(self, parts: list[Part], part_of: NDArray[np.int64], row_of: NDArray[np.int64]) -> None:
        """``part_of[i]``, ``row_of[i]``: where number ``i`` stands in ``parts``; part -1: nowhere."""
        self._parts, self._part_of, self._row_of = parts, part_of, row_of
        self.width = parts[0].table["vector"].shape[1] if parts else 0

    @property
    def has(self) -> NDArray[np.bool_]:
        """Which ones are there."""
        return self._part_of >= 0

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Numbers (-1: none) -> pooled vectors ``[n, D]``; zeros for -1."""
        out = np.zeros((len(rows), self.width), np.float32)
        part_of = np.where(rows < 0, -1, self._part_of[rows])
        for part in np.unique(part_of[part_of >= 0]):
            here = np.flatnonzero(part_of == part)
            out[here] = self._parts[part].table["vector"][self._row_of[rows[here]]]
        return out

    def gather_tokens(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Numbers (-1: none) -> tokens ``[n, T, D]`` and mask ``[n, T]``; zeros for -1 and behind the end."""
        found = [self._tokens(int(row)) for row in rows]
        longest = max((len(one) for one in found), default=0) or 1
        tokens = torch.zeros(len(rows), longest, self.width)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for number, one in enumerate(found):
            if len(one):
                tokens[number, : len(one)] = torch.from_numpy(np.array(one))
                mask[number, : len(one)] = True
        return tokens, mask

    def _tokens(self, row: int) -> NDArray[np.float16]:
        part = self._parts[self._part_of[row]] if row >= 0 else None
        if part is None or part.tokens is None:
            return np.zeros((0, self.width), np.float16)
        entry = part.table[self._row_of[row]]
        own: NDArray[np.float16] = part.tokens[entry["start"] : entry["start"] + entry["length"]]
        return own


def find(folder: Path, digests: NDArray[np.bytes_]) -> Embeddings:
    """What ``folder`` has of these."""
    parts = [_open(path) for path in sorted(folder.glob("part-*.npy"))]
    part_of, row_of = np.full(len(digests), -1), np.zeros(len(digests), np.int64)
    for number, part in enumerate(parts):
        known = part.table["digest"]
        order = np.argsort(known)
        place = np.searchsorted(known, digests, sorter=order).clip(max=len(known) - 1)
        hit = known[order[place]] == digests
        part_of[hit], row_of[hit] = number, order[place[hit]]
    return Embeddings(parts, part_of, row_of)


def write(
    folder: Path, digests: NDArray[np.bytes_], vectors: NDArray[np.float32], tokens: list[NDArray[np.float16]] | None
) -> None:
    """Add a part: ``vectors`` ``[n, D]`` and, if they are to be kept, the tokens of each. Whole, or not there."""
    name = digest(*(bytes(one) for one in digests))[:16]
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
        ("digest", "S64"),
        ("vector", "<f4", (vectors.shape[1],)),
    ]
    if tokens is not None:
        fields += [("start", "<i8"), ("length", "<i4")]
    table = np.empty(len(digests), dtype=fields)
    table["digest"], table["vector"] = digests, vectors
    if tokens is not None:
        lengths = np.array([len(one) for one in tokens])
        table["start"], table["length"] = np.cumsum(lengths) - lengths, lengths
        _save(folder / f"tokens-{name}.npy", np.concatenate(tokens))
    _save(folder / f"part-{name}.npy", table)


def half(tokens: Tensor) -> NDArray[np.float16]:
    """Tokens as they are kept: float16, without infinity."""
    return tokens.float().clamp(-LARGEST_HALF, LARGEST_HALF).half().cpu().numpy()


def _open(path: Path) -> Part:
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    beside = path.with_name(path.name.replace("part-", "tokens-", 1))
    kept = "start" in (table.dtype.names or ())
    return Part(table, np.load(beside, mmap_mode="r", allow_pickle=False) if kept else None)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    # By write() and not np.save(file), which hides that a disk is full.
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.getbuffer())
