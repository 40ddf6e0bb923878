"""Brings the rows of a table of predictions into the order of the examples, one row per task and training seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmeval.data.external.columns import SLICE
from mmeval.data.external.reading import RawPredictions
from mmeval.errors import DataError
from mmeval.protocol import LARGEST_SEED, MOST_SEEDS

MOST_TASKS, MOST_VALUES = 200, 1000
"""Most tasks, and most values of a slice column; a column with more holds something else."""
UNIQUE_ADVICE = (
    "ids must differ; if the rows are of several tasks or training seeds, add the column task or seed, and if "
    "languages share ids, write LANGUAGE/ID as the id and the shared id as cluster"
)


@dataclass(frozen=True)
class Reference:
    """The examples of another run, with which a table must agree and from which it takes what it lacks."""

    name: str
    """Its name in messages."""
    ids: pa.ChunkedArray
    languages: pa.ChunkedArray
    clusters: pa.ChunkedArray
    slices: Mapping[str, pa.ChunkedArray]
    labels: Mapping[str, pa.ChunkedArray]
    """The true class of each example by task; null where there is none."""
    classes: Mapping[str, tuple[str, ...]]
    """The classes by task, in the order of the run."""


@dataclass(frozen=True)
class Layout:
    """For each training seed and task the rows of the table, in the order of the examples."""

    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    rows: Mapping[tuple[int, str], NDArray[np.int64] | None]
    """Row by seed and task ``[examples]``; None where row ``i`` of the table is example ``i``."""
    examples: int
    """Number of examples."""

    def rows_of(self, seed: int, task: str) -> NDArray[np.int64]:
        """Return the rows of one seed and task, ``[examples]``."""
        rows = self.rows[seed, task]
        return np.arange(self.examples) if rows is None else rows


def lay_out(raw: RawPredictions, task: str, reference: Reference | None = None) -> Layout:
    """Find the row of every example for each training seed and task.

    The examples are in the order of the first seed's rows of the first task, or in the order of ``reference``.

    Args:
        raw: the table.
        task: the name of the task of a table without a column of tasks.
        reference: examples of another run, which must be the same.

    Raises:
        DataError: a cell is empty, a seed is no number, an id occurs twice, or seeds or tasks differ in their rows.
    """
    for role in ("id", "language", "task", "seed", "cluster", *(r for r in raw.names if r.startswith(SLICE))):
        _require_filled(raw, role)
    for role, column in raw.names.items():
        if role.startswith(SLICE) and len(column.index) > MOST_VALUES:
            raise DataError(
                f"{raw.where}: the column {raw.columns.texts[role]} has {len(column.index):,} values, and a "
                f"slice has at most {MOST_VALUES:,}; leave it out."
            )
    seeds, seed_of = _seeds(raw)
    tasks, task_of = _tasks(raw, task)
    if reference is None and len(seeds) == len(tasks) == 1:
        _require_unique(raw, raw.texts["id"])
        return Layout(seeds, tasks, {(seeds[0], tasks[0]): None}, len(raw))
    ids = _encoded(raw.texts["id"])
    codes, count = np.asarray(ids.indices).astype(np.int64), len(ids.dictionary)
    cell_of = seed_of * len(tasks) + task_of
    cells = [(seed, name) for seed in seeds for name in tasks]
    rows = {cell: np.flatnonzero(cell_of == number) for number, cell in enumerate(cells)}
    for cell, of_cell in rows.items():
        _require_unique_codes(raw, codes[of_cell], of_cell, count, _cell_name(cell, seeds, tasks))
    position = np.full(count, -1, np.int64)
    if reference is None:
        first = rows[cells[0]]
        position[codes[first]] = np.arange(len(first))
        name, examples = _cell_name(cells[0], seeds, tasks), len(first)
    else:
        found = np.asarray(pc.index_in(ids.dictionary, value_set=_whole(reference.ids)).fill_null(-1)).astype(np.int64)
        position, name, examples = found, reference.name, len(reference.ids)
    ordered: dict[tuple[int, str], NDArray[np.int64] | None] = {}
    for cell, of_cell in rows.items():
        ordered[cell] = _in_order(
            raw,
            codes[of_cell],
            of_cell,
            position,
            examples,
            name,
            _cell_name(cell, seeds, tasks),
            reference.ids if reference else None,
            ids.dictionary,
            rows[cells[0]],
        )
    return Layout(seeds, tasks, ordered, examples)


def _in_order(
    raw: RawPredictions,
    codes: NDArray[np.int64],
    rows: NDArray[np.int64],
    position: NDArray[np.int64],
    examples: int,
    first: str,
    this: str,
    reference_ids: pa.ChunkedArray | None,
    dictionary: pa.Array,
    first_rows: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the rows of a seed and task in the order of the examples."""
    positions = position[codes]
    this = f" of {this}" if this else ""
    if (unknown := np.flatnonzero(positions < 0)).size:
        row = int(rows[unknown[0]])
        raise DataError(
            f'{raw.row(row)}: the id "{dictionary[int(codes[unknown[0]])]}"{this} is not among the examples of {first} '
            f"({such_rows(len(unknown))}); all must have the same examples."
        )
    ordered = np.full(examples, -1, np.int64)
    ordered[positions] = rows
    if (missing := np.flatnonzero(ordered < 0)).size:
        at = int(missing[0])
        id_ = reference_ids[at] if reference_ids is not None else raw.texts["id"][int(first_rows[at])]
        raise DataError(
            f'{raw.where}: there is no row{this} with the id "{id_}", an example of {first} '
            f"({such_rows(len(missing))}); all must have the same examples."
        )
    return ordered


