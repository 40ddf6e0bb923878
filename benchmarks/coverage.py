"""Simulate how often the 95 % intervals of Scores cover the truth.

    python benchmarks/coverage.py                      # about ten minutes on one core
    python benchmarks/coverage.py --repetitions 0.1    # a tenth of the repetitions

The data have 20 classes with Zipf frequencies. A cluster is an image with a class and a difficulty (a beta
distribution; rows of a cluster are correlated by 0.25), and has 2.5 rows on average; with several languages, a cluster
has rows of several languages. Each repetition draws new clusters, computes the intervals with the functions that
`mmeval score` calls, and counts how often they contain the true value, which is known in closed form.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.metrics.bootstrap import ClassCounts, Groups, resampled
from mmeval.metrics.counts import Counts, macro_f1
from mmeval.metrics.intervals import LISTED_ROWS, basic, enough_rows, proportion, widening
from mmeval.metrics.languages import summarize_proportions, summarize_samples
from mmeval.metrics.outcomes import Codes, Outcomes
from mmeval.metrics.row import Interval

CLASSES = 20
CORRELATION = 0.25
ROWS_PER_CLUSTER = 2.5
LANGUAGES_PER_CLUSTER = 4.0
LEAST, MOST = 0.93, 0.97
SIZES = (3, 10, 30, 100, 1000)
ACCURACIES = (0.7, 0.97)
EQUAL = (500,) * 13
UNEQUAL = (3, 9, 20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 2000)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Classes with Zipf frequencies, of which the frequent ones are recognised more often."""

    accuracy: float
    """Top-1 accuracy."""
    spread: float = 0.6
    """By which share of the errors the accuracy of the most and of the least frequent class differ from it."""

    @cached_property
    def frequency(self) -> Floats:
        """Probability of each class."""
        weights = 1 / np.arange(1, CLASSES + 1)
        frequency: Floats = weights / weights.sum()
        return frequency

    @cached_property
    def recall(self) -> Floats:
        """Probability that an example of each class is recognised."""
        offset = np.linspace(self.spread, -self.spread, CLASSES) * (1 - self.accuracy)
        recall: Floats = self.accuracy + offset - offset @ self.frequency
        return recall

    @cached_property
    def f1(self) -> Floats:
        """F1 of each class in the whole population. Errors fall on the other classes by their frequency."""
        missed = self.frequency * (1 - self.recall) / (1 - self.frequency)
        predicted = self.frequency * (self.recall + missed.sum() - missed)
        f1: Floats = 2 * self.frequency * self.recall / (self.frequency + predicted)
        return f1

    def listed(self, rows: int) -> NDArray[np.bool_]:
        """Return the classes of which ``rows`` examples have at least 10 on average."""
        listed: NDArray[np.bool_] = rows * self.frequency >= LISTED_ROWS
        return listed

    def draw(self, clusters: Ints, rng: np.random.Generator, shifts: Floats) -> tuple[Ints, Ints]:
        """Draw true and predicted classes.

        Args:
            clusters: cluster of each row, ``[n]``.
            rng: random number generator.
            shifts: by how much each training seed and row is more accurate, ``[S, n]`` or ``[S, 1]``.

        Returns:
            True classes ``[n]`` and predicted ones ``[S, n]``.
        """
        classes = _zipf(self.frequency, int(clusters.max()) + 1, rng)
        strength = (1 - CORRELATION) / CORRELATION
        recall = self.recall[classes]
        probability = rng.beta(recall * strength, (1 - recall) * strength)[clusters]
        true = classes[clusters]
        room = np.where(shifts > 0, (1 - probability) / (1 - self.accuracy), probability / self.accuracy)
        hit = rng.random((len(shifts), len(clusters))) < probability + shifts * room
        other = _zipf(self.frequency, hit.size, rng).reshape(hit.shape)
        while (same := other == true).any():
            other[same] = _zipf(self.frequency, int(same.sum()), rng)
        return true, np.where(hit, true, other)


