"""The pairs of duplicates: all of them as a table, a few of them to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Kind, Shown
from mmeval.audit.images import Compared
from mmeval.audit.neighbours import Ints, Links
from mmeval.files import atomic_path

SHOWN = 12
"""Pairs of each kind, and of each of the same and nearly the same."""
BLOCK = 262_144
SCHEMA = pa.schema(
    [("kind", pa.string()), ("same", pa.bool_()), ("similarity", pa.float32())]
    + [(f"{side}_{name}", pa.string()) for side in ("left", "right") for name in ("id", "split", "language")]
)


class Pairs:
    """Pairs of examples (rows of the Store) that are duplicates.

    Of a set that is exactly alike, each is paired with its first one, and each split and image stands once. A link
    between two that are nearly alike is one pair, from two splits where there are such.
    """

    def __init__(self, rows: Rows, kind: Kind, found: Compared) -> None:
        """Pairs of one kind of duplicates."""
        self.rows, self.kind = rows, kind
        known = np.flatnonzero(found.examples.same >= 0)
        same, node, split = found.examples.same[known], found.examples.node[known], rows.split[known]
        # One example of each image (text: of each example) and split; of the first split, as a rule train.
        unit = rows.image[known] if kind == "image" else known
        _, first = np.unique(unit * len(rows.splits) + split, return_index=True)
        first = first[np.lexsort((known[first], split[first], same[first]))]
        code = same[first]
        head = np.flatnonzero(np.diff(code, prepend=-1))
        heads = np.repeat(head, np.diff([*head, len(code)]))
        others = heads != np.arange(len(code))
        left, right = known[first[heads[others]]], known[first[others]]
        near = self._linked(found.links, known, node, split)
        inside = self._linked(found.inside, known, same, split)
        self.left = np.concatenate([left, inside[0], near[0]])
        self.right = np.concatenate([right, inside[1], near[1]])
        ones = np.ones(len(left), np.float32)
        self.similarity = np.concatenate([ones, found.inside.similarity, found.links.similarity])
        self.same = np.arange(len(self.left)) < len(left)

    def _linked(self, links: Links, known: Ints, code: Ints, split: Ints) -> tuple[Ints, Ints]:
        """An example of both ends of each link, of two splits where there are such."""
        count = len(self.rows.splits)
        codes, first = np.unique(code * count + split, return_index=True)
        example = np.full(links.nodes * count, -1)
        example[codes] = known[first]
        by_code = example.reshape(-1, count)
        ends = [by_code[links.left], by_code[links.right]]
        left, right = (np.where(end >= 0, np.arange(count), count).min(1) for end in ends)
        late = [np.where(end >= 0, np.arange(count), -1).max(1) for end in ends]
        right = np.where(left == right, late[1], right)
        left = np.where(left == right, late[0], left)
        at = np.arange(len(left))
        return ends[0][at, left], ends[1][at, right]

    def write(self, writer: pq.ParquetWriter) -> None:
        """Add all pairs to the table."""
        ids = self.rows.store.examples["id"].combine_chunks()
        splits, languages = pa.array(self.rows.splits, pa.string()), pa.array(self.rows.languages, pa.string())
        for start in range(0, len(self.left), BLOCK):
            part = slice(start, start + BLOCK)
            count = len(self.left[part])
            columns: dict[str, Any] = {
                "kind": pa.array([self.kind] * count, pa.string()),
                "same": pa.array(self.same[part]),
                "similarity": pa.array(self.similarity[part], pa.float32()),
            }
            for side, rows in (("left", self.left[part]), ("right", self.right[part])):
                columns[f"{side}_id"] = ids.take(pa.array(rows))
                columns[f"{side}_split"] = splits.take(pa.array(self.rows.split[rows]))
                columns[f"{side}_language"] = languages.take(pa.array(self.rows.language[rows]))
            writer.write_table(pa.table(columns, schema=SCHEMA))

    def shown(self) -> list[Shown]:
        """A few pairs across splits, up to a third of them with different classes.

        Of those that are the very same some by chance, of the others from the least alike to the most.
        """
        across = self.rows.split[self.left] != self.rows.split[self.right]
        chosen = []
        for same in (True, False):
            some = np.flatnonzero(across & (self.same == same))
            some = np.random.default_rng(0).permutation(some)
            if not same:
                some = some[np.argsort(self.similarity[some], kind="stable")]
            disputed = self._disputed(some)
            few = np.concatenate([_spread(some[disputed], SHOWN // 3), _spread(some[~disputed], SHOWN)])[:SHOWN]
            chosen += [self._shown(int(pair), number) for number, pair in enumerate(few)]
        return chosen

    def _disputed(self, some: Ints) -> NDArray[np.bool_]:
        disputed = np.zeros(len(some), bool)
        for labels in self.rows.labels.values():
            left, right = labels[self.left[some]], labels[self.right[some]]
            disputed |= (left >= 0) & (right >= 0) & (left != right)
        return disputed

    def _shown(self, pair: int, number: int) -> Shown:
        left, right = int(self.left[pair]), int(self.right[pair])
        if self.kind == "image":
            left, right = self._in_one_language(left, right, number)
        return Shown(
            kind=self.kind,
            same=bool(self.same[pair]),
            similarity=float(self.similarity[pair]),
            left_row=left,
            right_row=right,
            left=self.rows.example(left),
            right=self.rows.example(right),
        )

    def _in_one_language(self, left: int, right: int, number: int) -> tuple[int, int]:
        """The same images and splits in a language that both have, another one for each ``number``."""
        rows = self.rows
        sides = [
            {
                int(rows.language[row]): int(row)
                for row in np.flatnonzero((rows.image == rows.image[at]) & (rows.split == rows.split[at]))
            }
            for at in (left, right)
        ]
        common = sorted(sides[0].keys() & sides[1].keys())
        if not common:
            return left, right
        language = common[number * len(common) // SHOWN % len(common)]
        return sides[0][language], sides[1][language]


def _spread(some: Ints, most: int) -> Ints:
    """At most so many, evenly from the first to the last."""
    places = np.unique(np.linspace(0, len(some) - 1, min(most, len(some))).round().astype(np.int64))
    spread: Ints = some[places]
    return spread


def write_pairs(path: Path, pairs: list[Pairs]) -> None:
    """Write all pairs as one table."""
    with atomic_path(path) as temporary, pq.ParquetWriter(str(temporary), SCHEMA) as writer:
        for some in pairs:
            some.write(writer)
