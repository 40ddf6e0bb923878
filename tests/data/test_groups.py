"""Rows that share a key, directly or through others, are one group."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmeval.data.groups import UnionFind


@given(st.lists(st.sets(st.integers(0, 12), max_size=3), max_size=40))
def test_groups_are_the_connected_components(rows: list[set[int]]) -> None:
    """Else two rows of one product stand in two splits, or half the table in one."""
    groups = UnionFind()
    assert [groups.add(*keys) for keys in rows] == list(range(len(rows)))
    component = list(range(len(rows)))
    for _ in rows:  # the slow way: spread the smallest number till nothing changes
        for first, keys in enumerate(rows):
            for second, second_keys in enumerate(rows):
                if keys & second_keys:
                    component[first] = component[second] = min(component[first], component[second])
    assert [groups.root(row) for row in range(len(rows))] == component


def test_a_key_can_be_learnt_later() -> None:
    """As the digest of an image is, after all rows are read."""
    groups = UnionFind()
    for key in "abc":
        groups.add(key)
    groups.join(2, "same")
    groups.join(1, "same")
    assert [groups.root(row) for row in range(3)] == [0, 1, 1]
