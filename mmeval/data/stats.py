"""Counts per language, task and slice of a prepared data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.data.store import LABEL, SLICE

if TYPE_CHECKING:
    from mmeval.data.store import Store

ORDER = ("train", "validation", "test")


@dataclass(frozen=True)
class LanguageStats:
    """One language."""

    language: str
    splits: dict[str, int]
    """Examples per split."""
    without_image: int
    without_text: int
    characters: float
    """Median length of the texts that are not empty."""
    classes: dict[str, int]
    """By task: how many of its classes occur."""


@dataclass(frozen=True)
class TaskStats:
    """One task."""

    task: str
    classes: int
    unlabelled: int
    commonest: tuple[str, int]
    rarest: tuple[str, int]
    not_in_train: int
    """Classes without an example to learn from."""


@dataclass(frozen=True)
class Stats:
    """A data set in numbers."""

    name: str
    examples: int
    images: int
    rejected: int
    splits: tuple[str, ...]
    languages: tuple[LanguageStats, ...]
    tasks: tuple[TaskStats, ...]
    slices: dict[str, dict[str, int]]
    """Examples by slice and value."""


def stats(store: Store) -> Stats:
    """Count; reads the examples once, and no image."""
    table = store.examples
    languages, codes = _codes(table["language"])
    splits, split_codes = _codes(table["split"])
    splits_order = [*(one for one in ORDER if one in splits), *sorted(set(splits) - set(ORDER))]
    lengths = np.asarray(pc.utf8_length(table["text"]))
    no_image = np.asarray(table["image"]) < 0
    labels = {task.name: np.asarray(table[LABEL + task.name]) for task in store.tasks}
    found = []
    for code in np.argsort(languages):
        rows = np.flatnonzero(codes == code)
        per_split = np.bincount(split_codes[rows], minlength=len(splits))
        texts = lengths[rows]
        found.append(
            LanguageStats(
                language=languages[code],
                splits={split: int(per_split[splits.index(split)]) for split in splits_order},
                without_image=int(no_image[rows].sum()),
                without_text=int((texts == 0).sum()),
                characters=float(np.median(texts[texts > 0])) if (texts > 0).any() else 0.0,
                classes={task: len(np.unique(values[rows][values[rows] >= 0])) for task, values in labels.items()},
            )
        )
    train = split_codes == splits.index("train") if "train" in splits else np.zeros(len(split_codes), bool)
    tasks = tuple(_task(task.name, task.classes, labels[task.name], train) for task in store.tasks)
    slices = {name: _counts(table[SLICE + name]) for name in store.slices}
    total = (table.num_rows, store.image_count, store.rejected_count)
    return Stats(store.name, *total, tuple(splits_order), tuple(found), tasks, slices)


def _task(name: str, classes: tuple[str, ...], labels: NDArray[np.int32], train: NDArray[np.bool_]) -> TaskStats:
    if not classes:
        return TaskStats(name, 0, len(labels), ("", 0), ("", 0), 0)
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    learnt = np.bincount(labels[train & (labels >= 0)], minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    return TaskStats(
        task=name,
        classes=len(classes),
        unlabelled=int((labels < 0).sum()),
        commonest=(classes[most], int(counts[most])),
        rarest=(classes[least], int(counts[least])),
        not_in_train=int((learnt == 0).sum()),
    )


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = {one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()}
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))
