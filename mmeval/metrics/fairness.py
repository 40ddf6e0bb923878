"""Fair comparison of languages: top-1 controlled for class mix, and top-1 by script and by language family.

Languages often differ in accuracy because they have other classes: a shop's Estonian rows may be shoes and its Greek
ones dresses. **Direct standardisation** compares them as if all had the same classes: the accuracy in each class is
averaged with the class shares of all languages pooled, ``sum_c w_c acc_{l,c}`` (Fleiss, Levin and Paik 2003, chapter
19), over the classes that every language has, the *support*.

Both standardised scores and means over groups of languages are weighted means of hits. Each becomes a plain mean of
*pseudo-values*, which have the same mean and the same influence of every row, so that the intervals and tests of
:mod:`mmeval.metrics.languages` hold for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmeval.data.languages import family_of, script_of
from mmeval.metrics.intervals import FEW_CLUSTERS, FEW_ROWS, proportion, proportions_of
from mmeval.metrics.languages import LanguageSummary, language_test, summarize_moments, summary_rows
from mmeval.metrics.moments import Floats, Ints, Layout, Moments, correction, moments
from mmeval.metrics.row import ALL, GAP, MACRO, WORST, Interval, ScoreRow

STANDARDIZED = "top1_standardized"
"""Metric: top-1 if every language had the classes of all languages pooled."""
SUPPORT_SHARE = "top1_standardized_support"
"""Metric: share of the rows whose class every language has; the standardised top-1 rests on these rows only."""
EFFECTIVE_ROWS = "top1_standardized_rows"
"""Metric: number of rows of equal weight that would determine the standardised top-1 as exactly."""
LEAST_SHARE = 0.5
"""The support must hold at least this share of the rows."""
GROUPINGS: dict[str, Callable[[str], str]] = {"script": script_of, "family": family_of}
"""Groupings of languages: by name, the function that returns the group of a language code, empty if unknown."""


def fairness_rows(
    hits: ArrayLike,
    true: ArrayLike,
    language: ArrayLike,
    cluster: ArrayLike,
    languages: Sequence[str],
    classes: int,
    slices: Collection[str] = (),
) -> Iterator[ScoreRow]:
    """Yield the rows of Scores of top-1 controlled for class mix, by script and by family.

    Args:
        hits: 0 or 1 for each labelled row ``[n]``, or for each training seed and row ``[S, n]``.
        true: index of the true class of each row, ``[n]``.
        language: index of the language of each row, ``[n]``.
        cluster: index of the cluster of each row, ``[n]``.
        languages: the languages' codes.
        classes: number of classes.
        slices: names of the data set's slice columns.
    """
    result = standardize(hits, true, language, cluster, len(languages), classes)
    yield from standardized_rows(result, languages)
    yield from group_rows(hits, language, cluster, languages, slices)


@dataclass(frozen=True)
class Support:
    """The languages and classes over which class mix is controlled."""

    languages: tuple[int, ...]
    """Indices of the languages that are compared; empty if class mix can't be controlled."""
    classes: tuple[int, ...]
    """Indices of the classes that each of these languages has."""
    weights: Floats
    """Weight of each class ``[classes]``: its share of these languages' rows in these classes; sums to 1."""
    left_out: tuple[int, ...]
    """Indices of the languages with rows that are left out, because they have too few rows or classes."""
    reason: str
    """Why class mix can't be controlled, as a sentence; empty if it can."""


