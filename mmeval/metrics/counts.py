"""Counts of true, predicted and correct examples per class; precision, recall, F1 and balanced accuracy from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.row import ALL, ScoreRow

Floats = NDArray[np.floating]


class Counts(NamedTuple):
    """Counts per class, three arrays ``[..., classes]``; the counts of two disjoint groups can be added.

    Counts of bootstrap resamples have the shape ``[groups, classes, resamples]``; the functions below take the axis of
    the classes.
    """

    hits: Floats
    """Examples of the class that were predicted correctly."""
    true: Floats
    """Examples whose true class this is."""
    predicted: Floats
    """Examples whose predicted class this is."""


def counts_by_group(
    true: NDArray[np.integer], predicted: NDArray[np.integer], group: NDArray[np.integer], groups: int, classes: int
) -> Counts:
    """Return the counts of each group of examples, then of all together: arrays ``[groups + 1, classes]``.

    Args:
        true: indices of the true classes, ``[n]``, all known.
        predicted: indices of the predicted classes, ``[n]``.
        group: the group of each example, ``[n]``, from 0.
        groups: number of groups.
        classes: number of classes.
    """

    def count(labels: NDArray[np.integer], group: NDArray[np.integer]) -> Floats:
        cells = np.bincount(group.astype(np.int64) * classes + labels, minlength=groups * classes)
        by_group = cells.reshape(groups, classes).astype(np.float64)
        return np.concatenate([by_group, by_group.sum(0, keepdims=True)])

    hit = true == predicted
    return Counts(count(true[hit], group[hit]), count(true, group), count(predicted, group))


def precision_per_class(counts: Counts) -> Floats:
    """Return the precision of each class, hits / predicted; NaN for a class that is never predicted."""
    return _ratio(counts.hits, counts.predicted)


def recall_per_class(counts: Counts) -> Floats:
    """Return the recall of each class, hits / true; NaN for a class without examples."""
    return _ratio(counts.hits, counts.true)


def f1_per_class(counts: Counts) -> Floats:
    """Return F1 of each class, 2 hits / (true + predicted); NaN for a class that is neither true nor predicted."""
    return _ratio(2 * counts.hits, counts.true + counts.predicted)


def macro_f1(counts: Counts, axis: int = -1, classes: NDArray[np.bool_] | None = None) -> Floats:
    """Return the mean F1 over the classes that are true or predicted at least once, scikit-learn's default.

    The result lacks the axis of the classes; it is NaN for a group in which none of the classes occurs.

    Args:
        counts: the counts.
        axis: the axis of the classes.
        classes: the class list to average over, ``[classes]``; by default all classes.
    """
    total = counts.true + counts.predicted
    present = total > 0
    if classes is not None:
        shape = [1] * total.ndim
        shape[axis] = len(classes)
        present &= classes.reshape(shape)
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=present)
    return _ratio(f1.sum(axis), present.sum(axis).astype(float))


def weighted_f1(counts: Counts, axis: int = -1) -> Floats:
    """Return the mean F1 weighted by the size of each class; NaN for a group without examples."""
    total = counts.true + counts.predicted
    f1 = np.divide(2 * counts.hits, total, out=np.zeros_like(total), where=total > 0)
    return _ratio((f1 * counts.true).sum(axis), counts.true.sum(axis))


def balanced_accuracy(counts: Counts, axis: int = -1) -> Floats:
    """Return the mean recall over the classes that have examples; NaN for a group without examples.

    A class without examples in a group is left out there, as in scikit-learn's ``balanced_accuracy_score``.
    """
    present = counts.true > 0
    recall = np.divide(counts.hits, counts.true, out=np.zeros_like(counts.true), where=present)
    return _ratio(recall.sum(axis), present.sum(axis).astype(float))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0)


LISTED = "macro_f1_listed"
"""Macro-F1 over the classes with at least 10 test rows, the same list for all languages."""
FROM_COUNTS = {"macro_f1": macro_f1, "weighted_f1": weighted_f1, "balanced_accuracy": balanced_accuracy}
"""Metrics that are computed from the counts of all classes, not as a mean over examples."""

PER_CLASS: Mapping[str, Callable[[Counts], Floats]] = {
    "precision": precision_per_class,
    "recall": recall_per_class,
    "f1": f1_per_class,
}
"""Metrics of a single class."""


def per_class_rows(task: Task, counts: Counts, languages: Sequence[str]) -> list[ScoreRow]:
    """Return precision, recall and F1 of each class: in each language in which it has examples, and in all rows.

    In all rows, classes that are predicted but have no examples count too. Precision is NaN where a class is never
    predicted, recall where it has no examples. ``n`` is the number of examples of the class.

    Args:
        task: the task.
        counts: counts of the examples, arrays ``[languages + 1, classes]``; the last row has all languages.
        languages: the languages.
    """
    values = {metric: function(counts) for metric, function in PER_CLASS.items()}
    rows: list[ScoreRow] = []
    for group, language in enumerate((*languages, ALL)):
        occurs = counts.true[group] > 0
        if language == ALL:
            occurs |= counts.predicted[group] > 0
        for class_ in np.flatnonzero(occurs).tolist():
            n, name = int(counts.true[group, class_]), task.classes[class_]
            for metric, of_metric in values.items():
                rows.append(ScoreRow(metric, float(of_metric[group, class_]), n, language, klass=name))
    return rows
