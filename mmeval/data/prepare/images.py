"""Preparation of all images of a source in shards, resumable after a kill; ``image`` converts each of them."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmeval.console import Advance, progress
from mmeval.data.fingerprint import images_digest
from mmeval.data.prepare.shard import SourceImage, convert_all, facts, write_shard
from mmeval.data.store_files import IMAGES, IMAGES_INFO, ImageFacts, how_to_rebuild, read_facts, require_intact
from mmeval.errors import DataError
from mmeval.files import sweep, write_text
from mmeval.integrity import DamageError, content_digest, read_sealed, sealed

if TYPE_CHECKING:
    from mmeval.api.source import Source

SHARD = 8192
"""Images per shard. A kill loses at most one shard."""


@dataclass(frozen=True)
class PreparedImages:
    """The prepared images of a data set."""

    folder: Path
    count: int
    digest: str
    """SHA-256 over all images in their order."""
    shards: dict[str, str]
    """SHA-256 of each file, by its name."""
    rejected: dict[str, str]
    """Reason for rejecting an image, by key."""
    repaired: dict[str, str]
    """Description of a repaired defect, by key."""

    def rows(self) -> dict[str, int]:
        """Return the row of each image, by key."""
        keys = (key for path in _shards(self.folder) for key in _table(path)["key"].to_pylist())
        return {key: row for row, key in enumerate(keys)}


def prepare_images(source: Source, folder: Path, name: str) -> PreparedImages:
    """Prepare the images of ``source`` in ``folder`` if necessary. The caller holds a lock on the folder.

    After an interrupted attempt, preparation continues with the first shard that is missing or damaged.

    Raises:
        DataError: a key is duplicated, or existing files are damaged.
    """
    fresh = not (folder / IMAGES_INFO).is_file()
    if fresh:
        if folder.exists():
            raise DataError(f"{folder} lacks its {IMAGES_INFO}; remove the folder and run again.")
        work = folder.with_name(f"{folder.name}.unfinished")
        work.mkdir(parents=True, exist_ok=True)
        sweep(work)
        if not (work / IMAGES_INFO).is_file():
            _prepare(source, work, name)
        for sidecar in work.glob(f"{IMAGES}-*.json"):
            sidecar.unlink()
        work.replace(folder)
    facts = read_facts(folder / IMAGES_INFO, ImageFacts, how_to_rebuild(folder))
    if not fresh:
        shards = {path.name for path in _shards(folder)}
        require_intact(folder, facts["shards"], shards, f"the images of {name}", how_to_rebuild(folder))
    return PreparedImages(folder, **{field: facts[field] for field in ImageFacts.model_fields})


def _prepare(source: Source, work: Path, name: str) -> None:
    images = _unique(source.images(), name)
    done, rejected = 0, 0
    with progress(f"Preparing {name}", source.size, "images") as advance:
        for shard_facts in _done(work):
            seen = facts([key for key, _ in itertools.islice(images, shard_facts["given"])])
            if seen != {fact: shard_facts[fact] for fact in seen}:
                shutil.rmtree(work)
                raise DataError(
                    f"{name} has changed since its preparation began; the unfinished files are removed: run again."
                )
            rejected += len(shard_facts["rejected"])
            advance(shard_facts["given"], **_rejected_column(rejected))
            done += 1
        with contextlib.closing(convert_all(images, SHARD)) as converted:
            for number in itertools.count(done):
                first = next(converted, None)
                if first is None and number:
                    break
                rest = itertools.chain([first] if first else [], converted)
                shard = work / f"{IMAGES}-{number:05}.arrow"
                shard_facts = write_shard(shard, rest, SHARD, partial(_show, advance, rejected))
                # Written after the shard: the sidecar marks the shard as complete.
                write_text(_sidecar(work, number), sealed(shard_facts))
                rejected += len(shard_facts["rejected"])
    _sum_up(work)


def _sum_up(work: Path) -> None:
    digests: list[str] = []
    shards: dict[str, str] = {}
    rejected: dict[str, str] = {}
    repaired: dict[str, str] = {}
    for path, sidecar in zip(_shards(work), map(read_sealed, _sidecars(work)), strict=True):
        rejected |= sidecar["rejected"]
        repaired |= sidecar["repaired"]
        shards[path.name] = sidecar["sha256"]
        digests += _table(path)["digest"].to_pylist()
    total = {"count": len(digests), "digest": images_digest(digests), "shards": shards}
    # From here on the JSON files beside the shards are not needed.
    write_text(work / IMAGES_INFO, sealed(total | {"rejected": rejected, "repaired": repaired}))


def _unique(images: Iterator[SourceImage], name: str) -> Iterator[SourceImage]:
    seen: set[str] = set()
    for key, image in images:
        if key in seen:
            raise DataError(f'{name}: the image "{key}" occurs twice.')
        seen.add(key)
        yield key, image


def _show(advance: Advance, rejected_before: int, done: int, rejected: int) -> None:
    advance(done, **_rejected_column(rejected_before + rejected))


def _rejected_column(count: int) -> dict[str, str]:
    """Return the extra column of the progress bar."""
    return {"rejected": f"{count:,}"} if count else {}


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{IMAGES}-*.arrow"))


def _sidecar(work: Path, number: int) -> Path:
    return work / f"{IMAGES}-{number:05}.json"


def _done(work: Path) -> Iterator[dict[str, Any]]:
    """Yield the facts of each shard of an earlier attempt, up to the first that is missing or damaged."""
    for number, sidecar in enumerate(_sidecars(work)):
        try:
            shard_facts = read_sealed(sidecar)
            if content_digest(work / f"{IMAGES}-{number:05}.arrow") != shard_facts["sha256"]:
                return
        except (DamageError, OSError):
            return
        yield shard_facts


def _sidecars(work: Path) -> list[Path]:
    """Return the sidecars of the complete shards, up to the first gap."""
    return list(itertools.takewhile(Path.is_file, (_sidecar(work, number) for number in itertools.count())))


def _table(path: Path) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
