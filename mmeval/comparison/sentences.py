"""A comparison in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

from mmeval.comparison.alignment import count_metrics
from mmeval.comparison.comparison import (
    EQUIVALENT,
    TOO_FEW,
    UNDECIDED,
    A,
    Comparison,
    LanguageComparison,
    PairComparison,
)
from mmeval.comparison.flips import smallest_p
from mmeval.comparison.paired import Difference
from mmeval.comparison.standings import standings
from mmeval.data.power import ALPHA
from mmeval.metrics.catalogue import is_proportion

MOST_NAMES = 5
"""If more runs share the first place, a headline names one of them."""


def is_share(metric: str) -> bool:
    """Return whether a metric is a share, whose differences are told in points."""
    return metric in count_metrics(multilabel=True) or is_proportion(metric)


def number(value: float) -> str:
    """Return a number without the zero before the point: ``.044``."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float) -> str:
    """Return a number with its sign and without the zero before the point: ``+.044``."""
    text = number(value)
    return text if text.startswith("-") else f"+{text}"


def p_text(p: float) -> str:
    """Return a p-value as ``.008``, ``<.001`` or ``1``."""
    if p < 0.001:
        return "<.001"
    return "1" if p >= 0.9995 else number(p)


def names_of(comparison: Comparison) -> dict[str, str]:
    """Return how views call each run: by its model, or by its own name if two runs have the same model."""
    models = [run.model for run in comparison.runs]
    distinct = all(models) and len(set(models)) == len(models)
    return {run.name: run.model if distinct else run.name for run in comparison.runs}


def language_name(code: str) -> str:
    """Return the English name of a language, or its code if it has none."""
    import langcodes

    try:
        name = langcodes.Language.get(code).display_name()
    except (LookupError, ValueError):
        return code
    return code if name.startswith("Unknown") else str(name)


def sentences(comparison: Comparison) -> list[str]:
    """Return the comparison of the first two runs in sentences: every language, the mean, and what limits it."""
    return [*pair_sentences(comparison, comparison.pairs[0]), *limits(comparison)]


def pair_sentences(comparison: Comparison, pair: PairComparison) -> list[str]:
    """Return the comparison of two runs in sentences: whether they are identical, the means, every language."""
    names = names_of(comparison)
    a, b = names[pair.a], names[pair.b]
    lines = [line for line in (identity(pair),) if line]
    if not pair.identical:
        # The answer comes first, its details after it.
        lines += list(_means(comparison, pair, a, b))
        lines += [_language(comparison, language, a, b) for language in pair.languages]
    return lines


def limits(comparison: Comparison) -> list[str]:
    """Return sentences that a reader of the numbers must know: single seeds, notes, differences that were allowed."""
    lines = [seeds_text(comparison), *comparison.notes, *(f"Forced: {problem}" for problem in comparison.forced)]
    return [line for line in lines if line]


def headline(comparison: Comparison) -> str:
    """Return the answer in one sentence: the better run, or which of the best runs can't be told apart."""
    names = names_of(comparison)
    if len(comparison.runs) == 2:
        pair = comparison.pairs[0]
        if pair.identical:
            return f"{names[pair.a]} and {names[pair.b]} have identical predictions."
        within = next(iter(_means(comparison, pair, names[pair.a], names[pair.b])), "")
        return within or _language(comparison, pair.languages[0], names[pair.a], names[pair.b])
    places = standings(comparison)
    top = [names[place.run] for place in places if place.is_top]
    if len(top) == 1:
        return f"{top[0]} is better than each of the {len(places) - 1} other runs in the mean over languages."
    if len(top) > MOST_NAMES:
        others = f"{len(top) - 1} others" if len(top) < len(places) else "any other"
        return f"No run is significantly better than {top[0]} or {others} in the mean over languages."
    if len(top) == len(places):
        return f"No run is significantly better than another in the mean over languages: {', '.join(top)}."
    return f"No run is significantly better than {', '.join(top[:-1])} or {top[-1]} in the mean over languages."


def identity(pair: PairComparison) -> str:
    """Return whether two runs have identical predictions, or in how many rows they differ."""
    if not pair.rows_that_differ:
        return ""
    rows = sum(language.rows for language in pair.languages)
    if pair.identical:
        close = pair.probabilities_differ
        return "identical predictions" + (f"; probabilities differ by up to {close:.1g}" if close else "")
    counts = ", ".join(
        f"{count:,} of {rows:,} rows" + (f" (seed {seed})" if len(pair.rows_that_differ) > 1 else "")
        for seed, count in pair.rows_that_differ.items()
    )
    return f"predictions differ in {counts}"


def seeds_text(comparison: Comparison) -> str:
    """Return a warning if a run has a single training seed."""
    names = names_of(comparison)
    single = [names[run.name] for run in comparison.runs if len(run.seeds) == 1]
    if not single:
        return ""
    subject = "Each run has" if len(single) == len(comparison.runs) else f"{' and '.join(single)} {_have(single)}"
    return f"{subject} one training seed: the result is about this checkpoint, not this method."


