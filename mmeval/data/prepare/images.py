"""The first half of preparing: all images of a source, in shards that a killed process leaves whole."""

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
from mmeval.data.fingerprint import of_images
from mmeval.data.prepare.shard import Given, facts, make_all, write_shard
from mmeval.data.store_files import IMAGES, IMAGES_INFO, ImageFacts, again, read_facts, require_whole
from mmeval.errors import DataError
from mmeval.files import sweep, write_text
from mmeval.integrity import DamageError, content_digest, read_sealed, sealed

if TYPE_CHECKING:
    from mmeval.api.source import Source

SHARD = 8192
"""Images per shard. What is lost by a kill is one shard."""


@dataclass(frozen=True)
class PreparedImages:
    """The images of a data set, prepared."""

    folder: Path
    count: int
    digest: str
    """SHA-256 over all images in their order."""
    shards: dict[str, str]
    """SHA-256 of each file, by its name."""
    rejected: dict[str, str]
    """Reason by key."""
    repaired: dict[str, str]
    """What was mended, by key."""

    def rows(self) -> dict[str, int]:
        """The row of each key."""
        keys = (key for path in _shards(self.folder) for key in _table(path)["key"].to_pylist())
        return {key: row for row, key in enumerate(keys)}


def prepare_images(source: Source, folder: Path, name: str) -> PreparedImages:
    """Prepare the images of ``source`` in ``folder``, unless they are there; hold a lock around it.

    An attempt that was cut short goes on with the shard that it was at, or with the first that is damaged.

    Raises:
        DataError: a key comes twice, or what is there is damaged.
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
    facts = read_facts(folder / IMAGES_INFO, ImageFacts, again(folder))
    if not fresh:
        shards = {path.name for path in _shards(folder)}
        require_whole(folder, facts["shards"], shards, f"the images of {name}", again(folder))
    return PreparedImages(folder, **{field: facts[field] for field in ImageFacts.model_fields})


def _prepare(source: Source, work: Path, name: str) -> None:
    given = _unique(source.images(), name)
    done, aside = 0, 0
    with progress(f"Preparing {name}", source.size, "images") as advance:
        for known in _done(work):
            seen = facts([key for key, _ in itertools.islice(given, known["given"])])
            if seen != {fact: known[fact] for fact in seen}:
                shutil.rmtree(work)
                raise DataError(f"{name} changed since its preparation began; that is removed now: run again.")
            aside += len(known["rejected"])
            advance(known["given"], **_aside(aside))
            done += 1
        with contextlib.closing(make_all(given, SHARD)) as made:
            for number in itertools.count(done):
                first = next(made, None)
                if first is None and number:
                    break
                rest = itertools.chain([first] if first else [], made)
                shard = work / f"{IMAGES}-{number:05}.arrow"
                known = write_shard(shard, rest, SHARD, partial(_show, advance, aside))
                # After the shard: with it, the shard is done.
                write_text(_sidecar(work, number), sealed(known))
                aside += len(known["rejected"])
    _sum_up(work)


def _sum_up(work: Path) -> None:
    digests: list[str] = []
    shards: dict[str, str] = {}
    rejected: dict[str, str] = {}
    repaired: dict[str, str] = {}
    for path, one in zip(_shards(work), map(read_sealed, _sidecars(work)), strict=True):
        rejected |= one["rejected"]
        repaired |= one["repaired"]
        shards[path.name] = one["sha256"]
        digests += _table(path)["digest"].to_pylist()
    known = {"count": len(digests), "digest": of_images(digests), "shards": shards}
    # From here on the sidecars aren't needed.
    write_text(work / IMAGES_INFO, sealed(known | {"rejected": rejected, "repaired": repaired}))


def _unique(given: Iterator[Given], name: str) -> Iterator[Given]:
    seen: set[str] = set()
    for key, image in given:
        if key in seen:
            raise DataError(f'{name}: the image "{key}" comes twice.')
        seen.add(key)
        yield key, image


def _show(advance: Advance, before: int, made: int, aside: int) -> None:
    advance(made, **_aside(before + aside))


def _aside(count: int) -> dict[str, str]:
    return {"rejected": f"{count:,}"} if count else {}


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{IMAGES}-*.arrow"))


def _sidecar(work: Path, number: int) -> Path:
    return work / f"{IMAGES}-{number:05}.json"


def _done(work: Path) -> Iterator[dict[str, Any]]:
    """What is known of the shards of an earlier attempt, up to the first that is lacking or damaged."""
    for number, sidecar in enumerate(_sidecars(work)):
        try:
            known = read_sealed(sidecar)
            if content_digest(work / f"{IMAGES}-{number:05}.arrow") != known["sha256"]:
                return
        except (DamageError, OSError):
            return
        yield known


def _sidecars(work: Path) -> list[Path]:
    """Of the shards that are done, without a gap."""
    found = itertools.takewhile(Path.is_file, (_sidecar(work, number) for number in itertools.count()))
    return list(found)


def _table(path: Path) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