def _zipf(frequency: Floats, size: int, rng: np.random.Generator) -> Ints:
    return np.minimum(np.searchsorted(np.cumsum(frequency), rng.random(size)), CLASSES - 1)


def clusters_of(rows: int, rng: np.random.Generator) -> Ints:
    """Draw the cluster of each row: sizes of 1 plus a Poisson number."""
    sizes = 1 + rng.poisson(ROWS_PER_CLUSTER - 1, size=rows)
    return np.repeat(np.arange(rows), sizes)[:rows]


def languages_of(sizes: Sequence[int], rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the language and the cluster of each row; every language takes its rows from the same clusters."""
    languages = np.repeat(np.arange(len(sizes)), sizes)
    clusters = rng.integers(max(int(len(languages) / LANGUAGES_PER_CLUSTER), 1), size=len(languages))
    _, clusters = np.unique(clusters, return_inverse=True)
    return languages, clusters


NO_SHIFT = np.zeros((1, 1))


class Row(NamedTuple):
    """How often an interval covered, or a test rejected."""

    value: str
    scenario: str
    events: int
    """Repetitions in which the interval covered, or the test rejected."""
    repetitions: int
    rejections: bool = False
    """True for a test: the count should be at most 5 %."""
    conservative: str = ""
    """Why more than 97 % is allowed; empty if it isn't."""
    required: bool = True
    """False for scenarios that are shown, although nothing is required of them."""
    width: float = math.nan

    @property
    def rate(self) -> float:
        """Share of the repetitions."""
        return self.events / self.repetitions

    @property
    def holds(self) -> bool:
        """Whether the rate agrees with the requirement up to chance (0.1 % in either tail)."""
        from scipy.stats import binom

        if self.rejections:
            return bool(binom.sf(self.events - 1, self.repetitions, 0.05) > 0.001)
        low = binom.cdf(self.events, self.repetitions, LEAST) > 0.001
        high = bool(self.conservative) or binom.sf(self.events - 1, self.repetitions, MOST) > 0.001
        return bool(low and high)


def covers(interval: Interval, truth: float) -> bool:
    """Return whether an interval contains the true value; one without ends doesn't."""
    return interval.low <= truth <= interval.high


DISCRETE = "few rows: only n + 1 proportions are possible, and no interval can cover exactly 95 % of the time"


def top1(rows: int, accuracy: float, repetitions: int) -> Row:
    """Simulate the interval of top-1 accuracy of a language."""
    rng = np.random.default_rng(rows)
    population, count, width = Population(accuracy), 0, 0.0
    for _ in range(repetitions):
        clusters = clusters_of(rows, rng)
        true, predicted = population.draw(clusters, rng, NO_SHIFT)
        interval = proportion(predicted == true, clusters)
        count += covers(interval, accuracy)
        width += (interval.high - interval.low) / repetitions
    reason = DISCRETE if rows <= 10 else ""
    return Row("top-1", f"n = {rows}, accuracy {accuracy}", count, repetitions, conservative=reason, width=width)


def seeds(rows: int, accuracy: float, number: int, deviation: float, repetitions: int) -> Row:
    """Simulate the interval of the mean of top-1 accuracy over training seeds that differ by ``deviation``."""
    rng = np.random.default_rng(rows)
    population, count, width = Population(accuracy), 0, 0.0
    limit = min(accuracy, 1 - accuracy)
    for _ in range(repetitions):
        clusters = clusters_of(rows, rng)
        shifts = np.clip(rng.normal(0, deviation, (number, 1)), -limit, limit)
        true, predicted = population.draw(clusters, rng, shifts)
        interval = proportion(predicted == true, clusters)
        count += covers(interval, accuracy)
        width += (interval.high - interval.low) / repetitions
    scenario = f"n = {rows}, accuracy {accuracy}, {number} seeds, standard deviation {deviation}"
    reason = "with few seeds the variance between them has few degrees of freedom" if number < 5 else ""
    return Row("top-1, mean over seeds", scenario, count, repetitions, False, reason, number > 2, width)


def _bootstrap(
    true: Ints, predicted: Ints, languages: Ints, clusters: Ints, count: int, classes: NDArray[np.bool_], resamples: int
) -> tuple[Floats, Floats, Counts]:
    """Return macro-F1 over some classes ``[languages]``, in resamples ``[languages, resamples]``, and the counts."""
    codes = Codes.of([f"{language:03}" for language in range(count)])
    groups = Groups.of(Codes(codes.dictionary, languages.astype(np.int32)), {})
    outcomes = Outcomes(true.astype(np.int32), predicted.astype(np.int32), {}, CLASSES)
    counts = ClassCounts(outcomes, groups, clusters.astype(np.int32))
    observed = counts.observed()
    of_languages = Counts(*(part[:-1] for part in observed))
    listed = Counts(*(part[:, classes] for part in of_languages))
    blocks = [
        macro_f1(Counts(*(part[:-1, classes] for part in block)), 1) for (block,) in resampled([counts], resamples)
    ]
    return np.asarray(macro_f1(listed), float), np.concatenate(blocks, axis=-1), of_languages


def f1(rows: int, accuracy: float, repetitions: int, resamples: int = 500) -> Row:
    """Simulate the interval of macro-F1 on the class list of a language with ``rows`` rows."""
    rng = np.random.default_rng(rows)
    population, count, width = Population(accuracy), 0, 0.0
    listed = population.listed(rows)
    truth = float(population.f1[listed].mean())
    for _ in range(repetitions):
        clusters = clusters_of(rows, rng)
        true, predicted = population.draw(clusters, rng, NO_SHIFT)
        value, samples, counts = _bootstrap(true, predicted[0], np.zeros_like(true), clusters, 1, listed, resamples)
        number = int(clusters.max()) + 1
        hits, of_true, of_predicted = (part[0] for part in counts)
        widen = widening(hits, of_true, of_predicted, listed, number)
        interval = basic(value[0], samples[0], number, widen=widen)
        count += covers(interval, truth)
        width += (interval.high - interval.low) / repetitions
    scenario = f"n = {rows}, accuracy {accuracy}, {np.count_nonzero(listed)} classes listed"
    return Row("macro-F1 on its class list", scenario, count, repetitions, width=width)


CONSERVATIVE = "the interval holds for all languages at once, or has a floor for languages of a few rows"


def languages(sizes: Sequence[int], accuracy: float, difference: float, repetitions: int, name: str) -> Iterator[Row]:
    """Simulate mean, weighted mean, worst language and gap of top-1 accuracy.

    Args:
        sizes: rows of each language.
        accuracy: mean accuracy of the languages.
        difference: by how much the best language is better than the mean, and the worst one worse.
        repetitions: number of repetitions.
        name: describes ``sizes``.
    """
    rng = np.random.default_rng(len(sizes))
    population, truth = Population(accuracy), accuracy + np.linspace(difference, -difference, len(sizes))
    counts = np.zeros(6, int)
    for _ in range(repetitions):
        language, clusters = languages_of(sizes, rng)
        true, predicted = population.draw(clusters, rng, (truth - accuracy)[None, language])
        summary = summarize_proportions(predicted == true, language, clusters, len(sizes))
        counts += [
            covers(summary.mean.interval, float(truth.mean())),
            covers(summary.weighted.interval, float(summary.weights @ truth)),
            covers(summary.worst.interval, truth.min()),
            covers(summary.gap.interval, float(np.ptp(truth))),
            summary.gap.interval.low > 0,
            summary.p < 0.05,
        ]
    scenario = f"{len(sizes)} languages, {name}, accuracy {accuracy}" + (f" +- {difference}" if difference else "")
    for value, count in zip(("mean", "weighted mean", "worst language", "gap"), counts.tolist(), strict=False):
        yield Row(f"top-1, {value}", scenario, count, repetitions, conservative=CONSERVATIVE)
    if not difference:
        yield Row("gap above 0", scenario, int(counts[4]), repetitions, rejections=True)
        yield Row("p of equal languages < .05", scenario, int(counts[5]), repetitions, rejections=True)


def f1_languages(size: int, number: int, accuracy: float, repetitions: int, resamples: int = 250) -> Iterator[Row]:
    """Simulate mean, worst language and gap of macro-F1 over all 20 classes, in languages of one size."""
    rng = np.random.default_rng(size)
    population, classes = Population(accuracy), np.ones(CLASSES, bool)
    truth, counts, used = float(population.f1.mean()), np.zeros(4, int), 0
    for _ in range(repetitions):
        language, clusters = languages_of((size,) * number, rng)
        true, predicted = population.draw(clusters, rng, NO_SHIFT)
        value, samples, by_language = _bootstrap(true, predicted[0], language, clusters, number, classes, resamples)
        if not all(enough_rows(of_language, classes, LISTED_ROWS) for of_language in by_language.true):
            continue
        per_language = np.bincount(np.unique(clusters * number + language) % number)
        widen = [
            widening(hits, of_true, of_predicted, classes, own)
            for hits, of_true, of_predicted, own in zip(*by_language, per_language.tolist(), strict=True)
        ]
        summary = summarize_samples(value, samples.T, per_language, int(clusters.max()) + 1, widen=widen)
        used += 1
        counts += [
            covers(summary.mean.interval, truth),
            covers(summary.worst.interval, truth),
            covers(summary.gap.interval, 0),
            summary.gap.interval.low > 0,
        ]
    scenario = f"{number} languages of {size} rows, accuracy {accuracy}, {used} of {repetitions} reliable"
    for name, count in zip(("mean", "worst language", "gap"), counts.tolist(), strict=False):
        yield Row(f"macro-F1, {name}", scenario, count, max(used, 1), conservative=CONSERVATIVE)
    yield Row("gap of macro-F1 above 0", scenario, int(counts[3]), max(used, 1), rejections=True)


def rows(scale: float) -> Iterator[Row]:
    """Yield all rows of the table, with ``scale`` times the usual repetitions."""

    def times(repetitions: int) -> int:
        return max(round(repetitions * scale), 10)

    for size in SIZES:
        for accuracy in ACCURACIES:
            yield top1(size, accuracy, times(10_000))
    for size in (100, 1000):
        for number, deviation in ((2, 0.02), (3, 0.0), (3, 0.01), (3, 0.04), (5, 0.01), (5, 0.04)):
            yield seeds(size, 0.7, number, deviation, times(2000))
    for size in (300, 1000, 2000):
        for accuracy in ACCURACIES:
            yield f1(size, accuracy, times(1000))
    for accuracy, difference in ((0.7, 0.1), (0.97, 0.02)):
        for shift in (0.0, difference):
            yield from languages(EQUAL, accuracy, shift, times(1000), "500 rows each")
            yield from languages(UNEQUAL, accuracy, shift, times(1000), "3 to 2,000 rows")
    yield from languages((500,) * 3, 0.7, 0.0, times(1000), "500 rows each")
    for size, number in ((1500, 5), (2000, 5), (2000, 13)):
        yield from f1_languages(size, number, 0.7, times(500))


def table(results: Sequence[Row], advance: Callable[[Row], None] = lambda _: None) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| interval | data | covers | mean width | holds |", "|---|---|---|---|---|"]
    for row in results:
        width = "" if math.isnan(row.width) else f"{row.width:.3f}"
        rate = f"rejects {row.rate:.1%}" if row.rejections else f"{row.rate:.1%}"
        verdict = ("yes" if row.holds else "no") + ("" if row.required else " (not required)")
        lines.append(f"| {row.value} | {row.scenario} | {rate} | {width} | {verdict} |")
        advance(row)
    return "\n".join(lines)


def main() -> None:
    """Simulate everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=float, default=1.0, help="times the usual number of repetitions")
    arguments = parser.parse_args()
    results = []
    for row in rows(arguments.repetitions):
        results.append(row)
        print(table([row]).splitlines()[-1], flush=True)
    failed = [row for row in results if row.required and not row.holds]
    print(f"\n{len(results) - len(failed)} of {len(results)} hold")


if __name__ == "__main__":
    main()
