"""Recall at 90 % precision: how much of a class can be decided automatically if nine of ten decisions must be right.

A threshold on the probability of a class is chosen on validation: the lowest whose precision there is at least 0.9. It
is applied to the test split, so that the recall isn't chosen on the rows on which it is reported.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.by_language import language_rows
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions
from mmeval.metrics.predictions import probabilities
from mmeval.metrics.row import ScoreRow

METRIC = "recall_at_90_precision"
PRECISION = 0.9
"""The precision that a threshold must reach on validation."""
_BUFFER = 1_000_000
"""Number of candidates after which all but the highest of each class are dropped."""

Floats = NDArray[np.floating]
Labels = NDArray[np.integer]


def precision_thresholds(
    true: Labels, true_probability: Floats, batches: Iterable[Floats], classes: int, precision: float = PRECISION
) -> NDArray[np.float64]:
    """Return for each class the lowest threshold whose precision reaches ``precision``, ``[classes]``.

    An example is taken for a class if the class's probability is at least its threshold; it may be taken for several
    classes or for none. Only probabilities of true classes come into question as thresholds: any other has the same
    recall as the next higher of them, with a lower precision. The threshold is infinite for a class that no threshold
    lifts to the precision, and for a class without examples.

    The probabilities are read in batches. Beside them, memory holds a number per example and ``_BUFFER`` candidates.

    Args:
        true: indices of the true classes, ``[n]``; examples with -1 are left out.
        true_probability: probabilities of the true classes, ``[n]``.
        batches: probabilities ``[rows, classes]`` of the same examples in consecutive batches.
        classes: number of classes.
        precision: the precision to reach, above 0.
    """
    known = true >= 0
    own_class, own = true[known], true_probability[known]
    counts = np.bincount(own_class, minlength=classes)
    # Below the lowest probability of its true examples, or with more false ones than this, no threshold is of use.
    lowest = np.full(classes, np.inf)
    np.minimum.at(lowest, own_class, own)
    most_false = np.floor(counts * (1 - precision) / precision + 1e-9).astype(np.int64) + 1
    highest = _HighestFalse(lowest, most_false)
    start = 0
    for batch in batches:
        highest.add(true[start : start + len(batch)], batch)
        start += len(batch)
    false_class, false = highest.drop() if start else (own_class[:0], own[:0])

    class_ = np.concatenate([own_class, false_class])
    score = np.concatenate([own, false]).astype(np.float64)
    is_true = np.arange(len(class_)) < len(own_class)
    order = np.lexsort((-score, class_))
    class_, score, is_true = class_[order], score[order], is_true[order]
    starts = np.flatnonzero(np.append(True, class_[1:] != class_[:-1])) if len(class_) else np.zeros(0, np.int64)
    taken, right = np.arange(1, len(class_) + 1), np.cumsum(is_true)
    first = np.repeat(starts, np.diff(np.append(starts, len(class_))))
    taken, right = taken - first, right - (right[first] - is_true[first])
    # Examples with equal probabilities are taken together: only the last of them shows the true counts.
    last = np.append((class_[1:] != class_[:-1]) | (score[1:] != score[:-1]), True)[: len(class_)]
    reached = last & (right > 0) & (right / taken >= precision)
    thresholds = np.full(classes, np.inf)
    np.minimum.at(thresholds, class_[reached], score[reached])
    return thresholds


def recalls(
    true: Labels, true_probability: Floats, thresholds: Floats, group: Labels, groups: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the recall of each class in each group at fixed thresholds, and the number of examples.

    Args:
        true: indices of the true classes, ``[n]``, all known.
        true_probability: probabilities of the true classes, ``[n]``.
        thresholds: by class, ``[classes]``.
        group: the group of each example, ``[n]``, from 0.
        groups: number of groups.

    Returns:
        Recalls ``[groups, classes]``, NaN where a class has no example, and counts of examples of the same shape.
    """
    classes = len(thresholds)
    cell = group.astype(np.int64) * classes + true
    counts = np.bincount(cell, minlength=groups * classes).reshape(groups, classes)
    taken = cell[true_probability >= thresholds[true]]
    hits = np.bincount(taken, minlength=groups * classes).reshape(groups, classes)
    return np.divide(hits, counts, out=np.full(counts.shape, np.nan), where=counts > 0), counts


