"""Preparation of a Store from a source, and the check against the data card."""

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
from mmeval.data.prepare.examples import LONGEST_TEXT, WrittenExamples, write_examples, write_rejected
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
"""Number of rejected rows that a message names; rejected.parquet lists them all."""


def store_folder(spec: DatasetSpec, source: Source, *, released: bool = True) -> Path:
    """Return the folder of a source's Store: one per identity of the source, variant and ``released``."""
    parts: list[object] = [*_identity(spec, source), *([spec.variant] if spec.variant else [])]
    return stores(spec.name) / _hash([*parts, *([] if released else ["not the release"])])


def images_folder(spec: DatasetSpec, source: Source) -> Path:
    """Return the folder of a source's images, which its variants share."""
    return stores(spec.name) / "pictures" / _hash([*_identity(spec, source), IMAGE_RULE])


def _identity(spec: DatasetSpec, source: Source) -> list[object]:
    parts: list[object] = [SCHEMA_VERSION, sorted(source.identity.items())]
    return [*parts, spec.code] if spec.code else parts


def _hash(parts: list[object]) -> str:
    return digest(json.dumps(parts))[:16]


def prepare(spec: DatasetSpec, source: Source | None = None, *, released: bool = True) -> Store:
    """Open the Store of a data set, and build it first if necessary.

    Two processes may call this at once: one builds, the other waits. A killed process leaves no incomplete Store; the
    next call continues with the missing images.

    Args:
        spec: the data set.
        source: the open source of a data set that is read from files; None to call ``spec.source``.
        released: whether the data must agree with its card. If not, differences are recorded in the Store.

    Raises:
        UserError: the source is missing or invalid, or the data differs from its card.
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
                _note_older_stores(spec)
                _build(spec, source, folder, released=released)
    return open_store(spec, folder)


def _note_older_stores(spec: DatasetSpec) -> None:
    """Tell the user about Stores of older versions of mmeval, which are not used."""
    older = sorted(
        path.parent.name for path in stores(spec.name).glob(f"*/{INFO}") if schema_of(path.parent) in OLDER_SCHEMAS
    )
    if older:
        where = f"{', '.join(older)} in {stores(spec.name)}"
        note(f"{spec.name} is prepared again: {where} was written by an older version of mmeval and can be removed")


def open_store(spec: DatasetSpec, folder: Path) -> Store:
    """Open a prepared Store, with the class names of the current data card.

    Raises:
        UserError: the folder holds no Store, or the card can't be read.
    """
    return Store(folder, read_card(spec.card, spec.variant).class_names if spec.card else None)


def _build(spec: DatasetSpec, source: Source, folder: Path, *, released: bool) -> None:
    # Imported here, because it imports torch, which is not needed to open a Store.
    from mmeval.data.prepare.images import prepare_images

    # Remove what killed processes left of this data set, which may be gigabytes.
    sweep(folder.parent)
    shared = images_folder(spec, source)
    shared.parent.mkdir(parents=True, exist_ok=True)
    # A lock of its own, because two variants may be prepared at once.
    with lock(shared.parent / f"{shared.name}.lock"):
        images = prepare_images(source, shared, spec.full_name)
    with atomic_folder(folder) as temporary:
        written = write_examples(temporary, source, images, spec.full_name)
        write_rejected(temporary / REJECTED, written.rejected)
        facts = _facts(spec, source, images, written, released=released)
        facts["files"] = {path.name: content_digest(path) for path in sorted(temporary.iterdir())}
        _write(temporary, facts | {"pictures": str(shared)})
        store = Store(temporary)
        mismatches = differences(read_card(spec.card, spec.variant), store) if spec.card else []
        if released:
            _require_agreement(spec, mismatches, written, folder)
        facts |= {"spanning": spanning(store), "differences": [difference.text for difference in mismatches]}
        _write(temporary, facts | {"pictures": f"../pictures/{shared.name}"})
    _report(spec, Store(folder), images, mismatches)


def _facts(
    spec: DatasetSpec, source: Source, images: PreparedImages, written: WrittenExamples, *, released: bool
) -> dict[str, Any]:
    tasks = [task.as_json() for task in source.tasks]
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


def _require_agreement(spec: DatasetSpec, mismatches: list[Difference], written: WrittenExamples, folder: Path) -> None:
    """Refuse data that differs from its card, and keep the list of rejected rows beside the folder.

    Raises:
        DataError: a verified fact on the card differs.
    """
    wrong = [difference.text for difference in mismatches if difference.verified]
    if not wrong:
        return
    assert spec.card is not None
    if written.rejected:
        list_path = folder.with_name(f"{folder.name}.{REJECTED}")
        with atomic_path(list_path) as path:
            write_rejected(path, written.rejected)
        shown = "; ".join(f"{row.where}: {row.reason}" for row in written.rejected[:SHOWN])
        more = "; ..." if len(written.rejected) > SHOWN else ""
        wrong.append(f"rejected rows: {shown}{more} (all in {list_path})")
    advice = " --allow-mismatch accepts it, and marks every score of it." if spec.archive else ""
    raise DataError(f"{spec.full_name} differs from its data card ({spec.card.name}): {'; '.join(wrong)}.{advice}")


def spanning(store: Store) -> dict[str, int]:
    """Return the number of clusters with examples in several splits, by the splits: ``{"test+train": 12}``."""
    import pyarrow.compute as pc

    pairs = store.examples.select(["cluster", "split"]).group_by(["cluster", "split"]).aggregate([])
    several = pairs.group_by("cluster").aggregate([("split", "count"), ("split", "list")])
    several = several.filter(pc.greater(several["split_count"], 1))
    counts = Counter("+".join(sorted(splits)) for splits in several["split_list"].to_pylist())
    return dict(sorted(counts.items()))


def _few(names: Mapping[str, int]) -> str:
    few = ", ".join(f'"{name}" ({rows:,} rows)' for name, rows in list(names.items())[:SHOWN])
    return f"{few}{', ...' if len(names) > SHOWN else ''}"


def _report(spec: DatasetSpec, store: Store, images: PreparedImages, mismatches: list[Difference]) -> None:
    """Tell the user the result of the preparation."""
    count = sum(store.split_sizes.values())
    note(f"Prepared {spec.full_name}: {count:,} examples, {store.image_count:,} images, in {store.folder}")
    if store.rejected_count:
        note(f"Rejected: {store.rejected_count:,} rows, each with its reason in {store.folder / REJECTED}")
    for task, names in store.unknown_labels.items():
        note(f"Without a label of {task}, because the label is not a class: {_few(names)}")
    for task, names in store.left_out_labels.items():
        rows = sum(names.values())
        note(f"Without a label of {task}, because {spec.full_name} leaves its class out: {rows:,} rows, {_few(names)}")
    if store.cut_count:
        texts = f"{store.cut_count:,} text{'' if store.cut_count == 1 else 's'}"
        note(f"Cut to {LONGEST_TEXT:,} characters: {texts}")
    if images.repaired:
        note(f"Repaired as far as possible: {len(images.repaired):,} truncated or damaged images")
    for splits, clusters in store.info["spanning"].items():
        where = " and ".join(splits.split("+"))
        note(f"In two splits: {clusters:,} clusters (rows that belong together) have examples in {where}")
    for difference in mismatches:
        unverified = "" if difference.verified else ", in an unverified fact"
        note(f"Differs from the card{unverified}: {difference.text}")
