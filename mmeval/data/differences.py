"""Differences between prepared data and its data card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mmeval.data.card import Approximate, Card, agrees
from mmeval.data.labels import count_classes, labels_of
from mmeval.data.store import LABEL

if TYPE_CHECKING:
    from mmeval.data.store import Store

MIN_SHARE = 0.5
"""Data with less than this share of its card's examples is not the release, even if that number is unverified."""
SHOWN = 5
"""Number of classes or languages that a message names before it counts the rest."""


class Difference(NamedTuple):
    """A difference between a data card and the data."""

    text: str
    verified: bool
    """Whether the card's fact is verified; if not, the difference is only a warning."""


def differences(card: Card, store: Store) -> list[Difference]:
    """Return all differences between a prepared data set and its card."""
    compared = [Difference(text, card.verified(path)) for path, text in _differences(card, store)]
    return [*_fragment(card, store), *compared]


def stated_facts(card: Card) -> tuple[list[str], list[str]]:
    """Return the names of the facts on a card: the verified ones, and the unverified ones."""
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
    facts = [name for name, value in stated.items() if value]
    verified = {name: _verified(card, name, stated[name]) for name in facts}
    return [name for name in facts if verified[name]], [name for name in facts if not verified[name]]


def _verified(card: Card, name: str, value: object) -> bool:
    """Return whether a fact and all its parts are verified."""
    parts = [f"{name}.{part}" for part in value] if isinstance(value, Mapping) else []
    return card.verified(name) and all(map(card.verified, parts))


def _fragment(card: Card, store: Store) -> Iterator[Difference]:
    """Yield a difference if the data is far smaller than its card says, even if the card's numbers are unverified."""
    says = sum(size.number if isinstance(size, Approximate) else size for size in card.splits.values())
    has = sum(store.split_sizes.values())
    if has < MIN_SHARE * says and not _verified(card, "splits", card.splits):
        about = "about " if any(isinstance(size, Approximate) for size in card.splits.values()) else ""
        yield Difference(
            f"examples: the card says {about}{says}, the data has {has}, too few to be the release", verified=True
        )


def _differences(card: Card, store: Store) -> Iterator[tuple[str, str]]:
    """Yield the dotted path of each fact that differs, with a description of the difference."""

    def compare(path: str, label: str, says: object, has: object) -> Iterator[tuple[str, str]]:
        if says != has:
            yield path, f"{label}: the card says {says}, the data has {has}"

    yield from compare("languages", "languages", sorted(card.languages), sorted(store.languages))
    yield from compare("tasks", "tasks", sorted(card.tasks), sorted(task.name for task in store.tasks))
    multilabel = sorted(task.name for task in store.tasks if task.multilabel)
    yield from compare("multilabel", "multi-label tasks", sorted(card.multilabel), multilabel)
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
        paths = card.hierarchy.get(task.name, {})
        if paths and (lacking := [name for name in task.classes if name not in paths]):
            yield f"hierarchy.{task.name}", f"hierarchy of {task.name}: the card lacks {_some(lacking)}"
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
    rest = len(names) - SHOWN
    names = [name if name.strip() else f'"{name}"' for name in names]
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


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
        has = {language: sum(counts.get((part, language), 0) for part in split.split("+")) for language in expected}
        wrong = [f"{code} {has[code]} ({says})" for code, says in expected.items() if says != has[code]]
        if wrong:
            label = f"examples per language in {split} (the card's number in brackets)"
            yield f"per_language.{split}", f"{label}: {_some(wrong)}"
    for split, shares in card.shares.items():
        total = sum(count for (part, _), count in counts.items() if part in split.split("+"))
        percent = {}
        for language in shares.keys() - {"within"}:
            count = sum(counts.get((part, language), 0) for part in split.split("+"))
            percent[language] = round(100 * count / max(total, 1), 2)
        wrong = [code for code in sorted(percent) if abs(percent[code] - shares[code]) > shares.get("within", 0)]
        if wrong:
            label = f"shares of languages in {split} in % (the card's number in brackets)"
            yield f"shares.{split}", f"{label}: {_some([f'{code} {percent[code]} ({shares[code]})' for code in wrong])}"


def _per_class(card: Card, store: Store) -> Iterator[tuple[str, str]]:
    for task in store.tasks:
        for split, expected in card.per_class.get(task.name, {}).items():
            inside = pc.is_in(store.examples["split"], value_set=pa.array(split.split("+")))
            labels = labels_of(store.examples[LABEL + task.name].filter(inside), task)
            counts = count_classes(labels, len(task.classes)).tolist()
            has = dict(zip(task.classes, counts, strict=True))
            wrong = [
                f"{name} {has.get(name, 0)} ({says})" for name, says in expected.items() if says != has.get(name, 0)
            ]
            if wrong:
                label = f"examples per class of {task.name} in {split} (the card's number in brackets)"
                yield f"per_class.{task.name}.{split}", f"{label}: {_some(wrong)}"