def _require_filled(raw: RawPredictions, role: str) -> None:
    if role in raw.texts:
        empty = np.asarray(pc.is_null(raw.texts[role])) if raw.texts[role].null_count else np.zeros(0, bool)
    elif role in raw.names:
        empty = raw.names[role].codes < 0
    else:
        return
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        advice = "write none for rows outside of every slice" if role.startswith(SLICE) else "every row needs a value"
        raise DataError(f"{raw.row(row)}: the column {raw.columns.texts[role]} is empty; {advice}.")


def _seeds(raw: RawPredictions) -> tuple[tuple[int, ...], NDArray[np.int64]]:
    """Return the training seeds, sorted, and the index of each row's seed."""
    if "seed" not in raw.names:
        return (0,), np.zeros(len(raw), np.int64)
    column = raw.names["seed"]
    values = []
    for number, name in enumerate(column.names):
        text = name.removesuffix(".0")
        if not (text.isascii() and text.isdecimal() and int(text) <= LARGEST_SEED):
            row = int(np.flatnonzero(column.codes == number)[0])
            raise DataError(f'{raw.row(row)}: the seed "{name}" is not a whole number from 0 to {LARGEST_SEED}.')
        values.append(int(text))
    seeds = tuple(sorted(set(values)))
    if len(seeds) > MOST_SEEDS:
        raise DataError(f"{raw.where} has {len(seeds):,} training seeds, and a run has at most {MOST_SEEDS}.")
    rank = np.array([seeds.index(value) for value in values], np.int64)
    return seeds, rank[column.codes]


def _tasks(raw: RawPredictions, default: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the tasks in the order of their first row, and the index of each row's task."""
    if "task" in raw.names:
        names, codes = tuple(raw.names["task"].names), raw.names["task"].codes.astype(np.int64)
    else:
        names, codes = (default,), np.zeros(len(raw), np.int64)
    if len(names) > MOST_TASKS:
        raise DataError(
            f"{raw.where}: the column {raw.columns.texts['task']} has {len(names):,} values, too many for tasks; map "
            "another column with --columns task=COLUMN, or leave it out."
        )
    for name in names:
        if name in ("id", "language", "cluster") or ":" in name:
            raise DataError(
                f'{raw.where}: a task can\'t be called "{name}"; choose a name without a colon, not id, '
                "language or cluster."
            )
    return names, codes


def _require_unique(raw: RawPredictions, ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() < len(ids):
        encoded = _encoded(ids)
        codes = np.asarray(encoded.indices).astype(np.int64)
        _require_unique_codes(raw, codes, np.arange(len(codes)), len(encoded.dictionary), "")


def _require_unique_codes(
    raw: RawPredictions, codes: NDArray[np.int64], rows: NDArray[np.int64], count: int, cell: str
) -> None:
    if not (twice := np.flatnonzero(np.bincount(codes, minlength=count) > 1)).size:
        return
    # The first row whose id occurred before.
    repeated = np.flatnonzero(np.isin(codes, twice))
    _, first = np.unique(codes[repeated], return_index=True)
    again = int(np.delete(repeated, first).min())
    before = int(repeated[codes[repeated] == codes[again]][0])
    raise DataError(
        f'{raw.row(int(rows[again]))}: the id "{raw.texts["id"][int(rows[again])]}" occurs again'
        f"{f' in {cell}' if cell else ''} (first in row {raw.numbers[rows[before]]}); {UNIQUE_ADVICE}."
    )


def _cell_name(cell: tuple[int, str], seeds: tuple[int, ...], tasks: tuple[str, ...]) -> str:
    """Return the name of a seed and task in messages; empty if there is only one of each."""
    names = [f"seed {cell[0]}"] if len(seeds) > 1 else []
    names += [f"task {cell[1]}"] if len(tasks) > 1 else []
    return ", ".join(names)


def _encoded(values: pa.ChunkedArray) -> pa.DictionaryArray:
    encoded = values.dictionary_encode().unify_dictionaries().combine_chunks()
    return encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded


def _whole(values: pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return whole.chunk(0) if whole.num_chunks else pa.array([], pa.string())
    return whole


def such_rows(count: int) -> str:
    """Return ``1 such row`` or ``1,234 such rows``."""
    return f"{count:,} such row{'' if count == 1 else 's'}"
