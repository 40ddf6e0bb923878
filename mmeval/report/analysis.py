"""What a report shows beside Scores, computed from the predictions of a run: classes, confusions, confidence.

Nothing here needs the model or the data set, so ``mmeval report`` makes it again from the run folder alone. With
several training seeds all numbers are means over the seeds, as in Scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.bootstrap import ClassCounts, Groups, resampled
from mmeval.metrics.calibration import BINS, risk_coverage
from mmeval.metrics.counts import Counts, f1_per_class, precision_per_class, recall_per_class
from mmeval.metrics.intervals import CLASS_ROWS, FEW_ROWS, basic, proportions
from mmeval.metrics.moments import Layout
from mmeval.metrics.multilabel import predicted_classes
from mmeval.metrics.multilabel_outcomes import MultilabelOutcomes
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions
from mmeval.metrics.row import NO, Interval
from mmeval.record import DataCheck

MOST_CLASSES = 250
"""Classes in the table of classes and in the heat map; of more, those with the most rows."""
MOST_CONFUSED, MOST_CONFUSED_LANGUAGE = 20, 5
"""Pairs of classes in the table of confusions, over all languages and of each language."""
CLASS_RESAMPLES = 400
"""Bootstrap resamples for the intervals of precision and F1 of the classes."""
MOST_CLUSTERS = 1_000_000
"""With more clusters, precision and F1 of the classes have no intervals, which would take minutes."""
RISK_POINTS = 100
"""Points of a risk-coverage curve."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Value:
    """A share with its 95 % interval; NaN where there is none."""

    value: float
    interval: Interval = NO


@dataclass(frozen=True)
class ClassRow:
    """Precision, recall and F1 of a class over all languages."""

    name: str
    n: int
    """Number of rows of the class."""
    precision: Value
    recall: Value
    f1: Value


@dataclass(frozen=True)
class Heat:
    """Recall of each class in each language: the share of its rows that are predicted correctly."""

    classes: tuple[str, ...]
    languages: tuple[str, ...]
    n: Ints
    """Rows of each class in each language, ``[classes, languages]``."""
    recall: Floats
    """NaN where a class has no rows in a language, ``[classes, languages]``."""


@dataclass(frozen=True)
class Confusion:
    """How often rows of one class are predicted as another."""

    true: str
    predicted: str
    count: float
    """Rows, the mean over training seeds."""
    share: float
    """Share of all rows of the true class."""
    reverse: float
    """Rows of ``predicted`` that are predicted as ``true``."""


@dataclass(frozen=True)
class Bin:
    """A bin of a reliability curve."""

    low: float
    high: float
    n: float
    """Rows, the mean over training seeds."""
    confidence: float
    """Mean confidence of the rows."""
    accuracy: Value
    """Share of the rows that are predicted correctly."""


