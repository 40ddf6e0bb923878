"""The first half of preparing: all pictures of a source, in shards that a killed process leaves whole."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mmeval.console import progress
from mmeval.data.loader import cores, in_order
from mmeval.data.picture import Stored, stored
from mmeval.data.store import IMAGES
from mmeval.errors import DataError
from mmeval.files import atomic_path, file_digest, write_text

if TYPE_CHECKING:
    from mmeval.plugin.source import Picture, Source

DONE = "pictures.json"
SCHEMA = pa.schema({"key": pa.string(), "digest": pa.string(), "bytes": pa.binary()})
TASK, BATCH, SHARD = 32, 1024, 8192
"""Pictures per task of a thread, per record batch, per shard. What is lost by a kill is one shard."""

Given = tuple[str, "Picture | Callable[[], Picture]"]


class Problem(NamedTuple):
    """A picture that was set aside, or mended."""

    key: str
    reason: str


@dataclass(frozen=True)
class Pictures:
    """The pictures of a data set, prepared."""

    folder: Path
    count: int
    digest: str
    """SHA-256 over all pictures in their order."""
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


def prepare_pictures(source: Source, folder: Path, name: str) -> Pictures:
    """Prepare the pictures of ``source`` in ``folder``, unless they are there; hold a lock around it.

    An attempt that was cut short goes on with the shard that it was at.

    Raises:
        DataError: a key comes twice.
    """
    if not (folder / DONE).is_file():
        work = folder.with_name(f"{folder.name}.unfinished")
        work.mkdir(parents=True, exist_ok=True)
        _prepare(source, work, name)
        work.replace(folder)
    info = json.loads((folder / DONE).read_text(encoding="utf-8"))
    return Pictures(folder, **info)


def _prepare(source: Source, work: Path, name: str) -> None:
    given = _unique(source.images(), name)
    done = 0
    with progress(f"Preparing {name}", source.size, "pictures") as advance:
        for sidecar in _sidecars(work):
            known = json.loads(sidecar.read_text(encoding="utf-8"))
            keys = [key for key, _ in itertools.islice(given, known["given"])]
            if [keys[0], keys[-1], len(keys)] != [known["first"], known["last"], known["given"]]:
                shutil.rmtree(work)
                raise DataError(f"{name} changed since its preparation began; that is removed now: run again.")
            advance(len(keys))
            done += 1
        for number in itertools.count(done):
            part = list(itertools.islice(given, SHARD))
            if not part and number:
                break
            _write_shard(work, number, part, advance)
    digest, count, shards = hashlib.sha256(), 0, {}
    rejected: dict[str, str] = {}
    repaired: dict[str, str] = {}
    for path, sidecar in zip(_shards(work), _sidecars(work), strict=True):
        known = json.loads(sidecar.read_text(encoding="utf-8"))
        rejected |= known["rejected"]
        repaired |= known["repaired"]
        shards[path.name] = known["sha256"]
        digests = _table(path)["digest"].to_pylist()
        count += len(digests)
        for one in digests:
            digest.update(one.encode())
    facts = {"count": count, "digest": digest.hexdigest(), "shards": shards}
    write_text(work / DONE, json.dumps(facts | {"rejected": rejected, "repaired": repaired}, ensure_ascii=False))
    for sidecar in _sidecars(work):
        sidecar.unlink()


def _unique(given: Iterator[Given], name: str) -> Iterator[Given]:
    seen: set[str] = set()
    for key, picture in given:
        if key in seen:
            raise DataError(f'{name}: the picture "{key}" comes twice.')
        seen.add(key)
        yield key, picture


def _write_shard(work: Path, number: int, part: list[Given], advance: Callable[..., None]) -> None:
    rejected: dict[str, str] = {}
    repaired: dict[str, str] = {}
    with (
        atomic_path(work / f"{IMAGES}-{number:05}.arrow") as path,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, SCHEMA) as writer,
    ):
        rows: list[tuple[str, Stored]] = []
        tasks = (part[start : start + TASK] for start in range(0, len(part), TASK))
        for made in in_order(tasks, _make, workers=cores()):
            for key, one in made:
                if isinstance(one, str):
                    rejected[key] = one
                    continue
                if one.repaired:
                    repaired[key] = one.repaired
                rows.append((key, one))
            advance(len(made), **({"set aside": f"{len(rejected):,}"} if rejected else {}))
            if len(rows) >= BATCH:
                writer.write_batch(_batch(rows))
                rows = []
        writer.write_batch(_batch(rows))
    first, last = (part[0][0], part[-1][0]) if part else ("", "")
    facts: dict[str, Any] = {"given": len(part), "first": first, "last": last}
    facts["sha256"] = file_digest(work / f"{IMAGES}-{number:05}.arrow")
    # After the shard: with it, the shard is done.
    write_text(_sidecar(work, number), json.dumps(facts | {"rejected": rejected, "repaired": repaired}))


def _make(part: list[Given]) -> list[tuple[str, Stored | str]]:
    return [(key, _made(picture)) for key, picture in part]


def _made(picture: Picture | Callable[[], Picture]) -> Stored | str:
    """The picture for the Store, or why there is none."""
    try:
        return stored(picture() if callable(picture) else picture)
    except DataError as error:
        return str(error)
    except FileNotFoundError:
        return "the picture's file is not there"


def _batch(rows: list[tuple[str, Stored]]) -> pa.RecordBatch:
    columns = [key for key, _ in rows], [one.digest for _, one in rows], [one.data for _, one in rows]
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{IMAGES}-*.arrow"))


def _sidecar(work: Path, number: int) -> Path:
    return work / f"{IMAGES}-{number:05}.json"


def _sidecars(work: Path) -> list[Path]:
    """Of the shards that are done, without a gap."""
    found = itertools.takewhile(Path.is_file, (_sidecar(work, number) for number in itertools.count()))
    return list(found)


def _table(path: Path) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
