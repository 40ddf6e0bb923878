"""How classes are spread over languages and splits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.audit.columns import Rows
from mmeval.audit.content import Distance, Mix, Share, Shift, Strip

SHOWN, SHIFTS = 24, 6
MOST_RATIO = 3.0
"""Powers of two at which the chart's colours end."""


def mixes(rows: Rows) -> list[Mix]:
    """The mix of each task's classes; a task without a label is left out."""
    return [_mix(rows, task) for task in rows.store.tasks if (rows.labels[task.name] >= 0).any()]


def _mix(rows: Rows, task: Task) -> Mix:
    counts = _counts(rows, task)
    draws, by_split = _draws(rows, task), counts.sum(1)
    languages: dict[str, dict[str, Distance]] = {}
    for index, split in enumerate(rows.splits):
        for code, name in enumerate(rows.languages):
            if (mine := counts[index, code]).any():
                apart = distance(mine, by_split[index], 1 / draws[index, code])
                languages.setdefault(split, {})[name] = apart
    shift, shifts, untrained = None, [], {}
    if "train" in rows.splits and rows.scored:
        train, scored = rows.splits.index("train"), rows.scored
        if by_split[train].any() and by_split[scored].any():
            drawn = 1 / draws[scored].max() + 1 / draws[train].max()
            shift, shifts = distance(by_split[scored], by_split[train], drawn), _shifts(task, by_split[[train, scored]])
        for code, name in enumerate(rows.languages):
            mine = counts[scored, code]
            if mine.any():
                unseen = int(mine[counts[train, code] == 0].sum())
                untrained[name] = Share(count=unseen, n=int(mine.sum()))
    commonest = np.argsort(-counts.sum((0, 1)), kind="stable")[:SHOWN]
    return Mix(
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
        shown=[task.classes[i] for i in commonest],
        strips=_strips(rows, counts.sum(0), commonest),
    )


def distance(some: NDArray[np.int64], whole: NDArray[np.int64], drawn: float) -> Distance:
    """Total variation between two mixes, and what it is in the mean where only chance makes them differ.

    Args:
        some: counts by class.
        whole: counts by class of what it is held against.
        drawn: variance of a share in units of p (1 - p): one by the number of independent draws, summed over both
            where both are samples.
    """
    expected = whole / whole.sum()
    apart = 0.5 * np.abs(some / some.sum() - expected).sum()
    chance = 0.5 * np.sqrt(2 / np.pi * expected * (1 - expected) * drawn).sum()
    return Distance(value=float(apart), chance=float(min(chance, 1)), n=int(some.sum()))


def _draws(rows: Rows, task: Task) -> NDArray[np.int64]:
    """Clusters ``[splits, languages]``: examples of one image or product are one draw."""
    known = rows.labels[task.name] >= 0
    shape = len(rows.splits), len(rows.languages)
    cells = np.ravel_multi_index((rows.split[known], rows.language[known]), shape)
    drawn = np.unique(cells * (rows.cluster.max() + 1) + rows.cluster[known]) // (rows.cluster.max() + 1)
    return np.bincount(drawn, minlength=int(np.prod(shape))).reshape(shape)


def _counts(rows: Rows, task: Task) -> NDArray[np.int64]:
    """Examples ``[splits, languages, classes]``."""
    labels = rows.labels[task.name]
    known = labels >= 0
    shape = len(rows.splits), len(rows.languages), len(task.classes)
    cells = np.ravel_multi_index((rows.split[known], rows.language[known], labels[known]), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def _shifts(task: Task, counts: NDArray[np.int64]) -> list[Shift]:
    train, scored = counts
    moved = np.abs(scored / scored.sum() - train / train.sum())
    largest = [i for i in np.argsort(-moved, kind="stable")[:SHIFTS] if moved[i] > 0]
    totals = int(train.sum()), int(scored.sum())
    return [
        Shift(
            name=task.classes[i],
            train=Share(count=int(train[i]), n=totals[0]),
            scored=Share(count=int(scored[i]), n=totals[1]),
        )
        for i in largest
    ]


def _strips(rows: Rows, counts: NDArray[np.int64], chosen: NDArray[np.int64]) -> list[Strip]:
    whole = counts.sum(0)[chosen] / counts.sum()
    strips = []
    for code, name in enumerate(rows.languages):
        n = int(counts[code].sum())
        if n:
            shares = counts[code][chosen] / n
            # Half an example more on both sides: a rare class that is missing says little.
            ratio = np.log2((counts[code][chosen] + 0.5) / (n * whole + 0.5)).clip(-MOST_RATIO, MOST_RATIO)
            strips.append(Strip(language=name, n=n, ratios=ratio.round(3).tolist(), shares=shares.tolist()))
    return strips
