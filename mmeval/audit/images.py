"""Duplicates among the images of a Store."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Duplicates
from mmeval.audit.hashes import MOST_BITS, PerceptualHashes, alike, perceptual_hashes
from mmeval.audit.neighbours import MOST_PAIRS, Ints, Links, hamming_pairs
from mmeval.audit.overlap import Coded, between, conflicts, lookups, within
from mmeval.console import progress
from mmeval.data.loader import cores, in_order

LEADERS = 64
"""Different images of one hash that others are compared with; more have no outline at all, as grey noise."""
TASK = 2048
"""Pairs that a thread compares at once: as much as stays near the core."""


class Compared(NamedTuple):
    """What was found, with the codes that tell who is whose duplicate."""

    duplicates: Duplicates
    examples: Coded
    links: Links
    inside: Links
    """Between the ``same`` codes of one node, each linked to the first of them."""


def compare_images(rows: Rows) -> Compared | None:
    """Compare all images that an example has; None where none has one."""
    shown = rows.image >= 0
    used = np.unique(rows.image[shown])
    if not len(used):
        return None
    digests = np.asarray(rows.store.images["digest"].to_pylist(), dtype="S64")[used]
    _, first, same = np.unique(digests, return_index=True, return_inverse=True)
    links, node, inside = link_images(perceptual_hashes(rows.store, used[first]))
    place = np.searchsorted(used, np.where(shown, rows.image, used[0]))
    codes = [np.where(shown, code[place], -1) for code in (same, node[same])]
    examples = Coded(codes[0], codes[1], rows.split)
    pairs = np.unique(rows.image[shown] * len(rows.splits) + rows.split[shown])
    image, split = np.divmod(pairs, len(rows.splits))
    image = np.searchsorted(used, image)
    units = Coded(same[image], node[same][image], split)
    members = np.bincount(links.sets()[node])
    duplicates = Duplicates(
        units=len(same),
        distinct=len(first),
        same_sets=int((np.bincount(same) > 1).sum()),
        near_sets=int((members > 1).sum()),
        near_members=int(members[members > 1].sum()),
        largest=int(members.max()),
        within=within(units, links, rows.splits),
        between=between(rows, examples, links),
        conflicts=conflicts(
            rows, examples.same, lambda code: rows.example(int(np.argmax(examples.same == code)))["id"]
        ),
        lookups=lookups(rows, examples.same),
        limits="Of images without an outline not all pairs were compared." if links.cut else "",
    )
    return Compared(duplicates, examples, links, inside)


def link_images(made: PerceptualHashes) -> tuple[Links, Ints, Links]:
    """Which images are nearly alike.

    Returns:
        the links between nodes (images of one hash that look alike), the node of each image, and the links between
        the images of one node, each to the first of them.
    """
    node, leaders, likeness, cut = _nodes(made)
    hashes = made.hashes[leaders]
    different, starts = np.unique(hashes, return_index=True)
    ends = np.append(starts[1:], len(hashes))
    first, second, _, many = hamming_pairs(different, MOST_BITS)
    # One hash has a node as a rule; where it has more, each is compared with each of the other hash.
    widths = ends - starts
    sizes = widths[first] * widths[second]
    fits = np.argsort(sizes, kind="stable")
    fits = fits[np.cumsum(sizes[fits]) <= MOST_PAIRS]
    many |= len(fits) < len(sizes)
    first, second, sizes = first[fits], second[fits], sizes[fits]
    pair = np.repeat(np.arange(len(first)), sizes)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    wide = widths[second][pair]
    left, right = starts[first][pair] + place // wide, starts[second][pair] + place % wide
    near, similarity = _alike(made.small, leaders[left], leaders[right])
    left, right = np.minimum(left, right)[near], np.maximum(left, right)[near]
    links = Links(len(leaders), left, right, similarity[near], cut or many)
    led = np.flatnonzero(leaders[node] != np.arange(len(node)))
    return links, node, Links(len(node), leaders[node[led]], led, likeness[led], False)


def _nodes(made: PerceptualHashes) -> tuple[Ints, Ints, NDArray[np.float32], bool]:
    """Node of each image, its leader (in the order of the hashes), the likeness to it, and whether some were cut."""
    order = np.argsort(made.hashes, kind="stable")
    starts = np.flatnonzero(np.diff(made.hashes[order], prepend=~made.hashes[order[:1]]))
    node, likeness, cut = np.empty(len(order), np.int64), np.ones(len(order), np.float32), False
    leaders: list[int] = []
    with progress("Grouping equal hashes", len(starts), "hashes") as advance:
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(order)], strict=True), 1):
            left = order[start:stop]
            for _ in range(LEADERS if len(left) > 1 else 0):
                like, likeness[left] = _like(made.small, left)
                node[left[like]] = len(leaders)
                leaders.append(int(left[0]))
                left = left[~like]
                if not len(left):
                    break
            # What is left stands alone.
            node[left] = np.arange(len(leaders), len(leaders) + len(left))
            leaders.extend(left.tolist())
            cut |= len(left) > 1
            if number % TASK == 0:
                advance(TASK)
        advance(len(starts) % TASK)
    return node, np.array(leaders, dtype=np.int64), likeness, cut


def _like(small: NDArray[np.uint8], some: Ints) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which of some images are like their first one, and how much."""
    parts = [alike(small[some[start : start + TASK]], small[some[:1]]) for start in range(0, len(some), TASK)]
    return np.concatenate([like for like, _ in parts]), np.concatenate([likeness for _, likeness in parts])


def _alike(small: NDArray[np.uint8], left: Ints, right: Ints) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    near, similarity = np.empty(len(left), bool), np.empty(len(left), np.float32)

    def make(start: int) -> int:
        part = slice(start, start + TASK)
        near[part], similarity[part] = alike(small[left[part]], small[right[part]])
        return len(left[part])

    with progress("Comparing images", len(left), "pairs") as advance:
        for done in in_order(range(0, len(left), TASK), make, workers=cores()):
            advance(done)
    return near, similarity