def choose_support(true: ArrayLike, language: ArrayLike, count: int, classes: int) -> Support:
    """Choose the languages and classes over which class mix is controlled. Only labels decide, never predictions.

    Languages with fewer than 30 rows are left out. As long as the classes that all others have hold less than half of
    their rows, the language with the fewest rows is left out as well (of equal ones the last).

    Args:
        true: index of the true class of each row, ``[n]``.
        language: index of the language of each row, ``[n]``.
        count: number of languages, with or without rows.
        classes: number of classes.
    """
    table = np.bincount(
        np.asarray(language).astype(np.int64) * classes + np.asarray(true), minlength=count * classes
    ).reshape(count, classes)
    rows = table.sum(1)
    present = np.flatnonzero(rows)
    # From the largest language to the smallest; the sort is stable, so that of equal ones the last is dropped first.
    chosen = [int(code) for code in present[np.argsort(-rows[present], kind="stable")] if rows[code] >= FEW_ROWS]
    enough = len(chosen)
    while len(chosen) > 1:
        support = (table[chosen] > 0).all(0)
        inside = table[chosen][:, support].sum()
        if inside >= LEAST_SHARE * rows[chosen].sum():
            weights = np.where(support, table[chosen].sum(0), 0) / inside
            left_out = tuple(sorted(set(present.tolist()) - set(chosen)))
            return Support(tuple(sorted(chosen)), tuple(np.flatnonzero(support).tolist()), weights, left_out, "")
        chosen.pop()
    if enough < 2:
        reason = f"fewer than two languages have {FEW_ROWS} rows."
    else:
        reason = f"no two languages share classes that hold {100 * LEAST_SHARE:.0f} % of their rows."
    nothing = np.zeros(classes)
    return Support((), (), nothing, tuple(present.tolist()), f"Class mix can't be controlled: {reason}")


@dataclass(frozen=True)
class Standardized:
    """Top-1 of languages as if all had the same classes."""

    support: Support
    value: Floats
    """Standardised top-1 of each language ``[languages]``; NaN for a language that is left out."""
    intervals: tuple[Interval, ...]
    """Interval of each language."""
    layout: Layout
    """Languages and clusters of the rows in the support."""
    share: Floats
    """Share of each language's rows that lie in the support, ``[languages]``; NaN without rows."""
    total_share: float
    """Share of all rows of the compared languages that lie in the support."""
    effective_rows: Floats
    """``1 / sum of squared row weights`` of each language, ``[languages]``."""
    summary: LanguageSummary
    """Mean, worst language and gap of the standardised scores, with the test that they are equal in every class."""


def standardize(
    hits: ArrayLike, true: ArrayLike, language: ArrayLike, cluster: ArrayLike, count: int, classes: int
) -> Standardized:
    """Control top-1 of languages for their class mix by direct standardisation.

    The class weights are taken as given, as a standard population is. The variance is that of a weighted mean over
    clusters, ``G / (G - 1) * sum_g (sum_{i in g} v_i (h_i - value))^2`` with row weights ``v_i = w_c / n_{l,c}``, and
    at least that of independent rows. Deviations are taken from the language's value rather than from the accuracy in
    the row's class, because a class with one row would have no deviation at all; this makes intervals of single
    languages somewhat too wide. The test that languages are equal is a permutation test within classes (the generalised
    Cochran-Mantel-Haenszel test).

    Args:
        hits: 0 or 1 for each row ``[n]``, or for each training seed and row ``[S, n]``.
        true: index of the true class of each row, ``[n]``.
        language: index of the language of each row, ``[n]``.
        cluster: index of the cluster of each row, ``[n]``.
        count: number of languages, with or without rows.
        classes: number of classes.
    """
    # Columns keep their types, and are copied only if rows are left out: millions of rows are some gigabytes.
    hit = np.atleast_2d(np.asarray(hits))
    label, code, group = (_integers(column) for column in (true, language, cluster))
    support = choose_support(label, code, count, classes)
    all_rows = np.bincount(code, minlength=count)
    compared, supported = np.zeros(count, bool), np.zeros(classes, bool)
    compared[list(support.languages)], supported[list(support.classes)] = True, True
    inside_support = compared[code] & supported[label]
    if not inside_support.all():
        kept = np.flatnonzero(inside_support)
        hit, label, code, group = hit[:, kept], label[kept], code[kept], group[kept]
    cell = code.astype(np.int64) * classes + label
    weights = support.weights[label] / np.bincount(cell, minlength=1)[cell]
    del cell
    weighted = _weighted_proportions(hit, code, group, weights, count)
    test = _test_within_classes(hit.mean(0), label, code, group, count, classes)
    rows = weighted.layout.rows
    inside, of_compared = int(rows.sum()), int(all_rows[compared].sum())
    return Standardized(
        support=support,
        value=weighted.parts.value,
        intervals=tuple(weighted.intervals()),
        layout=weighted.layout,
        share=np.divide(rows, all_rows, out=np.full(count, np.nan), where=compared),
        total_share=inside / of_compared if of_compared else math.nan,
        effective_rows=weighted.effective_rows,
        summary=weighted.summary(test),
    )


