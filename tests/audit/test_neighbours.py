"""Near-duplicate search and connected components agree with exhaustive computation."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.audit.neighbours import NeighbourGraph, components, equal_pairs, hamming_pairs

U64 = st.integers(0, 2**64 - 1)


@st.composite
def clouds(draw: st.DrawFn) -> list[int]:
    """Draw distinct hashes, some of which differ from others in a few bits."""
    centres = draw(st.lists(U64, min_size=1, max_size=6))
    flips = st.lists(st.integers(0, 63), max_size=7)
    near = [c ^ sum(1 << bit for bit in set(draw(flips))) for c in centres for _ in range(draw(st.integers(0, 5)))]
    return list(dict.fromkeys([*centres, *near]))


@settings(deadline=None)
@given(clouds(), st.integers(0, 6))
def test_search_by_bands_agrees_with_comparing_all_pairs(hashes: list[int], most: int) -> None:
    left, right, apart, cut = hamming_pairs(np.array(hashes, np.uint64), most)
    expected = {
        (i, j): (hashes[i] ^ hashes[j]).bit_count()
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if (hashes[i] ^ hashes[j]).bit_count() <= most
    }
    assert dict(zip(zip(left.tolist(), right.tolist(), strict=True), apart.tolist(), strict=True)) == expected
    assert not cut


@given(st.lists(st.integers(0, 4), max_size=30))
def test_equal_keys_are_paired_once(keys: list[int]) -> None:
    pairs = [
        (min(i, j), max(i, j))
        for left, right in equal_pairs(np.array(keys, np.uint64), 30)
        for i, j in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert sorted(pairs) == [(i, j) for i, j in itertools.combinations(range(len(keys)), 2) if keys[i] == keys[j]]


def test_window_limits_the_pairs_of_a_frequent_key() -> None:
    """As blank images, which all have the same hash."""
    keys = np.zeros(100_000, np.uint64)
    assert sum(len(left) for left, _ in equal_pairs(keys, 8)) < 8 * len(keys)


def test_search_reports_that_pairs_were_left_out() -> None:
    hashes = np.arange(5000, dtype=np.uint64) << np.uint64(40)
    assert hamming_pairs(hashes, 4, window=16)[3]


@given(st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_agree_with_repeated_relaxation(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    left, right = np.array([*edges, (0, 0)], dtype=np.int64).T
    expected = list(range(count))
    for _ in range(count):
        for i, j in edges:
            expected[i] = expected[j] = min(expected[i], expected[j])
    assert components(count, left, right).tolist() == expected


def test_neighbour_masks_exclude_the_node_itself() -> None:
    """An image is no duplicate of itself."""
    graph = NeighbourGraph(3, np.array([0]), np.array([1]), np.array([1.0], np.float32), False)
    assert graph.neighbour_masks(np.array([1, 4, 2], np.uint8)).tolist() == [4, 1, 0]
