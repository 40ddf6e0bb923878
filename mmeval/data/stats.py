"""Counts per language, task and slice of a prepared data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.data.labels import count_classes, has_label, labels_of
from mmeval.data.store import LABEL, SLICE

if TYPE_CHECKING:
    from mmeval.data.store import Store

ORDER = ("train", "validation", "test")
"""The order of splits; others follow by name."""


@dataclass(frozen=True)
class LanguageStats:
    """Counts of one language."""

    language: str
    splits: dict[str, int]
    """Examples per split."""
    without_image: int
    without_text: int
    characters: float
    """Median length of the texts in characters; empty texts are left out."""
    classes: dict[str, int]
    """Number of classes that occur, by task."""


@dataclass(frozen=True)
class TaskStats:
    """Counts of one task."""

    task: str
    classes: int
    unlabelled: int
    """Examples without a label."""
    commonest: tuple[str, int]
    """The most frequent class and its number of examples."""
    rarest: tuple[str, int]
    not_in_train: int
    """Number of classes without a training example."""


@dataclass(frozen=True)
class Stats:
    """Counts of a data set."""

    name: str
    examples: int
    images: int
    rejected: int
    splits: tuple[str, ...]
    languages: tuple[LanguageStats, ...]
    tasks: tuple[TaskStats, ...]
    slices: dict[str, dict[str, int]]
    """Number of examples by slice, then value."""


def stats(store: Store) -> Stats:
    """Count the examples of a data set; images are not read."""
    table = store.examples
    languages, codes = _codes(table["language"])
    splits, split_codes = _codes(table["split"])
    splits_order = [*(split for split in ORDER if split in splits), *sorted(set(splits) - set(ORDER))]
    lengths = np.asarray(pc.utf8_length(table["text"]))
    no_image = np.asarray(table["image"]) < 0
    labels = {task.name: labels_of(table[LABEL + task.name], task) for task in store.tasks}
    of_task = {task.name: len(task.classes) for task in store.tasks}
    per_language = []
    for code in np.argsort(languages):
        rows = np.flatnonzero(codes == code)
        per_split = np.bincount(split_codes[rows], minlength=len(splits))
        texts = lengths[rows]
        per_language.append(
            LanguageStats(
                language=languages[code],
                splits={split: int(per_split[splits.index(split)]) for split in splits_order},
                without_image=int(no_image[rows].sum()),
                without_text=int((texts == 0).sum()),
                characters=float(np.median(texts[texts > 0])) if (texts > 0).any() else 0.0,
                classes={
                    task: int((count_classes(values[rows], of_task[task]) > 0).sum()) for task, values in labels.items()
                },
            )
        )
    train = split_codes == splits.index("train") if "train" in splits else np.zeros(len(split_codes), bool)
    tasks = tuple(_task(task.name, task.classes, labels[task.name], train) for task in store.tasks)
    slices = {name: _counts(table[SLICE + name]) for name in store.slices}
    total = (table.num_rows, store.image_count, store.rejected_count)
    return Stats(store.name, *total, tuple(splits_order), tuple(per_language), tasks, slices)


def _task(name: str, classes: tuple[str, ...], labels: NDArray[Any], train: NDArray[np.bool_]) -> TaskStats:
    if not classes:
        return TaskStats(name, 0, len(labels), ("", 0), ("", 0), 0)
    counts, in_train = count_classes(labels, len(classes)), count_classes(labels[train], len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    return TaskStats(
        task=name,
        classes=len(classes),
        unlabelled=int((~has_label(labels)).sum()),
        commonest=(classes[most], int(counts[most])),
        rarest=(classes[least], int(counts[least])),
        not_in_train=int((in_train == 0).sum()),
    )


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct values of a column, and for each row the index of its value."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return the number of rows of each value, the most frequent first."""
    counts = {row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()}
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
