"""A sample of examples for people to look at, with filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.data.labels import labels_of
from mmeval.data.store import ATTRIBUTE, LABEL, METADATA, SLICE
from mmeval.errors import UserError

if TYPE_CHECKING:
    from mmeval.data.store import Store

NO_CLASS = "(none)"
"""The label of an example that has none of the classes of a multi-label task."""


@dataclass(frozen=True)
class Preview:
    """One example in readable form: class names instead of indices."""

    id: str
    language: str
    split: str
    text: str
    labels: dict[str, str]
    """Class name by task; the names of several classes are joined by commas."""
    others: dict[str, str]
    """Values of slices, metadata and attributes, by name; empty values are left out."""
    image: int
    """Row of the image in the Store, -1 for none."""


def sample(
    store: Store, count: int, *, language: str = "", split: str = "", label: str = "", word: str = "", seed: int = 0
) -> list[Preview]:
    """Draw a random sample of the examples that match all filters, spread as evenly over languages as possible.

    Args:
        store: the data set.
        count: the largest number of examples.
        language: keep examples of this language.
        split: keep examples of this split.
        label: keep examples with this class, of any task.
        word: keep examples whose text contains this text, ignoring case.
        seed: the seed of the random draw.

    Raises:
        UserError: the language, split or class does not exist, or no example matches.
    """
    table = store.examples
    matching = np.ones(table.num_rows, bool)
    for option, value, existing, column in (
        ("--only", language, store.languages, "language"),
        ("--split", split, tuple(store.split_sizes), "split"),
    ):
        if value:
            if value not in existing:
                raise UserError(f"{option} {value}: {store.name} has {', '.join(existing)}.")
            matching &= np.asarray(pc.equal(table[column], value))
    if label:
        matching &= _labelled(store, label)
    if word:
        matching &= np.asarray(pc.match_substring(table["text"], word, ignore_case=True))
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(matching))
    if not len(rows):
        raise UserError(f"No example of {store.name} matches.")
    # Take the first row of each language, then the second of each, and so on.
    languages = np.asarray(table["language"].combine_chunks().dictionary_encode().indices)[rows]
    turn = np.empty(len(rows), np.int64)
    for language_index in np.unique(languages):
        where = np.flatnonzero(languages == language_index)
        turn[where] = np.arange(len(where))
    first = rows[np.argsort(turn, kind="stable")[:count]]
    return [_preview(store, row) for row in table.take(pa.array(first)).to_pylist()]


def _labelled(store: Store, label: str) -> Any:  # noqa: ANN401 - a NumPy mask
    """Return a mask of the examples that have the class ``label`` in any task."""
    tasks = [task for task in store.tasks if label in task.classes]
    if not tasks:
        raise UserError(f'--label: no task of {store.name} has the class "{label}"; `mmeval data card` lists them.')
    return np.any([_has_class(store, task, task.classes.index(label)) for task in tasks], axis=0)


def _has_class(store: Store, task: Task, index: int) -> NDArray[np.bool_]:
    labels = labels_of(store.examples[LABEL + task.name], task)
    return np.asarray(labels[:, index] == 1 if task.multilabel else labels == index)


def _preview(store: Store, row: dict[str, Any]) -> Preview:
    labels = {}
    for task in store.tasks:
        label = row[LABEL + task.name]
        if task.multilabel and label is not None:
            labels[task.name] = ", ".join(task.classes[index] for index in label) or NO_CLASS
        elif not task.multilabel and label >= 0:
            labels[task.name] = task.classes[label]
    others = {
        column.partition(":")[2]: value
        for column, value in row.items()
        if column.startswith((SLICE, METADATA, ATTRIBUTE)) and value
    }
    return Preview(row["id"], row["language"], row["split"], row["text"], labels, others, row["image"])
