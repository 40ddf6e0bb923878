"""Class balance: the class distribution of each task by language and split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.audit.columns import Rows
from mmeval.audit.content import ClassBalance, ClassShift, Distance, LanguageProfile, Share

SHOWN, SHIFTS = 24, 6
"""Number of classes in the chart, and in the list of those that shift most."""
MOST_RATIO = 3.0
"""The chart's colours saturate at a ratio of 2 to this power."""


def class_balances(rows: Rows) -> list[ClassBalance]:
    """Return the class balance of each task; a multi-label task and a task without a label are left out."""
    return [_class_balance(rows, task) for task in rows.single_label_tasks if (rows.labels[task.name] >= 0).any()]


def _class_balance(rows: Rows, task: Task) -> ClassBalance:
    counts = _counts(rows, task)
    clusters, by_split = _clusters(rows, task), counts.sum(1)
    languages: dict[str, dict[str, Distance]] = {}
    for index, split in enumerate(rows.splits):
        for code, name in enumerate(rows.languages):
            if (of_language := counts[index, code]).any():
                apart = distance(of_language, by_split[index], 1 / clusters[index, code])
                languages.setdefault(split, {})[name] = apart
    shift, shifts, untrained = None, [], {}
    if "train" in rows.splits and rows.scored:
        train, scored = rows.splits.index("train"), rows.scored
        if by_split[train].any() and by_split[scored].any():
            variance = 1 / clusters[scored].max() + 1 / clusters[train].max()
            shift, shifts = (
                distance(by_split[scored], by_split[train], variance),
                _shifts(task, by_split[[train, scored]]),
            )
        for code, name in enumerate(rows.languages):
            of_language = counts[scored, code]
            if of_language.any():
                unseen = int(of_language[counts[train, code] == 0].sum())
                untrained[name] = Share(count=unseen, n=int(of_language.sum()))
    most_frequent = np.argsort(-counts.sum((0, 1)), kind="stable")[:SHOWN]
    return ClassBalance(
        task=task.name,
        classes=len(task.classes),
        languages=languages,
        shift=shift,
        shifts=shifts,
        missing={
            split: [name for name, count in zip(task.classes, by_split[index], strict=True) if not count]
            for index, split in enumerate(rows.splits)
        },
        untrained=untrained,
        shown=[task.classes[i] for i in most_frequent],
        profiles=_profiles(rows, counts.sum(0), most_frequent),
    )


def distance(sample: NDArray[np.int64], reference: NDArray[np.int64], variance: float) -> Distance:
    """Return the total variation distance between two class distributions, and its expectation by chance.

    Args:
        sample: examples by class.
        reference: examples by class of the distribution to compare with.
        variance: variance of a class share p in units of p (1 - p): 1 / (number of independent draws), summed over
            both distributions if both are samples.
    """
    expected = reference / reference.sum()
    apart = 0.5 * np.abs(sample / sample.sum() - expected).sum()
    # The mean absolute deviation of a normal variable is sqrt(2 / pi) of its standard deviation.
    chance = 0.5 * np.sqrt(2 / np.pi * expected * (1 - expected) * variance).sum()
    return Distance(value=float(apart), chance=float(min(chance, 1)), n=int(sample.sum()))


def _clusters(rows: Rows, task: Task) -> NDArray[np.int64]:
    """Count labelled clusters ``[splits, languages]``; the examples of an image or product are one independent draw."""
    known = rows.labels[task.name] >= 0
    shape = len(rows.splits), len(rows.languages)
    cells = np.ravel_multi_index((rows.split[known], rows.language[known]), shape)
    width = rows.cluster.max() + 1
    cell_of_cluster = np.unique(cells * width + rows.cluster[known]) // width
    return np.bincount(cell_of_cluster, minlength=int(np.prod(shape))).reshape(shape)


def _counts(rows: Rows, task: Task) -> NDArray[np.int64]:
    """Count labelled examples ``[splits, languages, classes]``."""
    labels = rows.labels[task.name]
    known = labels >= 0
    shape = len(rows.splits), len(rows.languages), len(task.classes)
    cells = np.ravel_multi_index((rows.split[known], rows.language[known], labels[known]), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def _shifts(task: Task, counts: NDArray[np.int64]) -> list[ClassShift]:
    """Return the classes whose shares differ most; ``counts`` are ``[2, classes]``: train, scored split."""
    train, scored = counts
    moved = np.abs(scored / scored.sum() - train / train.sum())
    largest = [i for i in np.argsort(-moved, kind="stable")[:SHIFTS] if moved[i] > 0]
    totals = int(train.sum()), int(scored.sum())
    return [
        ClassShift(
            name=task.classes[i],
            train=Share(count=int(train[i]), n=totals[0]),
            scored=Share(count=int(scored[i]), n=totals[1]),
        )
        for i in largest
    ]


def _profiles(rows: Rows, counts: NDArray[np.int64], chosen: NDArray[np.int64]) -> list[LanguageProfile]:
    """Return a row of the chart per language; ``counts`` are ``[languages, classes]``."""
    whole = counts.sum(0)[chosen] / counts.sum()
    profiles = []
    for code, name in enumerate(rows.languages):
        n = int(counts[code].sum())
        if n:
            shares = counts[code][chosen] / n
            # Half an example is added to both counts, so that a missing rare class does not stand out.
            ratio = np.log2((counts[code][chosen] + 0.5) / (n * whole + 0.5)).clip(-MOST_RATIO, MOST_RATIO)
            profiles.append(LanguageProfile(language=name, n=n, ratios=ratio.round(3).tolist(), shares=shares.tolist()))
    return profiles
