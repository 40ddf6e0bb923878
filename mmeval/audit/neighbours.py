"""Near-duplicate search and connected components."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.console import progress

Ints = NDArray[np.int64]
EQUAL_BANDS = 3
"""Bands that must be equal in a candidate pair; see :func:`hamming_pairs`."""
MOST_PAIRS = 8_000_000
"""Pairs after which a search stops: a hundred thousand product photos on white would have billions."""


class NeighbourGraph(NamedTuple):
    """Graph of near-duplicates; edge ``i`` joins the nodes ``left[i] < right[i]``, each pair once."""

    nodes: int
    """Number of nodes."""
    left: Ints
    right: Ints
    similarity: NDArray[np.float32]
    """Of each edge."""
    cut: bool
    """Whether pairs were left out because a key was too frequent to compare all of them."""

    def components(self) -> Ints:
        """Return the connected component of each node ``[nodes]``, named by its lowest node."""
        return components(self.nodes, self.left, self.right)

    def neighbour_masks(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return for each node the union of its neighbours' bit masks, its own not included.

        Args:
            mask: bit mask of each node ``[nodes]``.
        """
        union = np.zeros(self.nodes, np.uint8)
        np.bitwise_or.at(union, self.left, mask[self.right])
        np.bitwise_or.at(union, self.right, mask[self.left])
        return union


def equal_pairs(keys: NDArray[np.uint64], window: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the index pairs of equal keys, in arrays.

    Of a key that occurs more than ``window + 1`` times, only pairs at most ``window`` occurrences apart are yielded.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(ordered[:-1] == ordered[1:])
    for lag in range(1, window + 1):
        if not len(first):
            return
        yield order[first], order[first + lag]
        first = first[first + lag + 1 < len(keys)]
        first = first[ordered[first] == ordered[first + lag + 1]]


def longest_run(keys: NDArray[np.uint64]) -> int:
    """Return the number of occurrences of the most frequent key; 0 without keys."""
    return int(np.unique(keys, return_counts=True)[1].max(initial=0))


def hamming_pairs(
    hashes: NDArray[np.uint64], most: int, window: int = 512
) -> tuple[Ints, Ints, NDArray[np.uint8], bool]:
    """Return all pairs of distinct 64-bit hashes that differ in at most ``most`` bits.

    Pigeonhole principle: if the bits are divided into ``most + EQUAL_BANDS`` bands, at least ``EQUAL_BANDS`` bands of
    such a pair are equal. So it is enough to compare hashes that are equal in some ``EQUAL_BANDS`` bands. The result
    is complete unless more than ``window`` hashes are equal in those bands, or there are more than ``MOST_PAIRS``
    pairs.

    Returns:
        left, right (left < right, each pair once), number of bits that differ, whether pairs were left out.
    """
    bands = most + EQUAL_BANDS
    # Interleaved bands have high and low frequencies, so that no band is the same in most images.
    masks = [np.uint64(sum(1 << bit for bit in range(band, 64, bands))) for band in range(bands)]
    pairs, fresh, cut = np.empty(0, np.int64), list[Ints](), False
    rank = np.argsort(hashes)
    ordered = hashes[rank]
    combinations = list(itertools.combinations(masks, EQUAL_BANDS))
    with progress("Searching hashes", len(combinations), "rounds") as advance:
        for chosen in combinations:
            keys = ordered & np.bitwise_or.reduce(np.array(chosen, np.uint64))
            cut |= longest_run(keys) > window + 1
            for left, right in equal_pairs(keys, window):
                near = np.bitwise_count(ordered[left] ^ ordered[right]) <= most
                ends = rank[left[near]], rank[right[near]]
                fresh.append(np.minimum(*ends) * len(hashes) + np.maximum(*ends))
                if sum(map(len, fresh)) > MOST_PAIRS:
                    pairs, fresh = np.unique(np.concatenate([pairs, *fresh])), []
                if len(pairs) > MOST_PAIRS:
                    break
            advance()
            if len(pairs) > MOST_PAIRS:
                cut = True
                break
    pairs = np.unique(np.concatenate([pairs, *fresh]))
    left, right = np.divmod(pairs, max(len(hashes), 1))
    return left, right, np.bitwise_count(hashes[left] ^ hashes[right]), cut


def components(count: int, left: Ints, right: Ints) -> Ints:
    """Return the connected component of each of ``count`` nodes, named by its lowest node.

    Edge ``i`` joins the nodes ``left[i]`` and ``right[i]``.
    """
    parent = np.arange(count)
    while True:
        ends = parent[left], parent[right]
        low = np.minimum(*ends)
        unmerged = np.flatnonzero(np.maximum(*ends) != low)
        if not len(unmerged):
            return parent
        for end in ends:
            np.minimum.at(parent, end[unmerged], low[unmerged])
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
