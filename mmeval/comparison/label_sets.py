"""Multi-label predictions as predictions of one class per example: the set of its labels."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.metrics.multilabel import predicted_classes, subset_correct
from mmeval.metrics.multilabel_outcomes import MultilabelOutcomes
from mmeval.metrics.outcomes import Outcomes

SUBSET_ACCURACY = "subset_accuracy"
"""The share of examples with exactly the predicted classes; the metric that multi-label tasks are compared by."""


def label_set_outcomes(outcomes: MultilabelOutcomes) -> tuple[Outcomes, Task]:
    """Return the outcomes with sets of labels as classes, and the task of these classes.

    A class is named by the JSON list of its labels, so that runs with other sets of labels can be matched.
    """
    known = outcomes.known
    true, predicted = outcomes.true > 0, predicted_classes(outcomes.scores)
    rows = np.packbits(np.concatenate([true, predicted]), axis=1)
    distinct, first, code = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    flags = np.concatenate([true, predicted])[first]
    names = [json.dumps([outcomes.task.classes[label] for label in np.flatnonzero(row)]) for row in flags]
    codes = code.reshape(-1).astype(np.int32)
    true_codes = np.where(known, codes[: len(true)], np.int32(-1)).astype(np.int32)
    values = {SUBSET_ACCURACY: subset_correct(true, predicted)}
    task = Task(outcomes.task.name, tuple(names))
    return Outcomes(true_codes, codes[len(true) :], values, len(distinct)), task


def members(names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which labels each set has, ``[sets, labels]``, from the names of the sets."""
    sets = [json.loads(name) for name in names]
    labels = {label: number for number, label in enumerate(dict.fromkeys(label for each in sets for label in each))}
    table = np.zeros((len(sets), max(len(labels), 1)), bool)
    for row, each in enumerate(sets):
        table[row, [labels[label] for label in each]] = True
    return table
