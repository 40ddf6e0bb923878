"""Near-duplicate texts: sets of character 4-grams, found by MinHash and banding, confirmed by their Jaccard index.

Each pair is confirmed by counting, so none is false; of pairs at the threshold itself the search finds 98 %, of those
from .9 on 99.9 %. In NumPy, so that a million texts take a minute and no dependency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.audit.neighbours import Ints, Links, equal_pairs, longest_run
from mmeval.console import progress
from mmeval.data.loader import cores, in_order

GRAM = 4
LEAST_LENGTH = 12
"""Characters of a text that is looked at: in a shorter one a single letter makes another word."""
LONGEST = 320
"""Characters of a text that are looked at."""
LEAST_JACCARD = 0.8
BANDS, ROWS = 10, 5
LEAST_ESTIMATE = 0.65
"""Share of equal minima from which a pair is counted: .8 less nearly three standard errors of 50 minima."""
WINDOW = 48
"""Texts that one is compared with in a band; more share a band only where many come from one template."""
TASK, COUNTED = 2048, 4096
"""Texts, and pairs, that a thread takes at once."""


class Sets(NamedTuple):
    """The hashed 4-grams of texts, one after the other, and where each text's begin and end: ``[n + 1]``."""

    grams: NDArray[np.uint32]
    bounds: Ints

    def sizes(self) -> Ints:
        """How many 4-grams each text has."""
        return np.diff(self.bounds)


def near_texts(texts: Sequence[str]) -> Links:
    """Which of the folded, different ``texts`` are near-duplicates."""
    nodes = np.array([i for i, text in enumerate(texts) if len(text) >= LEAST_LENGTH], dtype=np.int64)
    # In an order by chance: what stands together in a file would be compared with itself alone.
    nodes = np.random.default_rng(0).permutation(nodes)
    sets = gram_sets([texts[int(i)] for i in nodes])
    first, second, cut = _candidates(sets)
    similarity = jaccard(sets, first, second)
    near = similarity >= LEAST_JACCARD
    ends = nodes[first[near]], nodes[second[near]]
    return Links(len(texts), np.minimum(*ends), np.maximum(*ends), similarity[near], cut)


def gram_sets(texts: Sequence[str]) -> Sets:
    """The different 4-grams of each text, sorted by their hash; each text stands between two spaces."""

    def make(start: int) -> tuple[NDArray[np.uint32], Ints]:
        hashes, lengths = _grams([f" {text[:LONGEST]} ".ljust(GRAM) for text in texts[start : start + TASK]])
        owner = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
        distinct = np.unique(owner << np.uint64(32) | hashes)
        sizes = np.bincount((distinct >> np.uint64(32)).astype(np.int64), minlength=len(lengths))
        return distinct.astype(np.uint32), sizes

    hashes, sizes = [np.empty(0, np.uint32)], [np.zeros(1, np.int64)]
    with progress("Cutting texts into 4-grams", len(texts), "texts") as advance:
        for part, counts in in_order(range(0, len(texts), TASK), make, workers=cores()):
            hashes.append(part)
            sizes.append(counts)
            advance(len(counts))
    return Sets(np.concatenate(hashes), np.cumsum(np.concatenate(sizes)))


def _grams(padded: list[str]) -> tuple[NDArray[np.uint32], Ints]:
    """Hashes of all 4-grams, and how many each text has."""
    lengths = np.array([len(text) for text in padded], dtype=np.int64)
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    mixed = np.zeros(len(codes) - GRAM + 1, np.uint64)
    for place in range(GRAM):
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed += codes[place : place + len(mixed)]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    inside = np.ones(len(mixed), bool)
    inside[(np.cumsum(lengths)[:-1, None] - np.arange(1, GRAM)).ravel()] = False
    return (mixed >> np.uint64(32)).astype(np.uint32)[inside], lengths - GRAM + 1


def jaccard(sets: Sets, left: Ints, right: Ints) -> NDArray[np.float32]:
    """Jaccard index of the sets ``left[i]`` and ``right[i]``."""
    similarity = np.empty(len(left), np.float32)
    sizes = sets.sizes()

    def make(start: int) -> tuple[int, NDArray[np.float32]]:
        ends = np.concatenate([left[start : start + COUNTED], right[start : start + COUNTED]])
        count = len(ends) // 2
        lengths = sizes[ends]
        # Both sets of a pair under one number: what both have stands twice.
        pair = np.repeat(np.tile(np.arange(count, dtype=np.uint64), 2), lengths)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        keys = np.sort(pair << np.uint64(32) | sets.grams[np.repeat(sets.bounds[ends], lengths) + within])
        twice = keys[:-1][keys[:-1] == keys[1:]] >> np.uint64(32)
        both = np.bincount(twice.astype(np.int64), minlength=count)
        return start, (both / (lengths[:count] + lengths[count:] - both)).astype(np.float32)

    with progress("Counting what they share", len(left), "pairs") as advance:
        for start, part in in_order(range(0, len(left), COUNTED), make, workers=cores()):
            similarity[start : start + len(part)] = part
            advance(len(part))
    return similarity


def _candidates(sets: Sets) -> tuple[Ints, Ints, bool]:
    """Pairs that may reach the threshold, each once, and whether a band was cut."""
    minima, sizes = _minima(sets), sets.sizes()
    cut, found = False, [np.empty(0, np.int64)]
    with progress("Comparing texts", BANDS, "bands") as advance:
        for band in range(BANDS):
            keys = _mixed(minima[:, band * ROWS : (band + 1) * ROWS])
            cut |= longest_run(keys) > WINDOW + 1
            for left, right in equal_pairs(keys, WINDOW):
                # Sets of too different sizes can't reach it.
                small = np.minimum(sizes[left], sizes[right])
                fits = small >= LEAST_JACCARD * np.maximum(sizes[left], sizes[right])
                left, right = left[fits], right[fits]
                kept = _equal_minima(minima, left, right) >= LEAST_ESTIMATE
                ends = left[kept], right[kept]
                found.append(np.minimum(*ends) * len(sizes) + np.maximum(*ends))
            advance()
    first, second = np.divmod(np.unique(np.concatenate(found)), max(len(sizes), 1))
    return first, second, cut


def _minima(sets: Sets) -> NDArray[np.uint32]:
    """The least of each text's 4-grams under ``BANDS * ROWS`` hash functions."""
    factors = np.random.default_rng(0).integers(0, 2**31, BANDS * ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    count = len(sets.bounds) - 1
    minima = np.empty((count, len(factors)), np.uint32)

    def make(start: int) -> int:
        bounds = sets.bounds[start : start + TASK + 1]
        part = sets.grams[bounds[0] : bounds[-1]]
        for column, factor in enumerate(factors):
            minima[start : start + TASK, column] = np.minimum.reduceat(part * factor, bounds[:-1] - bounds[0])
        return len(bounds) - 1

    with progress("Hashing texts", count, "texts") as advance:
        for done in in_order(range(0, count, TASK), make, workers=cores()):
            advance(done)
    return minima


def _mixed(columns: NDArray[np.uint32]) -> NDArray[np.uint64]:
    keys = np.zeros(len(columns), np.uint64)
    for column in columns.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return keys


def _equal_minima(minima: NDArray[np.uint32], left: Ints, right: Ints) -> NDArray[np.float64]:
    shares = np.empty(len(left))
    for start in range(0, len(left), 50 * COUNTED):
        part = slice(start, start + 50 * COUNTED)
        shares[part] = (minima[left[part]] == minima[right[part]]).mean(1)
    return shares
