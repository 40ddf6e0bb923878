"""In what prepared data is not as its card says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmeval.data.card import Approximate, Card, agrees
from mmeval.data.store import LABEL

if TYPE_CHECKING:
    from mmeval.data.store import Store

LEAST = 0.5
"""Share of the examples that the card says below which data can't be the release, even if nobody has counted it."""
NAMED = 5
"""Classes or languages that a message names before it only counts the rest."""


class Difference(NamedTuple):
    """One thing in which card and data differ."""

    text: str
    verified: bool
    """Whether the card counts its side as known; else a difference only warns."""


def differences(card: Card, store: Store) -> list[Difference]:
    """In what a prepared data set is not as its card says; empty if in nothing."""
    found = [Difference(text, card.verified(path)) for path, text in _differences(card, store)]
    return [*_fragment(card, store), *found]


def checked(card: Card) -> tuple[list[str], list[str]]:
    """Which facts data is held to, and which the card states but counts as unverified."""
    stated = {
        "languages": card.languages,
        "tasks": card.tasks,
        "splits": card.splits,
        "images": card.images,
        "per_language": card.per_language,
        "shares": card.shares,
        "per_class": card.per_class,
        "fingerprint": card.fingerprint,
    }
    facts = [name for name, says in stated.items() if says]
    known = {name: _verified(card, name, stated[name]) for name in facts}
    return [name for name in facts if known[name]], [name for name in facts if not known[name]]


def _verified(card: Card, name: str, says: object) -> bool:
    """Whether all of a fact is known: no part of it stands under ``unverified``."""
    parts = [f"{name}.{part}" for part in says] if isinstance(says, Mapping) else []
    return card.verified(name) and all(map(card.verified, parts))


def _fragment(card: Card, store: Store) -> Iterator[Difference]:
    """Data far smaller than its card says isn't the release, however little of the card is verified."""
    says = sum(one.number if isinstance(one, Approximate) else one for one in card.splits.values())
    has = sum(store.split_sizes.values())
    if has < LEAST * says and not _verified(card, "splits", card.splits):
        about = "about " if any(isinstance(one, Approximate) for one in card.splits.values()) else ""
        yield Difference(
            f"examples: the card says {about}{says}, the data has {has}, too few to be the release", verified=True
        )


def _differences(card: Card, store: Store) -> Iterator[tuple[str, str]]:
    """Dotted path of the fact, and what differs."""

    def compare(path: str, what: str, says: object, has: object) -> Iterator[tuple[str, str]]:
        if says != has:
            yield path, f"{what}: the card says {says}, the data has {has}"

    yield from compare("languages", "languages", sorted(card.languages), sorted(store.languages))
    yield from compare("tasks", "tasks", sorted(card.tasks), sorted(task.name for task in store.tasks))
    for task in store.tasks:
        says = card.tasks.get(task.name)
        path = f"tasks.{task.name}"
        if isinstance(says, tuple):
            yield from _classes(path, task.name, says, task.classes)
        elif says is not None and not agrees(says, len(task.classes)):
            yield path, f"number of classes of {task.name}: the card says {says}, the data has {len(task.classes)}"
        named = {name for names in card.class_names.get(task.name, {}).values() for name in names}
        if extra := sorted(named - set(task.classes)):
            yield f"class_names.{task.name}", f"class_names of {task.name}: the data lacks {_some(extra)}"
    for task_name, names in store.unknown_labels.items():
        rows = sum(names.values())
        yield (
            f"tasks.{task_name}",
            f"labels of {task_name}: {rows} rows have {_some(list(names))}, which the card lacks",
        )
    yield from _splits(card, store)
    if not agrees(card.images, store.image_count):
        yield "images", f"images: the card says {card.images}, the data has {store.image_count}"
    yield from _per_language(card, store)
    yield from _per_class(card, store)
    if store.rejected_count > card.rejected:
        yield "rejected", f"rows rejected: the card allows {card.rejected}, there are {store.rejected_count}"
    if card.fingerprint:
        yield from compare("fingerprint", "fingerprint", card.fingerprint, store.fingerprint)


def _classes(path: str, task: str, says: tuple[str, ...], has: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if says == has:
        return
    if missing := [name for name in says if name not in set(has)]:
        yield path, f"classes of {task}: the data lacks {_some(missing)}, which the card has"
    if added := [name for name in has if name not in set(says)]:
        yield path, f"classes of {task}: the data has {_some(added)}, which the card lacks"
    if not missing and not added:
        yield path, f"classes of {task} are in another order than the card's"


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED
    names = [name if name.strip() else f'"{name}"' for name in names]
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _splits(card: Card, store: Store) -> Iterator[tuple[str, str]]:
    sizes = store.split_sizes
    counted = {split: split for split in sizes} | {split: name for name in card.splits for split in name.split("+")}
    for name in sorted({*card.splits, *counted.values()}):
        says = card.splits.get(name, 0)
        has = sum(sizes.get(split, 0) for split in name.split("+"))
        if not agrees(says, has):
            yield f"splits.{name}", f"examples in {name}: the card says {says}, the data has {has}"


def _per_language(card: Card, store: Store) -> Iterator[tuple[str, str]]:
    if not card.per_language and not card.shares:
        return
    table = store.examples.select(["split", "language"])
    grouped = table.group_by(["split", "language"]).aggregate([([], "count_all")]).to_pylist()
    counts = {(row["split"], row["language"]): row["count_all"] for row in grouped}
    for split, expected in card.per_language.items():
        has = {language: sum(counts.get((one, language), 0) for one in split.split("+")) for language in expected}
        wrong = [f"{one} {has[one]} ({says})" for one, says in expected.items() if says != has[one]]
        if wrong:
            what = f"examples per language in {split}, in brackets what the card says"
            yield f"per_language.{split}", f"{what}: {_some(wrong)}"
    for split, shares in card.shares.items():
        total = sum(count for (one, _), count in counts.items() if one in split.split("+"))
        percent = {}
        for language in shares.keys() - {"within"}:
            count = sum(counts.get((one, language), 0) for one in split.split("+"))
            percent[language] = round(100 * count / max(total, 1), 2)
        off = [one for one in sorted(percent) if abs(percent[one] - shares[one]) > shares.get("within", 0)]
        if off:
            what = f"shares of languages in {split} in %, in brackets what the card says"
            yield f"shares.{split}", f"{what}: {_some([f'{one} {percent[one]} ({shares[one]})' for one in off])}"


def _per_class(card: Card, store: Store) -> Iterator[tuple[str, str]]:
    for task in store.tasks:
        for split, expected in card.per_class.get(task.name, {}).items():
            inside = pc.is_in(store.examples["split"], value_set=pa.array(split.split("+")))
            labels = np.asarray(store.examples[LABEL + task.name].filter(inside))
            counts = np.bincount(labels[labels >= 0], minlength=len(task.classes)).tolist()
            has = dict(zip(task.classes, counts, strict=True))
            wrong = [
                f"{name} {has.get(name, 0)} ({says})" for name, says in expected.items() if says != has.get(name, 0)
            ]
            if wrong:
                what = f"examples per class of {task.name} in {split}, in brackets what the card says"
                yield f"per_class.{task.name}.{split}", f"{what}: {_some(wrong)}"