@dataclass(frozen=True)
class Reliability:
    """A reliability curve: accuracy by confidence, without the bins that have no rows."""

    title: str
    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error over these bins."""


@dataclass(frozen=True)
class RiskCoverage:
    """Share of mistakes among the most confident rows."""

    coverage: Floats
    """Shares of the rows that are decided, rising to 1, ``[points]``."""
    risk: Floats
    """Share of mistakes among them, ``[points]``."""
    threshold: Floats
    """Lowest confidence among them, ``[points]``."""
    area: float
    """Area under the curve."""


@dataclass(frozen=True)
class LanguageConfidence:
    """Accuracy and mean confidence of a language."""

    language: str
    accuracy: float
    confidence: float
    area: float
    """Area under the risk-coverage curve of the language."""


@dataclass(frozen=True)
class Baseline:
    """The score of always predicting the same class, by language."""

    label: str
    """The class; empty for a multi-label task, whose baseline gives all rows the same probabilities."""
    trained: bool
    """Whether it is the most frequent class of the training split, not of the scored rows."""
    pooled: float
    mean: float
    """Mean over languages."""
    languages: Mapping[str, float]


@dataclass(frozen=True)
class TaskAnalysis:
    """Everything that the report shows of a task beside Scores."""

    task: str
    multilabel: bool
    rows: int
    """Labelled rows."""
    total_classes: int
    """Classes that are true or predicted at least once; the tables may have fewer."""
    seeds: int
    has_confidence: bool
    heat: Heat
    classes: tuple[ClassRow, ...]
    confusions: tuple[Confusion, ...]
    mistakes: float
    """Wrong rows, the mean over training seeds; of a multi-label task, pairs of a missed and a wrong class."""
    by_language: Mapping[str, tuple[Confusion, ...]]
    reliability: tuple[Reliability, ...]
    risk: RiskCoverage | None
    confidence: tuple[LanguageConfidence, ...]
    baseline: Baseline | None


def analyse(
    predictions: Sequence[Predictions],
    check: DataCheck | None = None,
    calibrated: Mapping[str, Sequence[tuple[float, NDArray[np.float32]]]] | None = None,
) -> dict[str, TaskAnalysis]:
    """Return the analysis of each task.

    Args:
        predictions: predictions of the same examples, of each training seed.
        check: the data check of the run, which names the most frequent training class.
        calibrated: by task, for each training seed the temperature from validation and the confidence of each row at
            that temperature, ``[n]``.
    """
    first = predictions[0]
    result = {}
    for task in first.tasks:
        after = (calibrated or {}).get(task.name, ())
        result[task.name] = _single_label(task, predictions, check, after)
    for name in first.multilabel:
        result[name] = _multilabel(name, predictions)
    order = first.order or tuple(result)
    return {name: result[name] for name in order if name in result}


def _single_label(
    task: Task,
    predictions: Sequence[Predictions],
    check: DataCheck | None,
    after: Sequence[tuple[float, NDArray[np.float32]]],
) -> TaskAnalysis:
    first = predictions[0]
    rows = np.flatnonzero(first.outcomes[task.name].true >= 0)
    outcomes = [_decisions(each.outcomes[task.name], rows) for each in predictions]
    languages = first.languages.take(rows)
    _, clusters = np.unique(first.clusters.codes[rows], return_inverse=True)
    true, count, classes = outcomes[0].true, len(languages.names), len(task.classes)
    hits = np.stack([each.hits for each in outcomes])
    cells = true.astype(np.int64) * count + languages.codes
    n = np.bincount(cells, minlength=classes * count).reshape(classes, count)
    correct = np.asarray(np.bincount(cells, hits.mean(0), minlength=classes * count), np.float64)
    predicted = np.mean([np.bincount(each.predicted, minlength=classes) for each in outcomes], 0)
    shown = _shown(n.sum(1), predicted)
    overall, by_language, mistakes = _confusions(task, outcomes, languages, n)
    has_confidence = all(each.confidence is not None for each in outcomes) and len(rows) > 0
    reliability: list[Reliability] = []
    confidence = np.zeros((0, 0), np.float32)
    if has_confidence:
        confidence = np.stack([each.confidence for each in outcomes if each.confidence is not None])
        reliability.append(_reliability("as predicted", confidence, hits, clusters))
        if len(after) == len(outcomes):
            scaled = np.stack([values[rows] for _, values in after])
            temperatures = ", ".join(f"{temperature:.2f}" for temperature, _ in after)
            title = f"after temperature scaling on validation (T = {temperatures})"
            reliability.append(_reliability(title, scaled, hits, clusters))
    return TaskAnalysis(
        task=task.name,
        multilabel=False,
        rows=len(rows),
        total_classes=int(((n.sum(1) > 0) | (predicted > 0)).sum()),
        seeds=len(outcomes),
        has_confidence=has_confidence,
        heat=_heat(task, languages.names, n, correct.reshape(classes, count), shown),
        classes=_class_rows(task, outcomes, clusters, shown),
        confusions=overall,
        mistakes=mistakes,
        by_language=by_language,
        reliability=tuple(reliability),
        risk=_risk(confidence, hits) if has_confidence else None,
        confidence=_language_confidence(confidence, hits, languages) if has_confidence else (),
        baseline=_majority(task, true, languages, check),
    )


def _decisions(outcomes: Outcomes, rows: NDArray[np.integer]) -> Outcomes:
    """Return true class, predicted class and confidence of some rows, without the values of metrics."""
    confidence = None if outcomes.confidence is None else outcomes.confidence[rows]
    return Outcomes(outcomes.true[rows], outcomes.predicted[rows], {}, outcomes.classes, confidence)


def _shown(n: NDArray[np.integer], predicted: NDArray[np.floating]) -> Ints:
    """Return the classes of the tables, in the order of their index: those that occur, at most ``MOST_CLASSES``."""
    occurs = np.flatnonzero((n > 0) | (predicted > 0))
    largest = occurs[np.argsort(-(n[occurs] + predicted[occurs] / 1e9), kind="stable")][:MOST_CLASSES]
    return np.sort(largest)


def _heat(
    task: Task, languages: tuple[str, ...], n: NDArray[np.integer], correct: NDArray[np.floating], shown: Ints
) -> Heat:
    with_rows = shown[n[shown].sum(1) > 0]
    columns = np.flatnonzero(n.sum(0) > 0)
    part = np.ix_(with_rows, columns)
    recall = np.divide(correct[part], n[part], out=np.full((len(with_rows), len(columns)), np.nan), where=n[part] > 0)
    names = tuple(task.classes[index] for index in with_rows)
    return Heat(names, tuple(languages[index] for index in columns), n[part].astype(np.int64), recall)


def _class_rows(
    task: Task, outcomes: Sequence[Outcomes], clusters: NDArray[np.integer], shown: Ints
) -> tuple[ClassRow, ...]:
    """Return the table of classes; recall has Wilson's interval, precision and F1 that of a cluster bootstrap."""
    if not len(clusters):
        return ()
    everything = Codes.of(["all"]).take(np.zeros(len(clusters), np.int32))
    counts = [ClassCounts(each, Groups.of(everything, {}), clusters) for each in outcomes]
    resamples = CLASS_RESAMPLES if counts[0].clusters <= MOST_CLUSTERS else 0
    observed = [each.observed() for each in counts]
    per_seed = [Counts(*(part[0] for part in each)) for each in observed]
    samples: dict[str, list[NDArray[np.float32]]] = {"precision": [], "f1": []}
    for block in resampled(counts, resamples):
        parts = [Counts(*(part[0] for part in each)) for each in block]
        samples["precision"].append(np.stack([precision_per_class(each)[shown] for each in parts]).astype(np.float32))
        samples["f1"].append(np.stack([f1_per_class(each)[shown] for each in parts]).astype(np.float32))
    drawn = {name: np.concatenate(blocks, -1) for name, blocks in samples.items() if blocks}
    hits = np.stack([each.hits for each in outcomes])
    recall = proportions(hits, Layout(outcomes[0].true, clusters, outcomes[0].classes))
    values = {
        "precision": np.stack([precision_per_class(each)[shown] for each in per_seed]),
        "f1": np.stack([f1_per_class(each)[shown] for each in per_seed]),
        "recall": np.stack([recall_per_class(each)[shown] for each in per_seed]),
    }
    order = np.argsort(outcomes[0].true, kind="stable")
    edges = np.searchsorted(outcomes[0].true[order], np.arange(outcomes[0].classes + 1))
    rows = []
    for at, index in enumerate(shown.tolist()):
        n = int(per_seed[0].true[index])
        own = len(np.unique(clusters[order[edges[index] : edges[index + 1]]]))

        def bootstrapped(name: str, at: int = at, n: int = n, own: int = own) -> Value:
            of_seeds = values[name][:, at]
            value = float(np.nanmean(of_seeds)) if np.isfinite(of_seeds).any() else float("nan")
            if not drawn or n < CLASS_ROWS or not np.isfinite(of_seeds).all():
                return Value(value)
            return Value(value, basic(of_seeds, drawn[name][:, at], own, enough=n >= FEW_ROWS))

        recalled = float(values["recall"][:, at].mean()) if n else float("nan")
        rows.append(
            ClassRow(
                task.classes[index],
                n,
                bootstrapped("precision"),
                Value(recalled, recall[index] if n else NO),
                bootstrapped("f1"),
            )
        )
    return tuple(rows)


