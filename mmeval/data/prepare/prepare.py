"""Source -> Store: its images, then its examples, and all held against the card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmeval.console import note
from mmeval.data.card import read_card
from mmeval.data.differences import Difference, differences
from mmeval.data.fingerprint import fingerprint
from mmeval.data.prepare.examples import LONGEST_TEXT, Written, write_examples, write_rejected
from mmeval.data.store import Store
from mmeval.data.store_files import INFO, OLDER_SCHEMAS, REJECTED, SCHEMA_VERSION, schema_of
from mmeval.errors import DataError
from mmeval.files import atomic_folder, atomic_path, digest, lock, sweep
from mmeval.home import stores
from mmeval.integrity import content_digest, sealed
from mmeval.protocol import IMAGE_RULE

if TYPE_CHECKING:
    from mmeval.api.source import Source
    from mmeval.api.spec import DatasetSpec
    from mmeval.data.prepare.images import PreparedImages

SHOWN = 3
"""Rows that a message names; the rest is in rejected.parquet."""


def store_folder(spec: DatasetSpec, source: Source, *, released: bool = True) -> Path:
    """Where the Store of this source is, or will be: a folder per identity of the source, and per variant."""
    parts: list[object] = [*_identity(spec, source), *([spec.variant] if spec.variant else [])]
    return stores(spec.name) / _short([*parts, *([] if released else ["not the release"])])


def images_folder(spec: DatasetSpec, source: Source) -> Path:
    """Where the images of this source are, which its variants share."""
    return stores(spec.name) / "pictures" / _short([*_identity(spec, source), IMAGE_RULE])


def _identity(spec: DatasetSpec, source: Source) -> list[object]:
    parts: list[object] = [SCHEMA_VERSION, sorted(source.identity.items())]
    return [*parts, spec.code] if spec.code else parts


def _short(parts: list[object]) -> str:
    return digest(json.dumps(parts))[:16]


def prepare(spec: DatasetSpec, source: Source | None = None, *, released: bool = True) -> Store:
    """Open the Store of a data set; build it first where there is none.

    Two processes may call this at once: one builds, the other waits. A process killed half-way leaves nothing that
    is taken for a Store; the next one goes on with the images that are missing.

    Args:
        spec: the data set.
        source: where it is read from, if it is read from files; else ``spec.source`` opens it.
        released: hold the data to its card. Else what differs is recorded, and the Store says that it is not the
            release.

    Raises:
        UserError: the source is missing or bad, or the data is not as its card says.
    """
    if source is None:
        assert spec.source is not None, "a data set that is read from files is opened by mmeval.data.open.resolve"
        source = spec.source()
    folder = store_folder(spec, source, released=released)
    if not (folder / INFO).is_file():
        with lock(folder.parent / f"{folder.name}.lock"):
            if not (folder / INFO).is_file():
                if folder.exists():
                    raise DataError(f"{folder} holds no prepared data set; remove the folder and run again.")
                _say_older(spec)
                _build(spec, source, folder, released=released)
    return open_store(spec, folder)


def _say_older(spec: DatasetSpec) -> None:
    """Say that what an older version of mmeval prepared is not read."""
    older = sorted(
        path.parent.name for path in stores(spec.name).glob(f"*/{INFO}") if schema_of(path.parent) in OLDER_SCHEMAS
    )
    if older:
        where = f"{', '.join(older)} in {stores(spec.name)}"
        note(f"{spec.name} is prepared again: {where} is of an older version of mmeval and may be removed")


def open_store(spec: DatasetSpec, folder: Path) -> Store:
    """A prepared Store, with the names that the data card of today gives its classes.

    Raises:
        UserError: there is no Store, or the card can't be read.
    """
    return Store(folder, read_card(spec.card, spec.variant).class_names if spec.card else None)


def _build(spec: DatasetSpec, source: Source, folder: Path, *, released: bool) -> None:
    # Here, because it brings torch, which nobody needs who opens a Store.
    from mmeval.data.prepare.images import prepare_images

    # Whatever a process that was killed left of this data set: it may hold gigabytes.
    sweep(folder.parent)
    shelf = images_folder(spec, source)
    shelf.parent.mkdir(parents=True, exist_ok=True)
    # Of its own: two variants may be prepared at once.
    with lock(shelf.parent / f"{shelf.name}.lock"):
        images = prepare_images(source, shelf, spec.full_name)
    with atomic_folder(folder) as temporary:
        written = write_examples(temporary, source, images, spec.full_name)
        write_rejected(temporary / REJECTED, written.rejected)
        facts = _facts(spec, source, images, written, released=released)
        facts["files"] = {path.name: content_digest(path) for path in sorted(temporary.iterdir())}
        _write(temporary, facts | {"pictures": str(shelf)})
        store = Store(temporary)
        found = differences(read_card(spec.card, spec.variant), store) if spec.card else []
        if released:
            _require(spec, found, written, folder)
        facts |= {"spanning": spanning(store), "differences": [one.text for one in found]}
        _write(temporary, facts | {"pictures": f"../pictures/{shelf.name}"})
    _say(spec, Store(folder), images, found)


def _facts(
    spec: DatasetSpec, source: Source, images: PreparedImages, written: Written, *, released: bool
) -> dict[str, Any]:
    tasks = [{"name": task.name, "classes": task.classes} for task in source.tasks]
    return {
        "schema": SCHEMA_VERSION,
        "name": spec.full_name if released else f"{spec.full_name}-mismatched",
        "fingerprint": fingerprint(images.digest, written.sha.hexdigest(), tasks),
        "released": released,
        "identity": dict(source.identity),
        "tasks": tasks,
        "languages": sorted(written.languages),
        "splits": dict(written.splits),
        "images": images.count,
        "rejected": len(written.rejected),
        "repaired": len(images.repaired),
        "cut": written.cut,
        "pictures_digest": images.digest,
        "unknown": {task: dict(sorted(names.items())) for task, names in sorted(written.unknown.items())},
        "left_out": {task: dict(sorted(names.items())) for task, names in sorted(written.left_out.items())},
        "attributes": {name: sorted(values) for name, values in written.attributes.items()},
    }


def _write(folder: Path, info: dict[str, Any]) -> None:
    (folder / INFO).write_text(sealed(info), encoding="utf-8")


def _require(spec: DatasetSpec, found: list[Difference], written: Written, folder: Path) -> None:
    """Refuse data that is not as its card says; what was rejected is kept beside, for its owner to look at."""
    wrong = [one.text for one in found if one.verified]
    if not wrong:
        return
    assert spec.card is not None
    if written.rejected:
        kept = folder.with_name(f"{folder.name}.{REJECTED}")
        with atomic_path(kept) as path:
            write_rejected(path, written.rejected)
        shown = "; ".join(f"{one.where}: {one.reason}" for one in written.rejected[:SHOWN])
        wrong.append(f"rejected were {shown}{'; ...' if len(written.rejected) > SHOWN else ''} (all in {kept})")
    advice = " --allow-mismatch takes it nevertheless, and says so wherever it is scored." if spec.archive else ""
    raise DataError(f"{spec.full_name} is not as its data card says ({spec.card.name}): {'; '.join(wrong)}.{advice}")


def spanning(store: Store) -> dict[str, int]:
    """Clusters that have examples in two splits, by the pair: ``{"test+train": 12}``."""
    import pyarrow.compute as pc

    pairs = store.examples.select(["cluster", "split"]).group_by(["cluster", "split"]).aggregate([])
    several = pairs.group_by("cluster").aggregate([("split", "count"), ("split", "list")])
    several = several.filter(pc.greater(several["split_count"], 1))
    counts = Counter("+".join(sorted(splits)) for splits in several["split_list"].to_pylist())
    return dict(sorted(counts.items()))


def _few(names: Mapping[str, int]) -> str:
    few = ", ".join(f'"{name}" ({rows:,} rows)' for name, rows in list(names.items())[:SHOWN])
    return f"{few}{', ...' if len(names) > SHOWN else ''}"


def _say(spec: DatasetSpec, store: Store, images: PreparedImages, found: list[Difference]) -> None:
    count = sum(store.split_sizes.values())
    note(f"Prepared {spec.full_name}: {count:,} examples, {store.image_count:,} images, in {store.folder}")
    if store.rejected_count:
        note(f"Rejected: {store.rejected_count:,} rows, each with its reason in {store.folder / REJECTED}")
    for task, names in store.unknown_labels.items():
        note(f"Without a label of {task}, because it is no class: {_few(names)}")
    for task, names in store.left_out_labels.items():
        rows = sum(names.values())
        note(f"Without a label of {task}, because {spec.full_name} leaves its class out: {rows:,} rows, {_few(names)}")
    if store.cut_count:
        texts = f"{store.cut_count:,} text{'' if store.cut_count == 1 else 's'}"
        note(f"Cut after {LONGEST_TEXT:,} characters: {texts}")
    if images.repaired:
        note(f"Mended: {len(images.repaired):,} images that are cut short or damaged, as far as they go")
    for splits, clusters in store.info["spanning"].items():
        where = " and ".join(splits.split("+"))
        note(f"In two splits: {clusters:,} clusters (rows that belong together) have examples in {where}")
    for one in found:
        note(f"Not as the card says{'' if one.verified else ' (which is unverified there)'}: {one.text}")