def standardized_rows(result: Standardized, languages: Sequence[str]) -> Iterator[ScoreRow]:
    """Yield the rows of Scores: the value of each language, their mean, worst and gap, share and effective rows."""
    layout = result.layout
    for code in result.support.languages:
        facts: dict[str, Any] = {"n": int(layout.rows[code]), "language": languages[code]}
        yield ScoreRow(STANDARDIZED, float(result.value[code]), interval=result.intervals[code], **facts)
        yield ScoreRow(SUPPORT_SHARE, float(result.share[code]), **facts)
        yield ScoreRow(EFFECTIVE_ROWS, float(result.effective_rows[code]), **facts)
    if result.support.languages:
        yield ScoreRow(SUPPORT_SHARE, result.total_share, int(layout.rows.sum()))
        yield from summary_rows(STANDARDIZED, ALL, result.summary, layout.rows)


def standardized_notes(result: Standardized, languages: Sequence[str]) -> list[str]:
    """Return a sentence about the languages and classes that are compared, or about why none can be."""
    support = result.support
    if support.reason:
        return [support.reason]
    text = (
        f"Top-1 is controlled for class mix over {len(support.languages)} languages and the {len(support.classes)} "
        f"of {len(support.weights)} classes that all of them have, which hold {100 * result.total_share:.0f} % of "
        "their rows"
    )
    if support.left_out:
        text += f"; left out, with too few rows or classes: {', '.join(languages[code] for code in support.left_out)}"
    return [f"{text}."]


def group_rows(
    hits: ArrayLike,
    language: ArrayLike,
    cluster: ArrayLike,
    languages: Sequence[str],
    slices: Collection[str] = (),
) -> Iterator[ScoreRow]:
    """Yield top-1 by script and by family of the languages, and the gap between the groups.

    Each group, such as ``script=Latn``, has the mean over its languages (``macro``) and that of its rows (``all``). The
    slices ``script`` and ``family`` have the worst group and the gap between the groups' means over languages, with p
    of the test that all groups have the same mean. Languages of unknown script or family are left out. If all languages
    are in the same group, there is nothing to compare and no row.

    Args:
        hits: 0 or 1 for each row ``[n]``, or for each training seed and row ``[S, n]``.
        language: index of the language of each row, ``[n]``.
        cluster: index of the cluster of each row, ``[n]``.
        languages: the languages' codes.
        slices: names of the data set's slice columns; a grouping of such a name is left out.
    """
    hit = np.atleast_2d(np.asarray(hits))
    code, unit = _integers(language), _integers(cluster)
    present = np.flatnonzero(np.bincount(code, minlength=len(languages))).tolist()
    for grouping, group_of in GROUPINGS.items():
        if grouping in slices:
            continue
        names = {index: name for index in present if (name := group_of(languages[index]))}
        groups = sorted(set(names.values()))
        if len(groups) > 1:
            group = np.array([groups.index(names[i]) if i in names else -1 for i in range(len(languages))])
            yield from _of_groups(hit, code, unit, group, [f"{grouping}={name}" for name in groups], grouping)


def _of_groups(
    hits: Floats, language: Ints, cluster: Ints, group: Ints, names: Sequence[str], grouping: str
) -> Iterator[ScoreRow]:
    """Yield the rows of one grouping; ``group`` is the index of each language's group, -1 for none or without rows."""
    count = len(group)
    group = group.astype(np.int32)
    of_row = group[language]
    if (of_row < 0).any():
        known = np.flatnonzero(of_row >= 0)
        hits, language, cluster, of_row = hits[:, known], language[known], cluster[known], of_row[known]
    sizes = np.bincount(language, minlength=count)
    of_group = np.bincount(group[group >= 0], minlength=len(names))
    weights = 1 / (of_group[of_row] * sizes[language])
    weighted = _weighted_proportions(hits, of_row, cluster, weights, len(names), language)
    for number, name in enumerate(names):
        rows = np.flatnonzero(of_row == number)
        facts: dict[str, Any] = {"n": len(rows), "slice": name}
        layout = Layout(language[rows], cluster[rows], count)
        own = summarize_moments(moments(hits[:, rows], layout), layout, (math.nan, "max-t")).mean
        yield ScoreRow("top1", own.value, language=MACRO, interval=own.interval, **facts)
        pooled = proportion(hits[:, rows], cluster[rows])
        yield ScoreRow("top1", float(hits[:, rows].mean()), interval=pooled, **facts)
    for row in summary_rows("top1", grouping, weighted.summary(None), weighted.layout.rows):
        if row.language in (WORST, GAP):
            yield row