def _confusions(
    task: Task, outcomes: Sequence[Outcomes], languages: Codes, n: NDArray[np.integer]
) -> tuple[tuple[Confusion, ...], dict[str, tuple[Confusion, ...]], float]:
    """Return the most frequent pairs of a true and another predicted class, of all languages and of each."""
    classes, seeds = len(task.classes), len(outcomes)
    pairs, of_language = [], []
    for each in outcomes:
        wrong = np.flatnonzero(~each.hits)
        pairs.append(each.true[wrong].astype(np.int64) * classes + each.predicted[wrong])
        of_language.append(languages.codes[wrong])
    pair, language = np.concatenate(pairs), np.concatenate(of_language)
    overall = _most_frequent(task, pair, n.sum(1), seeds, MOST_CONFUSED)
    by_language = {
        name: _most_frequent(task, pair[language == code], n[:, code], seeds, MOST_CONFUSED_LANGUAGE)
        for code, name in enumerate(languages.names)
        if n[:, code].any()
    }
    return overall, by_language, len(pair) / seeds


def _most_frequent(
    task: Task, pair: NDArray[np.int64], n: NDArray[np.integer], seeds: int, most: int
) -> tuple[Confusion, ...]:
    classes = len(task.classes)
    distinct, counts = np.unique(pair, return_counts=True)
    found = []
    for at in np.argsort(-counts, kind="stable")[:most].tolist():
        true, predicted = divmod(int(distinct[at]), classes)
        place = int(np.searchsorted(distinct, predicted * classes + true))
        back = counts[place] if place < len(distinct) and distinct[place] == predicted * classes + true else 0
        count = counts[at] / seeds
        share = float(count / n[true]) if n[true] else float("nan")
        found.append(Confusion(task.classes[true], task.classes[predicted], float(count), share, float(back / seeds)))
    return tuple(found)


