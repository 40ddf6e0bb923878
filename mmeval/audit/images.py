"""Exact duplicates and near-duplicates among the images of a Store."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.columns import Rows
from mmeval.audit.content import Duplicates
from mmeval.audit.hashes import MOST_BITS, PerceptualHashes, near_duplicates, perceptual_hashes
from mmeval.audit.neighbours import MOST_PAIRS, Ints, NeighbourGraph, hamming_pairs
from mmeval.audit.overlap import DuplicateCodes, conflicts, count_duplicates_between_splits, lookups, within
from mmeval.console import progress
from mmeval.data.loader import cores, in_order

MOST_LEADERS = 64
"""Most nodes that images of the same hash are grouped into; only images without structure, such as noise, have more."""
TASK = 2048
"""Pairs that a thread compares at once: their thumbnails fit into the cache of a core."""


class DuplicateSearch(NamedTuple):
    """Result of a search for duplicates among images or texts."""

    duplicates: Duplicates
    examples: DuplicateCodes
    graph: NeighbourGraph
    """Near-duplicates: edges between the nodes of ``examples``."""
    within_nodes: NeighbourGraph
    """Near-duplicates of one node: edges between the exact codes of ``examples``, each to the first one of its node."""


def compare_images(rows: Rows) -> DuplicateSearch | None:
    """Search for duplicates among the images of examples; None if no example has an image."""
    has_image = rows.image >= 0
    used = np.unique(rows.image[has_image])
    if not len(used):
        return None
    digests = np.asarray(rows.store.images["digest"].to_pylist(), dtype="S64")[used]
    _, first, exact = np.unique(digests, return_index=True, return_inverse=True)
    graph, node, within_nodes = near_duplicate_images(perceptual_hashes(rows.store, used[first]))
    place = np.searchsorted(used, np.where(has_image, rows.image, used[0]))
    codes = [np.where(has_image, code[place], -1) for code in (exact, node[exact])]
    examples = DuplicateCodes(codes[0], codes[1], rows.split)
    pairs = np.unique(rows.image[has_image] * len(rows.splits) + rows.split[has_image])
    image, split = np.divmod(pairs, len(rows.splits))
    image = np.searchsorted(used, image)
    units = DuplicateCodes(exact[image], node[exact][image], split)
    members = np.bincount(graph.components()[node])
    duplicates = Duplicates(
        units=len(exact),
        distinct=len(first),
        same_sets=int((np.bincount(exact) > 1).sum()),
        near_sets=int((members > 1).sum()),
        near_members=int(members[members > 1].sum()),
        largest=int(members.max()),
        within=within(units, graph, rows.splits),
        between=count_duplicates_between_splits(rows, examples, graph),
        conflicts=conflicts(
            rows, examples.exact, lambda code: rows.example(int(np.argmax(examples.exact == code)))["id"]
        ),
        lookups=lookups(rows, examples.exact),
        limits="Not all pairs of images without structure were compared." if graph.cut else "",
    )
    return DuplicateSearch(duplicates, examples, graph, within_nodes)


def near_duplicate_images(images: PerceptualHashes) -> tuple[NeighbourGraph, Ints, NeighbourGraph]:
    """Search for near-duplicates among ``n`` images.

    A node is a group of near-duplicates with the same hash; its first image, the leader, stands for it.

    Returns:
        the graph of near-duplicate nodes, the node of each image ``[n]``, and the graph of the images of each node,
        with an edge from each to the leader.
    """
    node, leaders, likeness, cut = _nodes(images)
    hashes = images.hashes[leaders]
    different, starts = np.unique(hashes, return_index=True)
    ends = np.append(starts[1:], len(hashes))
    first, second, _, too_many = hamming_pairs(different, MOST_BITS)
    # As a rule a hash has one node; where it has more, each is compared with each node of the other hash.
    widths = ends - starts
    sizes = widths[first] * widths[second]
    fits = np.argsort(sizes, kind="stable")
    fits = fits[np.cumsum(sizes[fits]) <= MOST_PAIRS]
    too_many |= len(fits) < len(sizes)
    first, second, sizes = first[fits], second[fits], sizes[fits]
    pair = np.repeat(np.arange(len(first)), sizes)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    wide = widths[second][pair]
    left, right = starts[first][pair] + place // wide, starts[second][pair] + place % wide
    near, similarity = _compare_pairs(images.thumbnails, leaders[left], leaders[right])
    left, right = np.minimum(left, right)[near], np.maximum(left, right)[near]
    graph = NeighbourGraph(len(leaders), left, right, similarity[near], cut or too_many)
    others = np.flatnonzero(leaders[node] != np.arange(len(node)))
    within_nodes = NeighbourGraph(len(node), leaders[node[others]], others, likeness[others], False)
    return graph, node, within_nodes


def _nodes(images: PerceptualHashes) -> tuple[Ints, Ints, NDArray[np.float32], bool]:
    """Group images of the same hash into nodes.

    Returns:
        node of each image ``[n]``, leader of each node (nodes are in the order of their hashes), similarity of each
        image with its leader ``[n]``, whether comparisons were left out.
    """
    hashes = images.hashes
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    node, likeness, cut = np.empty(len(order), np.int64), np.ones(len(order), np.float32), False
    leaders: list[int] = []
    with progress("Grouping equal hashes", len(starts), "hashes") as advance:
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(order)], strict=True), 1):
            ungrouped = order[start:stop]
            for _ in range(MOST_LEADERS if len(ungrouped) > 1 else 0):
                near, likeness[ungrouped] = _compare_with_first(images.thumbnails, ungrouped)
                node[ungrouped[near]] = len(leaders)
                leaders.append(int(ungrouped[0]))
                ungrouped = ungrouped[~near]
                if not len(ungrouped):
                    break
            # Each of the remaining images is a node of its own.
            node[ungrouped] = np.arange(len(leaders), len(leaders) + len(ungrouped))
            leaders.extend(ungrouped.tolist())
            cut |= len(ungrouped) > 1
            if number % TASK == 0:
                advance(TASK)
        advance(len(starts) % TASK)
    return node, np.array(leaders, dtype=np.int64), likeness, cut


def _compare_with_first(thumbnails: NDArray[np.uint8], some: Ints) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Compare the images ``some`` with the first of them: whether near-duplicate, correlation."""
    first, starts = thumbnails[some[:1]], range(0, len(some), TASK)
    parts = [near_duplicates(thumbnails[some[start : start + TASK]], first) for start in starts]
    return np.concatenate([near for near, _ in parts]), np.concatenate([correlation for _, correlation in parts])


def _compare_pairs(
    thumbnails: NDArray[np.uint8], left: Ints, right: Ints
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Compare the images ``left[i]`` and ``right[i]`` in threads: whether near-duplicate, correlation."""
    near, similarity = np.empty(len(left), bool), np.empty(len(left), np.float32)

    def make(start: int) -> int:
        part = slice(start, start + TASK)
        near[part], similarity[part] = near_duplicates(thumbnails[left[part]], thumbnails[right[part]])
        return len(left[part])

    with progress("Comparing images", len(left), "pairs") as advance:
        for done in in_order(range(0, len(left), TASK), make, workers=cores()):
            advance(done)
    return near, similarity
