"""Counts of duplicates within and across splits, by language, and their labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Between, Conflict, Lookup, Overlap, Share
from mmeval.audit.neighbours import Ints, NeighbourGraph

MOST_CONFLICTS = 8
"""Conflicts of a task that the page lists."""


class DuplicateCodes(NamedTuple):
    """Codes of ``n`` examples or images, by which duplicates are counted.

    Equal ``exact`` codes are exact duplicates; equal nodes, and nodes with an edge, are near-duplicates.
    """

    exact: Ints
    """``[n]``, -1 without an image or text."""
    node: Ints
    """Node of the graph of near-duplicates ``[n]``, -1 without an image or text."""
    split: Ints
    """Index of the split ``[n]``."""


def within(units: DuplicateCodes, graph: NeighbourGraph, splits: tuple[str, ...]) -> dict[str, Overlap]:
    """Return, by split, how many units have a duplicate in the same split."""
    neighbours = graph.neighbour_masks(_split_masks(units.node, units.split, graph.nodes))
    overlaps = {}
    for index, name in enumerate(splits):
        here = (units.split == index) & (units.exact >= 0)
        same = _counts(units.exact, here)[units.exact[here]] > 1
        node = units.node[here]
        near = same | (_counts(units.node, here)[node] > 1) | (neighbours[node] >> index & 1).astype(bool)
        overlaps[name] = Overlap(same=_share(same), near=_share(near))
    return overlaps


def count_duplicates_between_splits(rows: Rows, examples: DuplicateCodes, graph: NeighbourGraph) -> list[Between]:
    """Return, for each split and each split before it, how many examples have a duplicate there, also by language."""
    same = _split_masks(examples.exact, examples.split, int(examples.exact.max(initial=-1)) + 1)
    own = _split_masks(examples.node, examples.split, graph.nodes)
    near = own | graph.neighbour_masks(own)
    overlaps = []
    for index, other in [(i, j) for i in reversed(range(len(rows.splits))) for j in range(i)]:
        here = np.flatnonzero((examples.split == index) & (examples.exact >= 0))
        if not len(here):
            continue
        is_same = (same[examples.exact[here]] >> other & 1).astype(bool)
        is_near = is_same | (near[examples.node[here]] >> other & 1).astype(bool)
        language = rows.language[here]
        by_language = {
            name: Overlap(same=_share(is_same[chosen]), near=_share(is_near[chosen]))
            for code, name in enumerate(rows.languages)
            if (chosen := language == code).any()
        }
        whole = {"same": _share(is_same), "near": _share(is_near), "languages": by_language}
        overlaps.append(Between(split=rows.splits[index], other=rows.splits[other], **whole))
    return overlaps


def conflicts(rows: Rows, exact: Ints, describe: Callable[[int], str]) -> dict[str, Conflict]:
    """Return, by task, the exact duplicates with different classes (multi-label: different sets of classes).

    Args:
        rows: the examples.
        exact: exact code of each example ``[n]``, -1 for none.
        describe: (exact code) -> how the page names it.
    """
    by_task = {}
    for task, names in rows.label_names.items():
        code, label, count = _count_labels(exact, rows.labels[task], len(names))
        start = np.flatnonzero(np.diff(code, prepend=-1))
        if not len(start):
            continue
        classes = np.diff([*start, len(code)])  # of each code
        total, most = np.add.reduceat(count, start), np.maximum.reduceat(count, start)
        several = np.flatnonzero(classes > 1)
        few = several[np.argsort(-(total - most)[several], kind="stable")[:MOST_CONFLICTS]]
        shown = []
        for at in few:
            part = slice(start[at], start[at] + classes[at])
            by_class = {names[i]: int(n) for i, n in zip(label[part], count[part], strict=True)}
            shown.append((describe(int(code[start[at]])), dict(sorted(by_class.items(), key=lambda item: -item[1]))))
        wrong = int((total - most)[several].sum())
        rows_of_sets = int(total[several].sum())
        by_task[task] = Conflict(sets=len(several), rows=rows_of_sets, wrong=wrong, examples=shown)
    return by_task


def lookups(rows: Rows, exact: Ints) -> dict[str, Lookup]:
    """Score, by task, the prediction of the most frequent class in train of the same image or text.

    In a multi-label task, the most frequent set of classes is predicted, and is right if it is the whole set.

    Args:
        rows: the examples.
        exact: exact code of each example ``[n]``, -1 for none.
    """
    if "train" not in rows.splits or rows.scored == 0:
        return {}
    by_task = {}
    train, scored = rows.split == rows.splits.index("train"), rows.split == rows.scored
    for task, labels in rows.labels.items():
        code, label, count = _count_labels(exact[train], labels[train], len(rows.label_names[task]))
        order = np.lexsort((label, -count, code))
        first = order[np.diff(code[order], prepend=-1) != 0]
        # The last entry stays -1: it is the answer for the code -1.
        answer = np.full(int(exact.max(initial=-1)) + 2, -1)
        answer[code[first]] = label[first]
        truth, predicted = labels[scored], answer[exact[scored]]
        known = (truth >= 0) & (predicted >= 0)
        right = int((predicted == truth)[known].sum())
        hits = int(known.sum())
        by_task[task] = Lookup(
            coverage=Share(count=hits, n=int((truth >= 0).sum())), precision=Share(count=right, n=hits)
        )
    return by_task


def _count_labels(exact: Ints, labels: Ints, classes: int) -> tuple[Ints, Ints, Ints]:
    """Return code, label and number of examples of each combination that occurs, sorted by code, then label."""
    known = (exact >= 0) & (labels >= 0)
    keys, count = np.unique(exact[known] * classes + labels[known], return_counts=True)
    code, label = np.divmod(keys, max(classes, 1))
    return code, label, count


def _split_masks(codes: Ints, split: Ints, count: int) -> NDArray[np.uint8]:
    """Return a bit mask of each of ``count`` codes, with a bit for each split in which it occurs."""
    masks = np.zeros(count, np.uint8)
    known = codes >= 0
    for index in np.unique(split[known]):
        masks[codes[known & (split == index)]] |= np.uint8(1 << index)
    return masks


def _counts(codes: Ints, here: NDArray[np.bool_]) -> Ints:
    return np.bincount(codes[here], minlength=1)


def _share(mask: NDArray[np.bool_]) -> Share:
    return Share(count=int(mask.sum()), n=len(mask))
