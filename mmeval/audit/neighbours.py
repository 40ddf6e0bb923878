"""Searches for what is nearly alike among a million, and what hangs together by it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.console import progress

Ints = NDArray[np.int64]
INTACT = 3
"""Bands that a search goes by; see :func:`hamming_pairs`."""
MOST_PAIRS = 8_000_000
"""That one search returns; where there are more, as of a hundred thousand things on white, it stops there."""


class Links(NamedTuple):
    """Which of ``nodes`` nodes are nearly alike: ``left[i]`` and ``right[i]``, each pair once, left < right."""

    nodes: int
    left: Ints
    right: Ints
    similarity: NDArray[np.float32]
    cut: bool
    """Whether something was too frequent for all its pairs to be compared."""

    def sets(self) -> Ints:
        """The set of each node ``[nodes]``: those that hang together, by the lowest of them."""
        return components(self.nodes, self.left, self.right)

    def around(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Union of the bit masks of each node's neighbours, without its own."""
        found = np.zeros(self.nodes, np.uint8)
        np.bitwise_or.at(found, self.left, mask[self.right])
        np.bitwise_or.at(found, self.right, mask[self.left])
        return found


def equal_pairs(keys: NDArray[np.uint64], window: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs of places with equal keys; in a run of more than ``window + 1`` of them, only ones that near."""
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
    """How often the most frequent key stands."""
    return int(np.unique(keys, return_counts=True)[1].max(initial=0))


def hamming_pairs(
    hashes: NDArray[np.uint64], most: int, window: int = 512
) -> tuple[Ints, Ints, NDArray[np.uint8], bool]:
    """All pairs of distinct 64-bit hashes that differ in at most ``most`` bits.

    By pigeonholes: of ``most + INTACT`` bands, at least ``INTACT`` are equal in such a pair, so that the pairs with
    equal bits in any ``INTACT`` bands hold all of them. Exact unless more than ``window`` hashes share those bits.

    Returns:
        left, right (left < right, each pair once), bits that differ, and whether a frequent key was cut.
    """
    bands = most + INTACT
    # Every band has high and low frequencies, so that none is the same for most images.
    masks = [np.uint64(sum(1 << bit for bit in range(band, 64, bands))) for band in range(bands)]
    pairs, fresh, cut = np.empty(0, np.int64), list[Ints](), False
    rank = np.argsort(hashes)
    ordered = hashes[rank]
    chosen = list(itertools.combinations(masks, INTACT))
    with progress("Searching among hashes", len(chosen), "rounds") as advance:
        for some in chosen:
            keys = ordered & np.bitwise_or.reduce(np.array(some, np.uint64))
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
    """Connected components: for each node the lowest node that it hangs together with."""
    parent = np.arange(count)
    while True:
        ends = parent[left], parent[right]
        low = np.minimum(*ends)
        open_ = np.flatnonzero(np.maximum(*ends) != low)
        if not len(open_):
            return parent
        for end in ends:
            np.minimum.at(parent, end[open_], low[open_])
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
