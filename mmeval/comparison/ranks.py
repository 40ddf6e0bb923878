"""Ranks of several runs as ranges: runs that can't be told apart share ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class RankRange(NamedTuple):
    """The ranks that a run may have; 1 is the best."""

    best: int
    worst: int


def rank_ranges(runs: int, better: Sequence[tuple[int, int]]) -> list[RankRange]:
    """Return the rank range of each run: 1 + the number of significantly better runs, M - significantly worse ones.

    Args:
        runs: number of runs, M.
        better: pairs of a run and a run that it is significantly better than.
    """
    losses, wins = [0] * runs, [0] * runs
    for winner, loser in better:
        wins[winner] += 1
        losses[loser] += 1
    return [RankRange(1 + lost, runs - won) for lost, won in zip(losses, wins, strict=True)]