def _have(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def amount(comparison: Comparison, value: float) -> str:
    """Return the size of a difference: ``4.4 points``, or a number for a metric that is no share."""
    if not is_share(comparison.metric):
        return f"{abs(value):.3g}"
    text = f"{abs(value) * 100:.1f}".removesuffix(".0")
    return f"{text} point" if text == "1" else f"{text} points"


def _language(comparison: Comparison, language: LanguageComparison, a: str, b: str) -> str:
    name = language_name(language.language)
    start = f"{name} ({language.language})" if name != language.language else name
    if language.verdict == EQUIVALENT:
        assert comparison.margin is not None
        return (
            f"{start}: {a} and {b} are equivalent: their difference lies within "
            f"{amount(comparison, comparison.margin)} (p {p_text(language.p_equivalent or 0)})."
        )
    if language.verdict not in (UNDECIDED, TOO_FEW):
        better = a if language.verdict == A else b
        p = f"p {p_text(language.p_adjusted)}{_after_correction(comparison)}"
        return f"{start}: {better} is better by {amount(comparison, language.difference)} ({p})."
    if language.verdict == TOO_FEW:
        least = next(k for k in range(1, 100) if smallest_p(k) * len(comparison.languages) < ALPHA)
        return (
            f"{start}: too few: the runs differ in {language.discordant} of {_number(language.clusters, 'cluster')}, "
            f"and fewer than {least} can't show a difference{_after_correction(comparison)}. "
            f"{_power(comparison, language)}"
        )
    return f"{start}: {_balance(comparison, language, a, b)} {_power(comparison, language)}"


def _balance(comparison: Comparison, language: LanguageComparison, a: str, b: str) -> str:
    only_a, only_b = (f"{count:.1f}".removesuffix(".0") for count in (language.only_a, language.only_b))
    chance = f"this can be chance (p {p_text(language.p)})"
    if language.p < ALPHA:
        chance = (
            f"alone that would be significant (p {p_text(language.p)}),{_after_correction(comparison)} it is not "
            f"(p {p_text(language.p_adjusted)})"
        )
    if is_proportion(comparison.metric):
        return f"{a} got {only_a} and {b} {only_b} of the rows that only one of them got; {chance}."
    return f"the difference is {amount(comparison, language.difference)}; {chance}."


def _power(comparison: Comparison, language: LanguageComparison) -> str:
    corrected = ""
    if len(comparison.languages) > 1:
        corrected = f", {amount(comparison, language.detectable_adjusted)}{_after_correction(comparison)}"
    text = f"With {_number(language.rows, 'row')} you would see {amount(comparison, language.detectable)}{corrected}."
    if is_share(comparison.metric):
        if language.detectable >= 1:
            text = f"{_number(language.rows, 'row').capitalize()} can show no difference at all."
        for delta, rows in language.rows_for.items():
            text += f" To see {amount(comparison, float(delta))} you need about {_rounded(rows):,} rows."
    return text


def _means(comparison: Comparison, pair: PairComparison, a: str, b: str) -> Iterator[str]:
    if len(pair.languages) < 2:
        return
    yield f"Mean over languages: {_mean(comparison, pair.mean, a, b)}"
    weighted = _mean(comparison, pair.weighted_mean, a, b)
    yield f"Mean weighted by precision, in which small languages count less: {weighted}"
    if pair.p_equivalent is not None and pair.verdict == EQUIVALENT:
        assert comparison.margin is not None
        yield (
            f"In the mean over languages {a} and {b} are equivalent: the difference lies within "
            f"{amount(comparison, comparison.margin)} (p {p_text(pair.p_equivalent)})."
        )


def _mean(comparison: Comparison, mean: Difference, a: str, b: str) -> str:
    difference = f"{a} minus {b} {signed(mean.difference)}"
    interval = f"{difference}, 95 % {signed(mean.low)} to {signed(mean.high)}, p {p_text(mean.p)}"
    if mean.p < ALPHA:
        better = b if (mean.difference < 0) != comparison.lower_is_better else a
        return f"{better} is better ({interval})."
    return f"the runs can't be told apart ({interval})."


def _after_correction(comparison: Comparison) -> str:
    count = len(comparison.languages)
    return f" after correction for {count} languages" if count > 1 else ""


def _number(count: int, unit: str) -> str:
    return f"{count:,} {unit}" + ("" if count == 1 else "s")


def _rounded(rows: int) -> int:
    """Return a number of rows with two significant digits."""
    return (
        int(f"{rows:.1e}".partition("e")[0].replace(".", "")) * 10 ** max(len(str(rows)) - 2, 0) if rows > 99 else rows
    )
