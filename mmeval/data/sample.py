"""Examples to look at: a few of each language, or those that match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmeval.data.store import ATTRIBUTE, LABEL, METADATA, SLICE
from mmeval.errors import UserError

if TYPE_CHECKING:
    from mmeval.data.store import Store


@dataclass(frozen=True)
class Shown:
    """One example, readable."""

    id: str
    language: str
    split: str
    text: str
    labels: dict[str, str]
    others: dict[str, str]
    """Slices, metadata, attributes."""
    image: int
    """Row of the image, -1 for none."""


def sample(
    store: Store, count: int, *, language: str = "", split: str = "", label: str = "", word: str = "", seed: int = 0
) -> list[Shown]:
    """Draw examples that match; with no ``language``, as evenly over languages as they allow.

    Args:
        store: the data set.
        count: how many, at most.
        language: only of this one.
        split: only of this one.
        label: only with this class, of any task.
        word: only with these letters in the text, in any case.
        seed: other examples for another seed.

    Raises:
        UserError: a language, split or class that there isn't, or no example matches.
    """
    table = store.examples
    chosen = np.ones(table.num_rows, bool)
    for option, value, known, column in (
        ("--only", language, store.languages, "language"),
        ("--split", split, tuple(store.split_sizes), "split"),
    ):
        if value:
            if value not in known:
                raise UserError(f"{option} {value}: {store.name} has {', '.join(known)}.")
            chosen &= np.asarray(pc.equal(table[column], value))
    if label:
        chosen &= _labelled(store, label)
    if word:
        chosen &= np.asarray(pc.match_substring(table["text"], word, ignore_case=True))
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(chosen))
    if not len(rows):
        raise UserError(f"No example of {store.name} matches.")
    # The first of each language, then the second of each, and so on.
    spoken = np.asarray(table["language"].combine_chunks().dictionary_encode().indices)[rows]
    turn = np.empty(len(rows), np.int64)
    for one in np.unique(spoken):
        where = np.flatnonzero(spoken == one)
        turn[where] = np.arange(len(where))
    first = rows[np.argsort(turn, kind="stable")[:count]]
    return [_shown(store, row) for row in table.take(pa.array(first)).to_pylist()]


def _labelled(store: Store, label: str) -> Any:  # noqa: ANN401 - a mask
    wanted = [(task.name, task.classes.index(label)) for task in store.tasks if label in task.classes]
    if not wanted:
        raise UserError(f'--label: no task of {store.name} has the class "{label}"; `mmeval data card` lists them.')
    return np.any([np.asarray(pc.equal(store.examples[LABEL + task], index)) for task, index in wanted], axis=0)


def _shown(store: Store, row: dict[str, Any]) -> Shown:
    labels = {task.name: task.classes[row[LABEL + task.name]] for task in store.tasks if row[LABEL + task.name] >= 0}
    others = {
        column.partition(":")[2]: value
        for column, value in row.items()
        if column.startswith((SLICE, METADATA, ATTRIBUTE)) and value
    }
    return Shown(row["id"], row["language"], row["split"], row["text"], labels, others, row["image"])
