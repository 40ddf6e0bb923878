"""The comparison of several runs on the same rows: differences, verdicts and ranks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval.comparison.alignment import Alignment, SeedOutcomes, count_metrics, values_by_run
from mmeval.comparison.cells import Cells
from mmeval.comparison.correction import Correction, adjust, holm
from mmeval.comparison.equivalence import equivalence_p
from mmeval.comparison.flips import smallest_p
from mmeval.comparison.label_sets import members
from mmeval.comparison.paired import Difference, LanguageDifference, PairedDifferences, RunValues, compare_pairs
from mmeval.comparison.ranks import RankRange, rank_ranges
from mmeval.data.power import ALPHA, DIFFERENCES, detectable, rows_for
from mmeval.errors import UserError
from mmeval.metrics.catalogue import title
from mmeval.record import Efficiency

A, B, EQUIVALENT, UNDECIDED, TOO_FEW = "a", "b", "equivalent", "undecided", "too few"
"""The verdicts. ``undecided`` and ``too few`` mean that the data can't tell, never that there is no difference."""


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison."""

    name: str
    """The name by which the comparison calls it: the name of its folder, or its path if two have the same name."""
    model: str = ""
    path: str = ""
    seeds: tuple[int, ...] = (0,)
    value: float = float("nan")
    """Mean over languages of the metric, the mean over seeds."""
    languages: Mapping[str, float] = field(default_factory=dict)
    """The metric by language, the mean over seeds."""
    efficiency: Efficiency | None = None
    """Size, cost and speed of the model, if the record of the run has them."""

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        efficiency = self.efficiency.model_dump(mode="json") if self.efficiency else None
        return vars(self) | {"seeds": list(self.seeds), "languages": dict(self.languages), "efficiency": efficiency}


@dataclass(frozen=True)
class LanguageComparison:
    """Two runs in one language."""

    language: str
    rows: int
    clusters: int
    only_a: float
    only_b: float
    difference: float
    se: float
    low: float
    high: float
    p: float
    p_adjusted: float
    detectable: float
    """The true difference that these rows would show with probability 0.8."""
    detectable_adjusted: float
    """The same after the correction for the number of languages."""
    rows_for: Mapping[str, int]
    """The number of rows that would show a difference."""
    verdict: str
    """``a`` or ``b`` is better, ``equivalent``, ``undecided`` or ``too few``."""
    discordant: int
    """Clusters in which the runs differ."""
    p_equivalent: float | None = None
    """p of the test that the difference lies within the margin, corrected for the number of languages."""

    def to_dict(self) -> dict[str, Any]:
        """Return the language as JSON values."""
        values = {name: value for name, value in vars(self).items() if name not in ("discordant", "p_equivalent")}
        # Whole unless there are several seeds.
        whole = {name: int(values[name]) for name in ("only_a", "only_b") if values[name] == int(values[name])}
        return values | whole | {"rows_for": dict(self.rows_for)}


@dataclass(frozen=True)
class PairComparison:
    """Two runs."""

    a: str
    b: str
    languages: tuple[LanguageComparison, ...]
    mean: Difference
    """Mean over languages, each with the same weight."""
    weighted_mean: Difference
    """Mean over languages, each weighted by its precision."""
    p_adjusted: float
    """p of the mean, corrected for the number of pairs (Holm)."""
    verdict: str
    """The verdict on the mean over languages."""
    p_equivalent: float | None
    """p of the test that the mean over languages lies within the margin."""
    rows_that_differ: Mapping[str, int]
    """Rows with another predicted class, by training seed that both runs have."""
    probabilities_differ: float
    """The largest difference between the confidences of rows with the same predicted class; 0 without probabilities."""

    @property
    def identical(self) -> bool:
        """Whether the runs predict the same class in every row, in each training seed that both have."""
        return bool(self.rows_that_differ) and not any(self.rows_that_differ.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the pair as JSON values."""
        return {
            "a": self.a,
            "b": self.b,
            "languages": [language.to_dict() for language in self.languages],
            "mean": _summary(self.mean),
            "weighted_mean": _summary(self.weighted_mean),
            "identical": self.identical,
            "rows_that_differ": dict(self.rows_that_differ),
        }


