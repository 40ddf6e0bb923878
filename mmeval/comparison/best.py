"""The run that is significantly better than every other one, in each language and in the mean over languages."""

from __future__ import annotations

from mmeval.comparison.comparison import Comparison
from mmeval.comparison.correction import holm
from mmeval.data.power import ALPHA
from mmeval.metrics.row import MACRO


def significantly_best(comparison: Comparison) -> dict[str, str]:
    """Return the name of the best run by language, and under ``macro`` that of the mean over languages.

    A run is the best if it is significantly better than each of the others; most languages have none among models that
    differ little. The p-values of the languages are corrected for all pairs and languages together (Holm), those of the
    mean for all pairs. With two runs these are the verdicts of ``mmeval compare``.

    Args:
        comparison: the comparison of all pairs of runs.
    """
    cells = [(pair, language) for pair in comparison.pairs for language in pair.languages]
    adjusted = holm([language.p for _, language in cells])
    better: dict[str, list[str]] = {}
    """By language, the better run of each pair that differs significantly."""
    for (pair, language), p in zip(cells, adjusted, strict=True):
        if p < ALPHA:
            winner = _better(comparison, pair.a, pair.b, language.difference)
            better.setdefault(language.language, []).append(winner)
    for pair in comparison.pairs:
        if pair.p_adjusted < ALPHA:
            better.setdefault(MACRO, []).append(_better(comparison, pair.a, pair.b, pair.mean.difference))
    others = len(comparison.runs) - 1
    return {
        language: winner
        for language, winners in better.items()
        for winner in dict.fromkeys(winners)
        if winners.count(winner) == others
    }


def _better(comparison: Comparison, a: str, b: str, difference: float) -> str:
    return b if (difference < 0) != comparison.lower_is_better else a
