"""The embedding cache on disk: checked parts of vectors and tokens, looked up by the digest of the embedded content."""

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

FLOAT16_MAX = 65504.0


class CachePart(NamedTuple):
    """One block of cached embeddings, memory-mapped."""

    table: NDArray[np.void]
    """A row per image or text: ``digest``, ``vector`` and, if cached, ``start`` and ``length`` of its tokens."""
    tokens: NDArray[np.float16] | None
    """The tokens of all rows, one after the other: ``[sum of lengths, D]``."""


class Embeddings:
    """The embeddings of a list of images or texts, addressed by their numbers in that list."""

    def __init__(self, parts: list[CachePart], part_of: NDArray[np.int64], row_of: NDArray[np.int64]) -> None:
        """Item ``i`` is row ``row_of[i]`` of ``parts[part_of[i]]``; a part of -1 means that it is not cached."""
        self._parts, self._part_of, self._row_of = parts, part_of, row_of
        self.width = parts[0].table["vector"].shape[1] if parts else 0

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each item is cached."""
        return self._part_of >= 0

    def gather(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the pooled vectors ``[n, D]`` of ``items``; a number of -1 gives zeros."""
        out = np.zeros((len(items), self.width), np.float32)
        part_of = np.where(items < 0, -1, self._part_of[items])
        for part in np.unique(part_of[part_of >= 0]):
            selected = np.flatnonzero(part_of == part)
            out[selected] = self._parts[part].table["vector"][self._row_of[items[selected]]]
        return out

    def gather_tokens(self, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the tokens ``[n, T, D]`` of ``items`` and their mask ``[n, T]``.

        ``T`` is the largest number of tokens (at least 1). Padding is zero, and so are all tokens of a number of -1.
        """
        rows = [self._tokens(int(item)) for item in items]
        longest = max((len(row) for row in rows), default=0) or 1
        tokens = torch.zeros(len(items), longest, self.width)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        for number, row in enumerate(rows):
            if len(row):
                tokens[number, : len(row)] = torch.from_numpy(np.array(row))
                mask[number, : len(row)] = True
        return tokens, mask

    def _tokens(self, item: int) -> NDArray[np.float16]:
        part = self._parts[self._part_of[item]] if item >= 0 else None
        if part is None or part.tokens is None:
            return np.zeros((0, self.width), np.float16)
        entry = part.table[self._row_of[item]]
        tokens: NDArray[np.float16] = part.tokens[entry["start"] : entry["start"] + entry["length"]]
        return tokens


def read_embeddings(folder: Path, digests: NDArray[np.bytes_]) -> Embeddings:
    """Return the cached embeddings of ``digests``; damaged parts are removed, and their items count as not cached."""
    parts = [_open_part(path) for path in _usable_parts(folder)]
    part_of, row_of = np.full(len(digests), -1), np.zeros(len(digests), np.int64)
    for number, part in enumerate(parts):
        known = part.table["digest"]
        order = np.argsort(known)
        position = np.searchsorted(known, digests, sorter=order).clip(max=len(known) - 1)
        matches = known[order[position]] == digests
        part_of[matches], row_of[matches] = number, order[position[matches]]
    return Embeddings(parts, part_of, row_of)


def write_part(
    folder: Path, digests: NDArray[np.bytes_], vectors: NDArray[np.float32], tokens: list[NDArray[np.float16]] | None
) -> None:
    """Add a part to the cache: ``vectors`` ``[n, D]`` and, unless None, the tokens ``[T_i, D]`` of each item.

    The part becomes visible only when all its files are written.
    """
    name = digest(*(bytes(value) for value in digests))[:16]
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
        ("digest", "S64"),
        ("vector", "<f4", (vectors.shape[1],)),
    ]
    if tokens is not None:
        fields += [("start", "<i8"), ("length", "<i4")]
    table = np.empty(len(digests), dtype=fields)
    table["digest"], table["vector"] = digests, vectors
    files = {}
    with lock(_lock_path(folder)):
        if tokens is not None:
            lengths = np.array([len(row) for row in tokens])
            table["start"], table["length"] = np.cumsum(lengths) - lengths, lengths
            files[f"tokens-{name}.npy"] = _save(folder / f"tokens-{name}.npy", np.concatenate(tokens))
        files[f"part-{name}.npy"] = _save(folder / f"part-{name}.npy", table)
        # Written last, because readers look for this file.
        write_text(folder / f"part-{name}.json", sealed({"key": folder.name, "files": files}))


def to_float16(tokens: Tensor) -> NDArray[np.float16]:
    """Return tokens as the cache stores them: float16, clamped to its range so that none becomes infinite."""
    return tokens.float().clamp(-FLOAT16_MAX, FLOAT16_MAX).half().cpu().numpy()


def _usable_parts(folder: Path) -> list[Path]:
    """Return the parts whose files have their recorded digests; remove all other files, with a note."""
    usable, damaged = _check_parts(folder)
    if damaged or _leftovers(folder):
        # If another process is writing here now, a later call cleans up.
        with contextlib.suppress(LockedError, OSError), lock(_lock_path(folder), wait=False):
            # Check again under the lock: a part that looked damaged may have been half written.
            usable, damaged = _check_parts(folder)
            _remove(folder, damaged)
    return usable


def _check_parts(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the ``.npy`` files of the parts that are intact, and the ``.json`` files of those that are damaged."""
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


def _leftovers(folder: Path) -> list[Path]:
    """Return the files that belong to no part: an interrupted process or an older version left them."""
    names = {path.name for path in folder.glob("*")}
    parts = {name.removeprefix("part-").removesuffix(".json") for name in names if name.endswith(".json")}
    own = {name for part in parts for name in (f"part-{part}.json", f"part-{part}.npy", f"tokens-{part}.npy")}
    return [folder / name for name in sorted(names - own - {CHECKED})]


def _remove(folder: Path, damaged: list[Path]) -> None:
    """Remove damaged parts and leftover files; the caller holds the lock."""
    for path in damaged:
        path.unlink(missing_ok=True)
    leftovers = _leftovers(folder)
    for path in leftovers:
        path.unlink(missing_ok=True)
    if damaged:
        names = ", ".join(path.stem for path in damaged)
        note(f"Embeddings: damaged parts in {folder} are computed again ({names})")
    elif leftovers:
        note(f"Embeddings: removed {len(leftovers)} leftover files of an interrupted or older mmeval from {folder}")


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _open_part(path: Path) -> CachePart:
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    tokens_path = path.with_name(path.name.replace("part-", "tokens-", 1))
    has_tokens = "start" in (table.dtype.names or ())
    return CachePart(table, np.load(tokens_path, mmap_mode="r", allow_pickle=False) if has_tokens else None)


def _save(path: Path, array: NDArray[np.generic]) -> str:
    """Write an array to an ``.npy`` file; returns the SHA-256 of the file."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    # np.save(path) would hide that the disk is full; write_bytes does not.
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.getbuffer())
    return hashlib.sha256(data.getbuffer()).hexdigest()