@dataclass(frozen=True)
class Comparison:
    """The comparison of two or more runs by one metric of one task."""

    runs: tuple[ComparedRun, ...]
    metric: str
    task: str
    correction: Correction
    margin: float | None
    rows: int
    """Rows that are compared."""
    pairs: tuple[PairComparison, ...]
    """All pairs, in the order of the runs; the first one is of the first two runs."""
    ranks: tuple[RankRange, ...]
    """For each run the ranks that it may have."""
    lower_is_better: bool = False
    notes: tuple[str, ...] = ()
    """Sentences that a reader of the numbers must know."""
    forced: tuple[str, ...] = ()
    """The differences between the runs that ``force`` allowed."""

    @property
    def a(self) -> str:
        """The name of the first run."""
        return self.pairs[0].a

    @property
    def b(self) -> str:
        """The name of the second run."""
        return self.pairs[0].b

    @property
    def languages(self) -> tuple[LanguageComparison, ...]:
        """The first two runs in each language."""
        return self.pairs[0].languages

    @property
    def mean(self) -> Difference:
        """The difference of the first two runs in the mean over languages."""
        return self.pairs[0].mean

    @property
    def weighted_mean(self) -> Difference:
        """The difference of the first two runs in the precision-weighted mean over languages."""
        return self.pairs[0].weighted_mean

    def pair(self, a: str, b: str) -> PairComparison | None:
        """Return the comparison of two runs by name, A before B as they were compared; None if there is none."""
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {a, b}), None)

    def renamed(self, names: Mapping[str, str]) -> Comparison:
        """Return the comparison with other names of its runs, in its notes, too."""

        def text(line: str) -> str:
            for name in sorted(names, key=len, reverse=True):
                line = line.replace(name, names[name])
            return line

        return replace(
            self,
            runs=tuple(replace(run, name=names[run.name]) for run in self.runs),
            pairs=tuple(replace(pair, a=names[pair.a], b=names[pair.b]) for pair in self.pairs),
            notes=tuple(map(text, self.notes)),
            forced=tuple(map(text, self.forced)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values.

        ``a``, ``b``, ``languages``, ``mean`` and ``weighted_mean`` are of the first two runs; ``pairs`` has all pairs,
        and with more than two runs ``pair_tables`` has the languages of each.
        """
        first = self.pairs[0].to_dict()
        names = [run.name for run in self.runs]
        data: dict[str, Any] = {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            "task": self.task,
            "correction": self.correction,
            "margin": self.margin,
            "rows": self.rows,
            "languages": first["languages"],
            "mean": first["mean"],
            "weighted_mean": first["weighted_mean"],
            "identical": first["identical"],
            "rows_that_differ": first["rows_that_differ"],
            "pairs": [
                {"a": pair.a, "b": pair.b, "difference": pair.mean.difference, "p": pair.mean.p}
                | {"p_adjusted": pair.p_adjusted}
                for pair in self.pairs
            ],
            "ranks": [
                {"run": name, "best": rank.best, "worst": rank.worst}
                for name, rank in zip(names, self.ranks, strict=True)
            ],
            "runs": [run.to_dict() for run in self.runs],
            "notes": list(self.notes),
            "forced": list(self.forced),
        }
        if len(self.pairs) > 1:
            data["pair_tables"] = [pair.to_dict() for pair in self.pairs]
        finite: dict[str, Any] = _finite(data)
        return finite


def _summary(estimate: Difference) -> dict[str, float]:
    return {name: getattr(estimate, name) for name in ("difference", "se", "low", "high", "p")}


def _finite(data: Any) -> Any:  # noqa: ANN401 - what JSON holds
    """Return data with None in place of NaN and infinity, which JSON lacks."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data


def compare_aligned(
    alignment: Alignment,
    runs: Sequence[ComparedRun],
    outcomes: Sequence[Mapping[int, SeedOutcomes]],
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    correction: Correction = "holm",
    margin: float | None = None,
    lower_is_better: bool = False,
    forced: Sequence[str] = (),
    advance: Callable[[], object] = lambda: None,
) -> Comparison:
    """Compare runs pair by pair.

    Args:
        alignment: the shared rows, after every seed of every run was added.
        runs: the runs.
        outcomes: for each run its outcomes by training seed.
        pairs: numbers of the runs of each pair; by default all pairs. Ranks need all pairs.
        correction: the correction over languages.
        margin: the largest difference that does not matter; None: no test of equivalence.
        lower_is_better: whether lower values of the metric are better.
        forced: differences between the runs that the user allowed, beside those of the rows.
        advance: called after each pair, for a metric that is a mean over rows.

    Raises:
        UserError: there are fewer than two runs, the margin is not above 0, or the runs share no row.
    """
    if len(runs) < 2:
        raise UserError("A comparison needs at least two runs.")
    if margin is not None and not (np.isfinite(margin) and margin > 0):
        raise UserError(
            f"--margin {margin:g}: write the largest difference that does not matter, above 0, such as 0.02."
        )
    rows: NDArray[np.integer] = np.flatnonzero(alignment.shared)
    if not len(rows):
        raise UserError("The runs share no row, so there is nothing to compare.")
    metric, notes = alignment.metric, list(alignment.notes)
    sets = members(alignment.classes) if alignment.is_multilabel else None
    present = set(np.unique(alignment.languages.codes[rows]).tolist())
    if absent := [name for code, name in enumerate(alignment.languages.names) if code not in present]:
        notes.append(f"No labelled rows: {', '.join(absent)}.")
    if metric in count_metrics(multilabel=alignment.is_multilabel):
        rows, note = _rows_with_classes(alignment, rows, sets)
        notes += [note] if note else []
    codes, language = np.unique(alignment.languages.codes[rows], return_inverse=True)
    names = [alignment.languages.names[code] for code in codes]
    cells = Cells.of(language, alignment.clusters.codes[rows].astype(np.int64), len(names))
    pairs = list(itertools.combinations(range(len(runs)), 2)) if pairs is None else pairs
    if metric in count_metrics(multilabel=alignment.is_multilabel):
        from mmeval.comparison.class_counts import compare_counts

        true, classes = alignment.true[rows], len(alignment.classes)
        predicted = [np.stack([each.predicted[rows] for each in seeds.values()]) for seeds in outcomes]
        results, values, note = compare_counts(metric, true, predicted, classes, cells, pairs, sets=sets)
        notes += [note] if note else []
    else:
        of_runs = [RunValues.of(values_by_run(seeds, rows), cells) for seeds in outcomes]
        values = [run.means.mean(0) for run in of_runs]
        results = compare_pairs(cells, of_runs, pairs, advance)
    p_adjusted = holm([result.mean.p for result in results])
    down = lower_is_better
    compared = []
    for (a, b), result, p in zip(pairs, results, p_adjusted, strict=True):
        differ, largest = _differing_rows(outcomes[a], outcomes[b], rows)
        p_equivalent = None if margin is None else equivalence_p(result.mean, margin)
        compared.append(
            PairComparison(
                a=runs[a].name,
                b=runs[b].name,
                languages=_languages(names, result, correction, margin, down=down),
                mean=result.mean,
                weighted_mean=result.weighted_mean,
                p_adjusted=float(p),
                verdict=_verdict(result.mean.difference, float(p), p_equivalent, down=down),
                p_equivalent=p_equivalent,
                rows_that_differ=differ,
                probabilities_differ=largest,
            )
        )
    better = [
        (b, a) if (result.mean.difference < 0) != down else (a, b)
        for (a, b), result, p in zip(pairs, results, p_adjusted, strict=True)
        if p < ALPHA
    ]
    return Comparison(
        runs=tuple(
            replace(run, value=float(value.mean()), languages=dict(zip(names, value.tolist(), strict=True)))
            for run, value in zip(runs, values, strict=True)
        ),
        metric=metric,
        task=alignment.task,
        correction=correction,
        margin=margin,
        rows=len(rows),
        pairs=tuple(compared),
        ranks=tuple(rank_ranges(len(runs), better)),
        lower_is_better=down,
        notes=tuple(notes),
        forced=(*forced, *alignment.problems),
    )


def _rows_with_classes(
    alignment: Alignment, rows: NDArray[np.integer], sets: NDArray[np.bool_] | None
) -> tuple[NDArray[np.integer], str]:
    """Return the rows of the languages in which a metric of class counts has a value, and a sentence about the others.

    Raises:
        UserError: it has no value in any language.
    """
    from mmeval.comparison.class_counts import undefined_languages

    names, codes = alignment.languages.names, alignment.languages.codes[rows]
    true, classes = alignment.true[rows], len(alignment.classes)
    undefined = undefined_languages(alignment.metric, true, classes, codes, len(names), sets)
    present = np.bincount(codes, minlength=len(names)) > 0
    left_out = ", ".join(names[code] for code in np.flatnonzero(undefined & present))
    if not left_out:
        return rows, ""
    if not (present & ~undefined).any():
        raise UserError(f"No row has a label of {alignment.task}, so {title(alignment.metric)} can't be compared.")
    sentence = f"{title(alignment.metric)} leaves out {left_out}: no row there has one of the classes that it averages."
    return rows[~undefined[codes]], sentence


def _languages(
    names: Sequence[str], result: PairedDifferences, correction: Correction, margin: float | None, *, down: bool
) -> tuple[LanguageComparison, ...]:
    """Return the languages of a pair with corrected p-values and verdicts."""
    estimates = [language.estimate for language in result.languages]
    adjusted = adjust([estimate.p for estimate in estimates], correction)
    equivalent: Sequence[float | None] = [None] * len(estimates)
    if margin is not None:
        p_equivalent = [equivalence_p(estimate, margin) for estimate in estimates]
        equivalent = adjust(p_equivalent, correction).tolist()
    return tuple(
        _language(name, language, float(p), p_equivalent, len(names), down=down)
        for name, language, p, p_equivalent in zip(names, result.languages, adjusted, equivalent, strict=True)
    )


def _language(
    name: str, result: LanguageDifference, p_adjusted: float, p_equivalent: float | None, tests: int, *, down: bool
) -> LanguageComparison:
    estimate = result.estimate
    smallest = detectable(estimate.se)
    verdict = _verdict(estimate.difference, p_adjusted, p_equivalent, down=down)
    if verdict == UNDECIDED and smallest_p(result.discordant) * tests >= ALPHA:
        verdict = TOO_FEW
    return LanguageComparison(
        language=name,
        rows=result.rows,
        clusters=result.clusters,
        only_a=result.only_a,
        only_b=result.only_b,
        difference=estimate.difference,
        se=estimate.se,
        low=estimate.low,
        high=estimate.high,
        p=estimate.p,
        p_adjusted=p_adjusted,
        detectable=smallest,
        detectable_adjusted=detectable(estimate.se, tests),
        rows_for={f"{delta:g}": rows_for(result.rows, smallest, delta) for delta in DIFFERENCES},
        verdict=verdict,
        discordant=result.discordant,
        p_equivalent=p_equivalent,
    )


def _verdict(difference: float, p: float, p_equivalent: float | None, *, down: bool) -> str:
    """Return the verdict; a difference within the margin does not matter, even if it is significant."""
    if p_equivalent is not None and p_equivalent < ALPHA:
        return EQUIVALENT
    if p < ALPHA:
        return B if (difference < 0) != down else A
    return UNDECIDED


def _differing_rows(
    a: Mapping[int, SeedOutcomes], b: Mapping[int, SeedOutcomes], rows: NDArray[np.integer]
) -> tuple[dict[str, int], float]:
    """Return the number of rows with another predicted class, by seed, and the largest difference of confidences."""
    counts, largest = {}, 0.0
    for seed in (seed for seed in a if seed in b):
        differ = a[seed].predicted[rows] != b[seed].predicted[rows]
        counts[str(seed)] = int(differ.sum())
        confidence_a, confidence_b = a[seed].confidence, b[seed].confidence
        if confidence_a is not None and confidence_b is not None and not differ.all():
            largest = max(largest, float(np.abs(confidence_a[rows] - confidence_b[rows])[~differ].max()))
    return counts, largest
