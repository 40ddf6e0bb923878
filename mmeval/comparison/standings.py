"""Order, ranks and groups of runs, in the mean over languages or in one language."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from string import ascii_lowercase as LETTERS
from typing import NamedTuple

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.correction import holm
from mmeval.comparison.ranks import RankRange, rank_ranges
from mmeval.data.power import ALPHA

MOST_LETTERS = 12
"""More letters than this would tell a reader nothing, and their number can grow exponentially with the runs."""


class Standing(NamedTuple):
    """The place of a run among all runs of a comparison."""

    run: str
    value: float
    """The metric: the mean over languages, or that of one language."""
    rank: RankRange
    letters: str
    """The groups that the run belongs to, such as ``ab``: runs that share a letter can't be told apart.

    Where letters are too many, numbers of groups: ``3–5`` for the groups 3, 4 and 5.
    """

    @property
    def is_top(self) -> bool:
        """Whether no run is significantly better."""
        return self.rank.best == 1


def standings(comparison: Comparison, language: str | None = None) -> list[Standing]:
    """Return the place of each run, best first.

    Args:
        comparison: the comparison of all pairs of runs.
        language: the language; None: the mean over languages. p-values are corrected for the number of pairs (Holm),
            within this language.
    """
    values = {run.name: run.value if language is None else run.languages[language] for run in comparison.runs}
    better: list[tuple[str, str]] = []
    for pair, (difference, p) in zip(comparison.pairs, _tests(comparison, language), strict=True):
        if p < ALPHA:
            a_is_better = (difference < 0) == comparison.lower_is_better
            better.append((pair.a, pair.b) if a_is_better else (pair.b, pair.a))
    names = list(values)
    ranges = rank_ranges(len(names), [(names.index(winner), names.index(loser)) for winner, loser in better])
    order = ordered(values, lower_is_better=comparison.lower_is_better)
    letters = group_names(order, {frozenset(pair) for pair in better})
    rank = dict(zip(names, ranges, strict=True))
    return [Standing(name, values[name], rank[name], letters[name]) for name in order]


def _tests(comparison: Comparison, language: str | None) -> list[tuple[float, float]]:
    """Return difference and corrected p of each pair."""
    if language is None:
        return [(pair.mean.difference, pair.p_adjusted) for pair in comparison.pairs]
    cells = [next(each for each in pair.languages if each.language == language) for pair in comparison.pairs]
    return [(cell.difference, float(p)) for cell, p in zip(cells, holm([cell.p for cell in cells]), strict=True)]


def ordered(values: dict[str, float], *, lower_is_better: bool) -> list[str]:
    """Return names by their values, best first."""
    return sorted(values, key=lambda name: values[name] if lower_is_better else -values[name])


def tie_groups(order: Sequence[str], differ: Collection[frozenset[str]]) -> list[list[str]]:
    """Return the largest stretches of an order in which no two runs differ significantly; a run may stand alone.

    Args:
        order: the runs, best first.
        differ: pairs of runs that differ significantly.
    """
    groups: list[list[str]] = []
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not any(frozenset((run, order[stop])) in differ for run in order[start:stop]):
            stop += 1
        if not (groups and groups[-1][-1] == order[stop - 1]):
            groups.append(list(order[start:stop]))
    return groups


def letter_groups(order: Sequence[str], differ: Collection[frozenset[str]]) -> list[list[str]] | None:
    """Return groups of runs, best first, such that two runs share a group if and only if they do not differ.

    This is the compact letter display by insertion and absorption (Piepho 2004).

    Returns:
        The groups; None if they are more than ``MOST_LETTERS``.
    """
    place = {name: number for number, name in enumerate(order)}
    groups = [frozenset(order)]
    for a, b in sorted(sorted(pair, key=place.__getitem__) for pair in differ):
        split = [group for group in groups if a in group and b in group]
        if not split:
            continue
        kept = [group for group in groups if group not in split]
        for part in dict.fromkeys(part for group in split for part in (group - {a}, group - {b})):
            if not any(part <= group for group in kept):
                kept = [*(group for group in kept if not group < part), part]
        groups = kept
        # The number may shrink again, but hardly from far above.
        if len(groups) > 4 * MOST_LETTERS:
            return None
    if len(groups) > MOST_LETTERS:
        return None
    return sorted((sorted(group, key=place.__getitem__) for group in groups), key=lambda g: [place[name] for name in g])


def group_names(order: Sequence[str], differ: Collection[frozenset[str]]) -> dict[str, str]:
    """Return the letters of the groups of each run, or, where they are too many, the range of its stretches."""
    groups = letter_groups(order, differ)
    if groups is not None:
        return {name: "".join(LETTERS[n] for n, group in enumerate(groups) if name in group) for name in order}
    names = {}
    for name in order:
        # The stretches of a run follow each other, since every stretch begins and ends behind the one before.
        numbers = [number for number, group in enumerate(tie_groups(order, differ), 1) if name in group]
        names[name] = f"{numbers[0]}–{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
    return names