def _integers(column: ArrayLike) -> Ints:
    """Return a column of indices as an array of integers, without a copy if it is one."""
    array = np.asarray(column)
    return array if array.dtype.kind in "iu" else array.astype(np.int64)


class _Weighted:
    """Weighted proportions of groups of rows."""

    def __init__(self, parts: Moments, layout: Layout, effective_rows: Floats) -> None:
        self.parts, self.layout, self.effective_rows = parts, layout, effective_rows

    def intervals(self) -> Iterator[Interval]:
        """Yield the interval of each group, as :func:`mmeval.metrics.intervals.proportions_of` does."""
        reliable = (self.effective_rows >= FEW_ROWS) & (self.layout.clusters >= FEW_CLUSTERS)
        intervals = proportions_of(self.parts, self.layout)
        for interval, enough in zip(intervals, reliable.tolist(), strict=True):
            yield interval._replace(reliable=enough and interval.reliable)

    def summary(self, test: tuple[float, str] | None) -> LanguageSummary:
        """Return mean, worst and gap of the groups; without a ``test``, p is that of the largest difference."""
        return summarize_moments(self.parts, self.layout, test or (math.nan, "max-t"))


def _weighted_proportions(
    hits: Floats, group: Ints, cluster: Ints, weights: Floats, count: int, language: Ints | None = None
) -> _Weighted:
    """Return weighted proportions of groups of rows, with covariances and effective sizes.

    The pseudo-value of a row is ``value + n * weight * (hit - centre)``: its mean over the group is the weighted mean
    of the hits, and its deviation over n the influence of the row.

    Args:
        hits: 0 or 1 for each seed and row, ``[S, n]``.
        group: index of the group of each row, ``[n]``.
        cluster: index of the cluster of each row, ``[n]``.
        weights: weight of each row, ``[n]``; those of a group sum to 1.
        count: number of groups, with or without rows.
        language: index of the language of each row ``[n]``, if groups consist of languages whose rows have the same
            weight. Hits then deviate from the mean of their language, otherwise from the weighted mean of the group.
    """
    layout = Layout(group, cluster, count)
    value = np.stack([np.bincount(group, weights * row, minlength=count) for row in hits]).astype(np.float64)
    value[:, layout.rows == 0] = np.nan
    # Sums of weights are 1 up to rounding errors, but rows that are all right or all wrong must be known as such.
    value = np.where(np.abs(value - np.rint(value)) < 1e-12, np.rint(value), value)
    of_row = centre = value[:, group]
    spread = of_row.mean(0) * (1 - of_row.mean(0))
    if language is not None:
        sizes = np.bincount(language)[language]
        centre = np.stack([np.bincount(language, row)[language] for row in hits]) / sizes
        # With two right and two wrong rows more, as a small language may be all right by chance.
        share = (centre.mean(0) * sizes + 2) / (sizes + 4)
        spread = share * (1 - share)
    parts = moments(of_row + layout.rows[group] * weights * (hits - centre), layout)
    kish = np.bincount(layout.cell_language, layout.cell_sums(weights) ** 2, minlength=count)
    single = np.bincount(group, weights**2, minlength=count)
    layout.kish = np.divide(1, kish, out=np.zeros(count), where=kish > 0)
    # The variance of independent rows with these weights; the rows of a small class may all be alike by chance.
    independent = np.bincount(group, weights**2 * spread, minlength=count) * correction(layout.rows)
    parts = parts._replace(value=value.mean(0), unclustered=np.maximum(parts.unclustered, independent))
    effective = np.divide(1, single, out=np.zeros(count), where=single > 0)
    return _Weighted(parts, layout, effective)


def _test_within_classes(
    hits: Floats, true: Ints, language: Ints, cluster: Ints, count: int, classes: int
) -> tuple[float, str]:
    """Return p and name of the test that all languages have the same accuracy within each class.

    Languages are permuted among the rows of the same cluster and class, and among clusters of the same class and size
    that have one language only.
    """
    return language_test(hits, Layout(language, cluster.astype(np.int64) * classes + true, count), strata=true)
