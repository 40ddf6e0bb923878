"""Source -> Store: written once, whole, by one process, and held against its card."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmeval.console import note, progress
from mmeval.data.card import differences, read_card
from mmeval.data.store import EXAMPLES, IMAGES, INFO, LABEL, SCHEMA_VERSION, SLICE, Store
from mmeval.errors import DataError
from mmeval.files import atomic_folder, digest, lock
from mmeval.home import home

if TYPE_CHECKING:
    from mmeval.plugin.model import Task
    from mmeval.plugin.source import Example, Source
    from mmeval.plugin.spec import DatasetSpec

BATCH = 1000


def store_folder(spec: DatasetSpec, source: Source) -> Path:
    """Where the Store of this source is, or will be: a folder per identity of the source."""
    parts: list[object] = [SCHEMA_VERSION, sorted(source.identity.items())]
    identity = digest(json.dumps([*parts, spec.code] if spec.code else parts))
    return home() / "stores" / spec.name / identity[:16]


def prepare(spec: DatasetSpec) -> Store:
    """Open the Store of a data set; build it first where there is none.

    Two processes may call this at once: one builds, the other waits. A process killed half-way leaves nothing that
    is taken for a Store.

    Raises:
        UserError: the source is missing or bad, or the data is not as its card says.
    """
    source = spec.source()
    folder = store_folder(spec, source)
    if not (folder / INFO).is_file():
        with lock(folder.parent / f"{folder.name}.lock"):
            if not (folder / INFO).is_file():
                if folder.exists():
                    raise DataError(f"{folder} holds no prepared data set; remove the folder and run again.")
                _build(spec, source, folder)
    return Store(folder)


def _build(spec: DatasetSpec, source: Source, folder: Path) -> None:
    with atomic_folder(folder) as temporary:
        keys, pictures = _write_images(temporary, source, spec.name)
        seen = _write_examples(temporary, source, keys)
        tasks = [{"name": task.name, "classes": task.classes} for task in source.tasks]
        info = {
            "schema": SCHEMA_VERSION,
            "name": spec.name,
            "fingerprint": digest(pictures, seen.sha.hexdigest(), json.dumps(tasks)),
            "identity": dict(source.identity),
            "tasks": tasks,
            "languages": sorted(seen.languages),
            "splits": dict(seen.splits),
            "images": len(keys),
        }
        (temporary / INFO).write_text(json.dumps(info, indent=1, ensure_ascii=False), encoding="utf-8")
        wrong = differences(read_card(spec.card), Store(temporary))
        if wrong:
            raise DataError(f"{spec.name} is not as its data card says ({spec.card.name}): {'; '.join(wrong)}.")
    note(f"Prepared {spec.name}: {len(seen.ids):,} examples, {len(keys):,} pictures, in {folder}")


def _write_images(folder: Path, source: Source, name: str) -> tuple[dict[str, int], str]:
    """Write each picture once; returns the row of each key and a digest over all pictures."""
    import pyarrow as pa

    keys: dict[str, int] = {}
    sha = hashlib.sha256()

    def rows() -> Iterator[dict[str, Any]]:
        with progress(f"Preparing {name}", source.size, "pictures") as advance:
            for key, data in source.images():
                if key in keys:
                    raise DataError(f'{name}: the picture "{key}" comes twice.')
                keys[key] = len(keys)
                one = hashlib.sha256(data).hexdigest()
                sha.update(one.encode())
                advance()
                yield {"digest": one, "bytes": data}

    _write(folder / f"{IMAGES}-00000.arrow", pa.schema({"digest": pa.string(), "bytes": pa.binary()}), rows())
    return keys, sha.hexdigest()


@dataclass
class _Seen:
    """What passed by while the examples were written."""

    ids: set[str] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)
    splits: Counter[str] = field(default_factory=Counter)
    sha: hashlib._Hash = field(default_factory=hashlib.sha256)


def _write_examples(folder: Path, source: Source, images: dict[str, int]) -> _Seen:
    import pyarrow as pa

    seen, tasks = _Seen(), source.tasks
    indices = {task.name: {name: index for index, name in enumerate(task.classes)} for task in tasks}

    def rows() -> Iterator[dict[str, Any]]:
        for example in source.examples():
            row = _row(example, tasks, indices, images)
            if example.id in seen.ids:
                raise DataError(f'The id "{example.id}" stands for two examples.')
            if sorted(example.slices) != names:
                raise DataError(f"Example {example.id} has the slices {sorted(example.slices)}, others have {names}.")
            seen.ids.add(example.id)
            seen.languages.add(example.language)
            seen.splits[example.split] += 1
            seen.sha.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
            yield row

    first = next(iter(source.examples()), None)
    if first is None:
        raise DataError("The source has no examples.")
    names = sorted(first.slices)
    text = {name: pa.string() for name in ("id", "text", "language", "split", "cluster")}
    labels = {LABEL + task.name: pa.int32() for task in tasks}
    slices = {SLICE + name: pa.string() for name in names}
    schema = pa.schema({**text, "image": pa.int32(), **labels, **slices})
    _write(folder / f"{EXAMPLES}-00000.arrow", schema, rows())
    return seen


def _row(
    example: Example, tasks: tuple[Task, ...], indices: dict[str, dict[str, int]], images: dict[str, int]
) -> dict[str, Any]:
    labels = {}
    for task in tasks:
        name = example.labels.get(task.name)
        if name is not None and name not in indices[task.name]:
            raise DataError(f'Example {example.id}: "{name}" is no class of {task.name}.')
        labels[LABEL + task.name] = -1 if name is None else indices[task.name][name]
    if example.image is not None and example.image not in images:
        raise DataError(f'Example {example.id} names the picture "{example.image}", which the source does not have.')
    return {
        "id": example.id,
        "text": example.text,
        "language": example.language,
        "split": example.split,
        "cluster": example.cluster or example.id,
        "image": -1 if example.image is None else images[example.image],
        **labels,
        **{SLICE + name: value for name, value in example.slices.items()},
    }


def _write(path: Path, schema: Any, rows: Iterator[dict[str, Any]]) -> None:  # noqa: ANN401 - an untyped library's
    """Write rows as an Arrow stream, the format that ``datasets`` memory-maps."""
    import itertools

    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        while block := list(itertools.islice(rows, BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(block, schema=schema))
