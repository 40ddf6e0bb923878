"""Where embeddings are kept: parts on disk, found by the digest of what was embedded."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmeval.console import note
from mmeval.data.checksums import CHECKED, changed_files
from mmeval.files import LockedError, atomic_path, digest, lock, write_text
from mmeval.integrity import DamageError, read_sealed, sealed

LARGEST_HALF = 65504.0


class Part(NamedTuple):
    """A block of embeddings, memory-mapped."""

    table: NDArray[np.void]
    """``digest``, ``vector`` and, where tokens are kept, ``start`` and ``length`` in ``tokens``."""
    tokens: NDArray[np.float16] | None


class Embeddings:
    """The embeddings of some images or texts."""

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
    """What ``folder`` has of these; a part that is not as it was written is removed, so that it is computed again."""
    parts = [_open(path) for path in _whole_parts(folder)]
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
    files = {}
    with lock(_lock_of(folder)):
        if tokens is not None:
            lengths = np.array([len(one) for one in tokens])
            table["start"], table["length"] = np.cumsum(lengths) - lengths, lengths
            files[f"tokens-{name}.npy"] = _save(folder / f"tokens-{name}.npy", np.concatenate(tokens))
        files[f"part-{name}.npy"] = _save(folder / f"part-{name}.npy", table)
        # Last: with it, the part is there.
        write_text(folder / f"part-{name}.json", sealed({"key": folder.name, "files": files}))


def half(tokens: Tensor) -> NDArray[np.float16]:
    """Tokens as they are kept: float16, without infinity."""
    return tokens.float().clamp(-LARGEST_HALF, LARGEST_HALF).half().cpu().numpy()


def _whole_parts(folder: Path) -> list[Path]:
    """The parts that are as they were written; all else is removed, and said."""
    whole, damaged = _examined(folder)
    if damaged or _left(folder):
        # Unless another process writes there now: the next one will.
        with contextlib.suppress(LockedError, OSError), lock(_lock_of(folder), wait=False):
            # DatasetRequest again: what seemed damaged may have been half of what was being written.
            whole, damaged = _examined(folder)
            _sweep(folder, damaged)
    return whole


def _examined(folder: Path) -> tuple[list[Path], list[Path]]:
    """The parts that are whole, and the lists of those that are damaged."""
    listed, damaged = {}, []
    for path in sorted(folder.glob("part-*.json")):
        try:
            facts = read_sealed(path)
            if facts["key"] != folder.name or f"{path.stem}.npy" not in facts["files"]:
                raise DamageError("it is another encoder's, or another part's")
            listed[path] = facts["files"]
        except (DamageError, KeyError, OSError):
            damaged.append(path)
    bad = set(
        changed_files(folder, {name: sha for files in listed.values() for name, sha in files.items()}, "embeddings")
    )
    damaged += [path for path, files in listed.items() if not bad.isdisjoint(files)]
    return [path.with_suffix(".npy") for path in listed if path not in damaged], damaged


def _left(folder: Path) -> list[Path]:
    """Files that belong to no part: a killed process or an older version left them."""
    names = {path.name for path in folder.glob("*")}
    parts = {name.removeprefix("part-").removesuffix(".json") for name in names if name.endswith(".json")}
    own = {name for one in parts for name in (f"part-{one}.json", f"part-{one}.npy", f"tokens-{one}.npy")}
    return [folder / name for name in sorted(names - own - {CHECKED})]


def _sweep(folder: Path, damaged: list[Path]) -> None:
    """Remove what is damaged or left over; hold the lock around it."""
    for path in damaged:
        path.unlink(missing_ok=True)
    left = _left(folder)
    for path in left:
        path.unlink(missing_ok=True)
    if damaged:
        names = ", ".join(path.stem for path in damaged)
        note(f"Embeddings: what is damaged in {folder} is computed again ({names})")
    elif left:
        note(f"Embeddings: {len(left)} files of no part in {folder} are removed (a killed or an older mmeval's)")


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _open(path: Path) -> Part:
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    beside = path.with_name(path.name.replace("part-", "tokens-", 1))
    kept = "start" in (table.dtype.names or ())
    return Part(table, np.load(beside, mmap_mode="r", allow_pickle=False) if kept else None)


def _save(path: Path, array: NDArray[np.generic]) -> str:
    """Write an array; returns the SHA-256 of its file."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    # By write() and not np.save(file), which hides that a disk is full.
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.getbuffer())
    return hashlib.sha256(data.getbuffer()).hexdigest()