def thresholds_of(validation: Predictions, task: Task) -> NDArray[np.float64] | None:
    """Return the thresholds that validation predictions give for each class; None if they have labels only.

    Raises:
        RunFolderError: the file of the predictions is damaged.
    """
    outcomes = validation.outcomes[task.name]
    if outcomes.true_probability is None or validation.path is None:
        return None
    batches = (matrix for _, matrix in probabilities(validation.path, task))
    return precision_thresholds(outcomes.true, outcomes.true_probability, batches, outcomes.classes)


def recall_rows(task: Task, outcomes: Outcomes, languages: Codes, thresholds: NDArray[np.float64]) -> list[ScoreRow]:
    """Return recall at 90 % precision: the mean over classes in each language and in all rows, then of each class.

    A class counts where it has test examples. Its recall is 0 if it has no threshold.

    Args:
        task: the task.
        outcomes: the test examples, all labelled.
        languages: their languages.
        thresholds: the thresholds of the classes, from validation, ``[classes]``.
    """
    probability = outcomes.true_probability
    if probability is None:
        return []
    count = len(languages.names)
    by_language, sizes = recalls(outcomes.true, probability, thresholds, languages.codes, count)
    pooled, total = recalls(outcomes.true, probability, thresholds, np.zeros(len(languages), np.int64), 1)
    recall, size = np.concatenate([by_language, pooled]), np.concatenate([sizes, total])
    occur = size > 0
    sums = np.where(occur, recall, 0).sum(1)
    means = np.divide(sums, occur.sum(1), out=np.full(len(sums), np.nan), where=occur.any(1))
    return [
        *language_rows(METRIC, languages.names, means.tolist(), size.sum(1).tolist()),
        *(
            ScoreRow(METRIC, float(pooled[0, class_]), int(total[0, class_]), klass=name)
            for class_, name in enumerate(task.classes)
            if total[0, class_]
        ),
    ]


class _HighestFalse:
    """The highest probabilities of each class among the examples of other classes."""

    def __init__(self, lowest: NDArray[np.float64], most: NDArray[np.int64]) -> None:
        """Start without candidates.

        Args:
            lowest: for each class, the probability below which no candidate is of use, ``[classes]``.
            most: for each class, the number of candidates to keep, ``[classes]``.
        """
        self.lowest, self.most = lowest, most
        self.classes: list[Labels] = []
        self.scores: list[Floats] = []
        self.size = 0

    def add(self, true: Labels, batch: Floats) -> None:
        """Add the examples of a batch: true classes ``[rows]`` (-1 for none) and probabilities ``[rows, classes]``."""
        false = batch.copy()
        labelled = true >= 0
        false[~labelled] = -1
        false[np.flatnonzero(labelled), true[labelled]] = -1
        above = false >= self.lowest.astype(batch.dtype)
        if np.count_nonzero(above) > _BUFFER // 8:
            self._raise_lowest(false)
            above = false >= self.lowest.astype(batch.dtype)
        rows, classes = np.nonzero(above)
        self.classes.append(classes)
        self.scores.append(batch[rows, classes])
        self.size += len(rows)
        if self.size > _BUFFER:
            self.drop()

    def _raise_lowest(self, false: Floats) -> None:
        """Raise ``lowest`` as far as the candidates of a batch ``[rows, classes]`` alone allow."""
        rows = len(false)
        full = np.flatnonzero(self.most <= rows)
        ordered = np.sort(false.T[full], axis=1)
        self.lowest[full] = np.maximum(self.lowest[full], ordered[np.arange(len(full)), rows - self.most[full]])

    def drop(self) -> tuple[Labels, Floats]:
        """Drop all but the highest candidates of each class; return the class and the probability of those left."""
        class_, score = np.concatenate(self.classes), np.concatenate(self.scores)
        order = np.lexsort((-score, class_))
        class_, score = class_[order], score[order]
        starts = np.searchsorted(class_, np.arange(len(self.most)))
        place = np.arange(len(class_)) - starts[class_]
        last = place == self.most[class_] - 1
        self.lowest[class_[last]] = np.maximum(self.lowest[class_[last]], score[last])
        kept = place < self.most[class_]
        self.classes, self.scores = [class_[kept]], [score[kept]]
        self.size = len(self.classes[0])
        return self.classes[0], self.scores[0]
