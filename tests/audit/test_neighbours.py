"""A search that overlooks duplicates calls a leaking split clean; one that invents them slanders a clean one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.audit.neighbours import Links, components, equal_pairs, hamming_pairs

U64 = st.integers(0, 2**64 - 1)


@st.composite
def clouds(draw: st.DrawFn) -> list[int]:
    """Distinct hashes, some of them a few bits away from others."""
    centres = draw(st.lists(U64, min_size=1, max_size=6))
    flips = st.lists(st.integers(0, 63), max_size=7)
    near = [c ^ sum(1 << bit for bit in set(draw(flips))) for c in centres for _ in range(draw(st.integers(0, 5)))]
    return list(dict.fromkeys([*centres, *near]))


@settings(deadline=None)
@given(clouds(), st.integers(0, 6))
def test_the_search_by_bands_finds_what_all_pairs_find(hashes: list[int], most: int) -> None:
    left, right, apart, cut = hamming_pairs(np.array(hashes, np.uint64), most)
    expected = {
        (i, j): (hashes[i] ^ hashes[j]).bit_count()
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if (hashes[i] ^ hashes[j]).bit_count() <= most
    }
    assert dict(zip(zip(left.tolist(), right.tolist(), strict=True), apart.tolist(), strict=True)) == expected
    assert not cut


@given(st.lists(st.integers(0, 4), max_size=30))
def test_equal_keys_are_paired_once_each(keys: list[int]) -> None:
    found = [
        (min(i, j), max(i, j))
        for left, right in equal_pairs(np.array(keys, np.uint64), 30)
        for i, j in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert sorted(found) == [(i, j) for i, j in itertools.combinations(range(len(keys)), 2) if keys[i] == keys[j]]


def test_a_key_of_a_million_does_not_make_half_a_billion_pairs() -> None:
    """Blank images: one hash, a hundred thousand times."""
    keys = np.zeros(100_000, np.uint64)
    assert sum(len(left) for left, _ in equal_pairs(keys, 8)) < 8 * len(keys)


def test_frequent_bits_are_said_to_be_cut() -> None:
    hashes = np.arange(5000, dtype=np.uint64) << np.uint64(40)
    assert hamming_pairs(hashes, 4, window=16)[3]


@given(st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components_are_those_of_a_walk(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    left, right = np.array([*edges, (0, 0)], dtype=np.int64).T
    expected = list(range(count))
    for _ in range(count):
        for i, j in edges:
            expected[i] = expected[j] = min(expected[i], expected[j])
    assert components(count, left, right).tolist() == expected


def test_what_stands_around_a_node_is_not_the_node_itself() -> None:
    """An image is no duplicate of itself."""
    links = Links(3, np.array([0]), np.array([1]), np.array([1.0], np.float32), False)
    assert links.around(np.array([1, 4, 2], np.uint8)).tolist() == [4, 1, 0]