def _reliability(
    title: str, confidence: NDArray[np.floating], hits: NDArray[np.bool_], clusters: NDArray[np.integer]
) -> Reliability:
    """Return a reliability curve over bins of equal width, as the expected calibration error has them.

    The rows of all training seeds share the bins; a row's copies have its cluster, so that intervals stay honest.

    Args:
        title: the title of the curve.
        confidence: confidence by training seed and row, ``[S, n]``.
        hits: whether a row is predicted correctly, ``[S, n]``.
        clusters: cluster of each row, ``[n]``.
    """
    seeds = len(confidence)
    flat = confidence.ravel().astype(np.float64)
    place = np.minimum(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], flat, side="left"), BINS - 1)
    layout = Layout(place, np.tile(clusters, seeds), BINS)
    intervals = proportions(hits.ravel(), layout)
    n = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, values, minlength=BINS) for values in (flat, hits.ravel().astype(np.float64))]
    bins = []
    for at in np.flatnonzero(n).tolist():
        own = intervals[at]
        own = own._replace(reliable=bool(own.reliable and n[at] >= seeds * FEW_ROWS))
        mean, accuracy = (float(values[at] / n[at]) for values in sums)
        bins.append(Bin(at / BINS, (at + 1) / BINS, float(n[at] / seeds), mean, Value(accuracy, own)))
    total = sum(each.n for each in bins)
    error = sum(each.n * abs(each.accuracy.value - each.confidence) for each in bins) / total if total else float("nan")
    return Reliability(title, tuple(bins), error)


