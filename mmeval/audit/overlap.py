"""From codes and links to what stands in two splits, in which language, and with which labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Between, Conflict, Lookup, Overlap, Share
from mmeval.audit.neighbours import Ints, Links

FEW = 8


class Coded(NamedTuple):
    """Examples, or images, as codes: equal ``same`` is exactly alike, equal or linked ``node`` nearly so."""

    same: Ints
    """``[n]``, -1 where there is none."""
    node: Ints
    """``[n]``, index into the nodes of the links."""
    split: Ints
    """``[n]``."""


def within(units: Coded, links: Links, splits: tuple[str, ...]) -> dict[str, Overlap]:
    """By split: the units that have a duplicate there."""
    around = links.around(_masks(units.node, units.split, links.nodes))
    found = {}
    for index, name in enumerate(splits):
        here = (units.split == index) & (units.same >= 0)
        same = _counts(units.same, here)[units.same[here]] > 1
        node = units.node[here]
        near = same | (_counts(units.node, here)[node] > 1) | (around[node] >> index & 1).astype(bool)
        found[name] = Overlap(same=_share(same), near=_share(near))
    return found


def between(rows: Rows, examples: Coded, links: Links) -> list[Between]:
    """For each split and each that it may not see: how many examples have a duplicate there, by language too."""
    same = _masks(examples.same, examples.split, int(examples.same.max(initial=-1)) + 1)
    own = _masks(examples.node, examples.split, links.nodes)
    near = own | links.around(own)
    found = []
    for index, other in [(i, j) for i in reversed(range(len(rows.splits))) for j in range(i)]:
        here = np.flatnonzero((examples.split == index) & (examples.same >= 0))
        if not len(here):
            continue
        is_same = (same[examples.same[here]] >> other & 1).astype(bool)
        is_near = is_same | (near[examples.node[here]] >> other & 1).astype(bool)
        language = rows.language[here]
        by_language = {
            name: Overlap(same=_share(is_same[mine]), near=_share(is_near[mine]))
            for code, name in enumerate(rows.languages)
            if (mine := language == code).any()
        }
        whole = {"same": _share(is_same), "near": _share(is_near), "languages": by_language}
        found.append(Between(split=rows.splits[index], other=rows.splits[other], **whole))
    return found


def conflicts(rows: Rows, same: Ints, describe: Callable[[int], str]) -> dict[str, Conflict]:
    """By task: what is exactly alike and has different classes; ``describe(code)`` says what it is."""
    found = {}
    for task in rows.store.tasks:
        code, label, count = _labelled(same, rows.labels[task.name], len(task.classes))
        start = np.flatnonzero(np.diff(code, prepend=-1))
        if not len(start):
            continue
        kinds = np.diff([*start, len(code)])
        total, most = np.add.reduceat(count, start), np.maximum.reduceat(count, start)
        several = np.flatnonzero(kinds > 1)
        few = several[np.argsort(-(total - most)[several], kind="stable")[:FEW]]
        shown = []
        for at in few:
            part = slice(start[at], start[at] + kinds[at])
            classes = {task.classes[i]: int(n) for i, n in zip(label[part], count[part], strict=True)}
            shown.append((describe(int(code[start[at]])), dict(sorted(classes.items(), key=lambda item: -item[1]))))
        wrong = int((total - most)[several].sum())
        found[task.name] = Conflict(sets=len(several), rows=int(total[several].sum()), wrong=wrong, examples=shown)
    return found


def lookups(rows: Rows, same: Ints) -> dict[str, Lookup]:
    """By task: what the commonest class in train of the same image or text says on the scored split."""
    if "train" not in rows.splits or rows.scored == 0:
        return {}
    found = {}
    train, scored = rows.split == rows.splits.index("train"), rows.split == rows.scored
    for task in rows.store.tasks:
        labels = rows.labels[task.name]
        code, label, count = _labelled(same[train], labels[train], len(task.classes))
        order = np.lexsort((label, -count, code))
        first = order[np.diff(code[order], prepend=-1) != 0]
        answer = np.full(int(same.max(initial=-1)) + 2, -1)
        answer[code[first]] = label[first]
        truth, given = labels[scored], answer[same[scored]]
        known = (truth >= 0) & (given >= 0)
        right = int((given == truth)[known].sum())
        hits = int(known.sum())
        found[task.name] = Lookup(found=Share(count=hits, n=int((truth >= 0).sum())), right=Share(count=right, n=hits))
    return found


def _labelled(same: Ints, labels: Ints, classes: int) -> tuple[Ints, Ints, Ints]:
    """(code, label, how many) of each combination that occurs, sorted."""
    known = (same >= 0) & (labels >= 0)
    keys, count = np.unique(same[known] * classes + labels[known], return_counts=True)
    code, label = np.divmod(keys, max(classes, 1))
    return code, label, count


def _masks(codes: Ints, split: Ints, count: int) -> NDArray[np.uint8]:
    """A bit per split in which a code occurs."""
    masks = np.zeros(count, np.uint8)
    known = codes >= 0
    for index in np.unique(split[known]):
        masks[codes[known & (split == index)]] |= np.uint8(1 << index)
    return masks


def _counts(codes: Ints, here: NDArray[np.bool_]) -> Ints:
    return np.bincount(codes[here], minlength=1)


def _share(which: NDArray[np.bool_]) -> Share:
    return Share(count=int(which.sum()), n=len(which))
