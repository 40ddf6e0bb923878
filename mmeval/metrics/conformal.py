"""Conformal prediction sets: sets of classes that hold the true class with a chosen probability.

The method is LAC, least ambiguous set-valued classifiers (Sadinle, Lei and Wasserman 2019, arXiv 1609.00451): the set
of an example has every class whose probability reaches a threshold. The threshold is chosen on validation. If the rows
of validation and test are exchangeable, a set holds the true class with a probability of at least ``COVERAGE``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmeval.metrics.by_language import rows_by_language
from mmeval.metrics.outcomes import Predictions

COVERAGE = 0.9
"""Share of examples whose set shall hold the true class; 1 - alpha of the literature."""

Floats = NDArray[np.floating]


class Threshold(NamedTuple):
    """The least probability with which a class belongs to a set."""

    probability: float
    """The threshold; 0 where there are too few calibration examples, so that every set has all classes."""
    n: int
    """Number of calibration examples."""

    @property
    def every_class(self) -> bool:
        """Whether there are too few calibration examples for the coverage, so that every set has all classes."""
        return rank(self.n) > self.n


def rank(n: int, coverage: float = COVERAGE) -> int:
    """Return k: the threshold is the k-th smallest of ``n`` calibration scores, k = ceil((n + 1) coverage)."""
    return math.ceil((n + 1) * coverage)


def calibrate(true_probability: Floats, coverage: float = COVERAGE) -> Threshold:
    """Return the threshold that calibration examples give.

    The score of an example is 1 - probability of its true class; the k-th smallest score is the k-th largest
    probability, which is exact where the subtraction would round.

    Args:
        true_probability: probability of the true class of each calibration example, ``[n]``.
        coverage: share of examples whose set shall hold the true class.
    """
    n, k = len(true_probability), rank(len(true_probability), coverage)
    if k > n:
        return Threshold(0.0, n)
    return Threshold(float(np.partition(true_probability, n - k)[n - k]), n)


def set_sizes(probabilities: Floats, thresholds: Floats | float) -> NDArray[np.int64]:
    """Return the number of classes in the set of each example, ``[n]``.

    Args:
        probabilities: ``[n, classes]``.
        thresholds: the least probability of a class in a set: a number, or one per example, ``[n]``.
    """
    limit = np.asarray(thresholds, probabilities.dtype).reshape(-1, 1)
    sizes: NDArray[np.int64] = np.count_nonzero(probabilities >= limit, axis=1)
    return sizes


@dataclass(frozen=True)
class LanguageThresholds:
    """The thresholds of a task: one from all calibration examples, and one of each language from its own."""

    pooled: Threshold
    own: Mapping[str, Threshold]
    """By language."""

    @classmethod
    def of(cls, validation: Predictions, task: str) -> LanguageThresholds | None:
        """Return the thresholds that validation predictions give; None if they have labels only."""
        outcomes, languages = validation.outcomes[task], validation.languages
        if outcomes.true_probability is None:
            return None
        known = np.flatnonzero(outcomes.true >= 0)
        probability = outcomes.true_probability[known]
        *own, pooled = (calibrate(probability[rows]) for rows in rows_by_language(languages.take(known)))
        return cls(pooled, dict(zip(languages.names, own, strict=True)))

    def of_language(self, language: str) -> Threshold:
        """Return a language's own threshold; a language without calibration examples has sets of every class."""
        return self.own.get(language, Threshold(0.0, 0))

    def values(
        self, languages: pa.Array, labels: NDArray[np.integer], probabilities: Floats
    ) -> dict[str, NDArray[np.float64] | NDArray[np.bool_]]:
        """Return the conformal metrics of each example by name, arrays ``[n]``; the score is their mean.

        ``conformal_coverage``: whether the set holds the true class. ``conformal_size``: number of classes in the set.
        ``conformal_empty``: whether the set has no class. The same with ``_own`` for sets by the threshold of
        the example's language instead of the pooled one.

        Args:
            languages: the language of each example, an Arrow array of strings.
            labels: indices of the true classes, ``[n]``.
            probabilities: ``[n, classes]``.
        """
        encoded = languages.dictionary_encode()
        own = np.array([self.of_language(name).probability for name in encoded.dictionary.to_pylist()])
        by_row = own[np.asarray(encoded.indices)] if len(languages) else np.zeros(0)
        true_probability = probabilities[np.arange(len(labels)), labels]
        values: dict[str, NDArray[np.float64] | NDArray[np.bool_]] = {}
        for suffix, limits in (("", np.full(len(labels), self.pooled.probability)), ("_own", by_row)):
            limits = limits.astype(probabilities.dtype)
            sizes = set_sizes(probabilities, limits)
            values[f"conformal_coverage{suffix}"] = true_probability >= limits
            values[f"conformal_size{suffix}"] = sizes.astype(np.float64)
            values[f"conformal_empty{suffix}"] = sizes == 0
        return values

    def notes(self, task: str) -> list[str]:
        """Return a sentence on the languages whose own sets hold every class, if there are any."""
        needed = next(n for n in range(1, 10**6) if rank(n) <= n)
        few = {name: threshold.n for name, threshold in self.own.items() if threshold.every_class}
        if self.pooled.every_class:
            return [
                f"Conformal sets of {task} hold every class: validation has {self.pooled.n} labelled rows, and "
                f"{COVERAGE:.0%} coverage needs {needed}."
            ]
        if not few:
            return []
        shown = ", ".join(f"{name} ({n})" for name, n in few.items())
        return [
            f"Conformal sets of {task} with a language's own threshold hold every class in {shown}: {COVERAGE:.0%} "
            f"coverage needs {needed} labelled validation rows."
        ]
