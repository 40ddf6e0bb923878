"""Rank ranges."""

from __future__ import annotations

from mmeval.comparison.ranks import rank_ranges


def test_runs_that_differ_get_one_rank_each() -> None:
    assert rank_ranges(3, [(0, 1), (0, 2), (1, 2)]) == [(1, 1), (2, 2), (3, 3)]


def test_runs_that_cannot_be_told_apart_share_ranks() -> None:
    assert rank_ranges(3, []) == [(1, 3)] * 3
    assert rank_ranges(3, [(0, 2)]) == [(1, 2), (1, 3), (2, 3)]