def _risk(confidence: NDArray[np.floating], hits: NDArray[np.bool_]) -> RiskCoverage:
    """Return the mean over training seeds of the risk-coverage curve; arguments as in :func:`_reliability`."""
    n = hits.shape[1]
    stops = np.unique(np.ceil(np.linspace(0, 1, RISK_POINTS + 1)[1:] * n).astype(np.int64))
    risks, thresholds, areas = [], [], []
    for own, correct in zip(confidence, hits, strict=True):
        order = np.argsort(-own, kind="stable")
        risks.append(np.cumsum(~correct[order])[stops - 1] / stops)
        thresholds.append(own[order][stops - 1].astype(np.float64))
        areas.append(risk_coverage(own, correct))
    mean, threshold = np.mean(risks, 0), np.mean(thresholds, 0)
    return RiskCoverage(stops / n, mean, threshold, float(np.mean(areas)))


def _language_confidence(
    confidence: NDArray[np.floating], hits: NDArray[np.bool_], languages: Codes
) -> tuple[LanguageConfidence, ...]:
    found = []
    for code, name in enumerate(languages.names):
        own = np.flatnonzero(languages.codes == code)
        if len(own):
            area = np.mean([risk_coverage(c[own], h[own]) for c, h in zip(confidence, hits, strict=True)])
            mean = confidence[:, own].mean(dtype=np.float64)
            found.append(LanguageConfidence(name, float(hits[:, own].mean()), float(mean), float(area)))
    return tuple(found)


def _majority(task: Task, true: NDArray[np.integer], languages: Codes, check: DataCheck | None) -> Baseline | None:
    """Return top-1 of the most frequent training class; of the scored rows' own, if the training split is unknown."""
    if not len(true):
        return None
    recorded = check.majority.get(task.name) if check else None
    trained = recorded is not None and recorded.label in task.classes
    label = (
        task.classes.index(recorded.label)
        if recorded is not None and trained
        else int(np.bincount(true, minlength=len(task.classes)).argmax())
    )
    hit = true == label
    return _baseline(task.classes[label], hit.astype(np.float64), languages, trained=trained)


def _baseline(label: str, values: Floats, languages: Codes, *, trained: bool) -> Baseline:
    n = np.bincount(languages.codes, minlength=len(languages.names))
    sums = np.bincount(languages.codes, values, minlength=len(n))
    shares = {name: float(sums[code] / n[code]) for code, name in enumerate(languages.names) if n[code]}
    return Baseline(label, trained, float(values.mean()), float(np.mean(list(shares.values()))), shares)


def _multilabel(name: str, predictions: Sequence[Predictions]) -> TaskAnalysis:
    first = predictions[0]
    rows = np.flatnonzero(first.multilabel[name].known)
    outcomes = [each.multilabel[name].take(rows) for each in predictions]
    task, languages = outcomes[0].task, first.languages.take(rows)
    true, seeds = outcomes[0].true > 0, len(outcomes)
    guesses = [predicted_classes(each.scores) for each in outcomes]
    count = len(languages.names)
    n = np.zeros((len(task.classes), count), np.int64)
    correct = np.zeros((len(task.classes), count))
    for code in range(count):
        own = languages.codes == code
        n[:, code] = true[own].sum(0)
        correct[:, code] = sum((true[own] & guess[own]).sum(0) for guess in guesses) / seeds
    predicted = sum(guess.sum(0) for guess in guesses) / seeds
    shown = _shown(n.sum(1), np.asarray(predicted))
    pair, language = _label_pairs(true, guesses, languages)
    return TaskAnalysis(
        task=name,
        multilabel=True,
        rows=len(rows),
        total_classes=int(((n.sum(1) > 0) | (predicted > 0)).sum()),
        seeds=seeds,
        has_confidence=len(rows) > 0,
        heat=_heat(task, languages.names, n, correct, shown),
        classes=_multilabel_classes(task, true, guesses, shown),
        confusions=_most_frequent(task, pair, n.sum(1), seeds, MOST_CONFUSED),
        mistakes=len(pair) / seeds,
        by_language={
            code: _most_frequent(task, pair[language == at], n[:, at], seeds, MOST_CONFUSED_LANGUAGE)
            for at, code in enumerate(languages.names)
            if n[:, at].any()
        },
        reliability=(_label_reliability(outcomes, true),) if len(rows) else (),
        risk=None,
        confidence=(),
        baseline=_constant_baseline(true, languages) if true.any() else None,
    )


