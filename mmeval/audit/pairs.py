"""Pairs of duplicate examples: the table of all pairs, and a selection for the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Kind, ShownPair
from mmeval.audit.images import DuplicateSearch
from mmeval.audit.neighbours import Ints, NeighbourGraph
from mmeval.files import atomic_path

SHOWN = 12
"""Most pairs of exact duplicates on the page, and of near-duplicates, for images and for texts."""
BLOCK = 262_144
SCHEMA = pa.schema(
    [("kind", pa.string()), ("same", pa.bool_()), ("similarity", pa.float32())]
    + [(f"{side}_{name}", pa.string()) for side in ("left", "right") for name in ("id", "split", "language")]
)


class DuplicatePairs:
    """Pairs of examples (rows of the Store) that are duplicates.

    In a set of exact duplicates each example is paired with the first one; of the examples of an image in a split only
    one is taken. Each edge between near-duplicates is one pair, of examples in different splits if possible.
    """

    def __init__(self, rows: Rows, kind: Kind, search: DuplicateSearch) -> None:
        """Collect the pairs of a search among images or texts."""
        self.rows, self.kind = rows, kind
        codes = search.examples
        known = np.flatnonzero(codes.exact >= 0)
        exact, node, split = codes.exact[known], codes.node[known], rows.split[known]
        # One example of each image (text: of each example) and split, sorted by set, then split: train comes first.
        unit = rows.image[known] if kind == "image" else known
        _, first = np.unique(unit * len(rows.splits) + split, return_index=True)
        first = first[np.lexsort((known[first], split[first], exact[first]))]
        code = exact[first]
        head = np.flatnonzero(np.diff(code, prepend=-1))
        heads = np.repeat(head, np.diff([*head, len(code)]))
        others = heads != np.arange(len(code))
        left, right = known[first[heads[others]]], known[first[others]]
        near = self._examples_of_edges(search.graph, known, node, split)
        within = self._examples_of_edges(search.within_nodes, known, exact, split)
        self.left = np.concatenate([left, within[0], near[0]])
        self.right = np.concatenate([right, within[1], near[1]])
        ones = np.ones(len(left), np.float32)
        self.similarity = np.concatenate([ones, search.within_nodes.similarity, search.graph.similarity])
        self.same = np.arange(len(self.left)) < len(left)

    def _examples_of_edges(self, graph: NeighbourGraph, known: Ints, code: Ints, split: Ints) -> tuple[Ints, Ints]:
        """Return an example of both ends of each edge, in different splits if possible.

        ``known`` are rows of examples ``[n]``, ``code`` their nodes and ``split`` their splits.
        """
        count = len(self.rows.splits)
        codes, first = np.unique(code * count + split, return_index=True)
        example = np.full(graph.nodes * count, -1)
        example[codes] = known[first]
        by_code = example.reshape(-1, count)
        ends = [by_code[graph.left], by_code[graph.right]]
        left, right = (np.where(end >= 0, np.arange(count), count).min(1) for end in ends)
        last = [np.where(end >= 0, np.arange(count), -1).max(1) for end in ends]
        right = np.where(left == right, last[1], right)
        left = np.where(left == right, last[0], left)
        at = np.arange(len(left))
        return ends[0][at, left], ends[1][at, right]

    def write(self, writer: pq.ParquetWriter) -> None:
        """Write all pairs to the table."""
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

    def shown(self) -> list[ShownPair]:
        """Select pairs across splits for the page; up to a third of them have different classes.

        Exact duplicates are drawn at random, near-duplicates evenly from the least to the most similar.
        """
        across = self.rows.split[self.left] != self.rows.split[self.right]
        chosen = []
        for same in (True, False):
            pairs = np.flatnonzero(across & (self.same == same))
            pairs = np.random.default_rng(0).permutation(pairs)
            if not same:
                pairs = pairs[np.argsort(self.similarity[pairs], kind="stable")]
            differ = self._labels_differ(pairs)
            selected = np.concatenate([_evenly(pairs[differ], SHOWN // 3), _evenly(pairs[~differ], SHOWN)])[:SHOWN]
            chosen += [self._shown(int(pair), number) for number, pair in enumerate(selected)]
        return chosen

    def _labels_differ(self, pairs: Ints) -> NDArray[np.bool_]:
        differ = np.zeros(len(pairs), bool)
        for labels in self.rows.labels.values():
            left, right = labels[self.left[pairs]], labels[self.right[pairs]]
            differ |= (left >= 0) & (right >= 0) & (left != right)
        return differ

    def _shown(self, pair: int, number: int) -> ShownPair:
        left, right = int(self.left[pair]), int(self.right[pair])
        if self.kind == "image":
            left, right = self._in_a_common_language(left, right, number)
        return ShownPair(
            kind=self.kind,
            same=bool(self.same[pair]),
            similarity=float(self.similarity[pair]),
            left_row=left,
            right_row=right,
            left=self.rows.example(left),
            right=self.rows.example(right),
        )

    def _in_a_common_language(self, left: int, right: int, number: int) -> tuple[int, int]:
        """Return examples of the same images and splits in a language that both have; ``number`` selects which one."""
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


def _evenly(pairs: Ints, most: int) -> Ints:
    """Return at most ``most`` of the pairs, evenly from the first to the last."""
    places = np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(np.int64))
    selected: Ints = pairs[places]
    return selected


def write_pairs(path: Path, pairs: list[DuplicatePairs]) -> None:
    """Write the pairs of images and of texts as one Parquet table, one row per pair.

    Its columns are the kind, whether the two are exact duplicates, their similarity, and id, split and language of both
    examples.
    """
    with atomic_path(path) as temporary, pq.ParquetWriter(str(temporary), SCHEMA) as writer:
        for kind in pairs:
            kind.write(writer)