def _label_pairs(
    true: NDArray[np.bool_], guesses: Sequence[NDArray[np.bool_]], languages: Codes
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return, for each row, the pairs of a class that was missed and a class that was predicted wrongly."""
    classes = true.shape[1]
    pairs, of_language = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for guess in guesses:
        missed, wrong = true & ~guess, guess & ~true
        for row in np.flatnonzero(missed.any(1) & wrong.any(1)).tolist():
            pair = (np.flatnonzero(missed[row])[:, None] * classes + np.flatnonzero(wrong[row])).ravel()
            pairs.append(pair)
            of_language.append(np.full(len(pair), languages.codes[row], np.int32))
    return np.concatenate(pairs), np.concatenate(of_language)


def _multilabel_classes(
    task: Task, true: NDArray[np.bool_], guesses: Sequence[NDArray[np.bool_]], shown: Ints
) -> tuple[ClassRow, ...]:
    per_seed = [Counts(*(part.sum(0).astype(np.float64) for part in (true & guess, true, guess))) for guess in guesses]

    def mean(values: list[NDArray[np.floating]], index: int) -> Value:
        own = np.array([value[index] for value in values])
        return Value(float(np.nanmean(own)) if np.isfinite(own).any() else float("nan"))

    functions = (precision_per_class, recall_per_class, f1_per_class)
    precision, recall, f1 = ([function(each) for each in per_seed] for function in functions)
    return tuple(
        ClassRow(
            task.classes[index],
            int(true[:, index].sum()),
            mean(precision, index),
            mean(recall, index),
            mean(f1, index),
        )
        for index in shown.tolist()
    )


def _label_reliability(outcomes: Sequence[MultilabelOutcomes], true: NDArray[np.bool_]) -> Reliability:
    """Return how often a class belongs to a row, by its probability, over all pairs of row and class."""
    n, confidence, accuracy = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    for each in outcomes:
        for label in range(true.shape[1]):
            scores = each.scores[:, label].astype(np.float64)
            place = np.searchsorted(inner, scores, side="left")
            n += np.bincount(place, minlength=BINS)
            confidence += np.bincount(place, scores, minlength=BINS)
            accuracy += np.bincount(place, true[:, label].astype(np.float64), minlength=BINS)
    bins = tuple(
        Bin(at / BINS, (at + 1) / BINS, n[at] / len(outcomes), confidence[at] / n[at], Value(accuracy[at] / n[at]))
        for at in np.flatnonzero(n).tolist()
    )
    error = float(np.nansum(np.abs(accuracy - confidence)) / n.sum())
    return Reliability("every pair of row and class", bins, error)


def _constant_baseline(true: NDArray[np.bool_], languages: Codes) -> Baseline:
    """Return the mean average precision of constant probabilities, the mean frequency of the classes that occur."""

    def score(rows: NDArray[np.bool_]) -> float:
        share = rows.mean(0)
        return float(share[share > 0].mean()) if (share > 0).any() else float("nan")

    shares = {name: score(true[languages.codes == code]) for code, name in enumerate(languages.names)}
    defined = {name: value for name, value in shares.items() if value == value}
    return Baseline("", False, score(true), float(np.mean(list(defined.values()))), defined)
