"""The analysis that a report shows, read from the predictions of a run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.console import note, progress
from mmeval.metrics.outcomes import Outcomes, Predictions
from mmeval.metrics.predictions import has_probabilities, probabilities, read_predictions, read_tasks
from mmeval.metrics.temperature import fit_temperature, scaled_confidence
from mmeval.record import Record
from mmeval.report.analysis import TaskAnalysis, analyse
from mmeval.runs.folder import RunFolder

FIT_ROWS = 20_000
"""Validation rows that a temperature is fitted on; of more, evenly spaced ones."""


def analysis_of(folder: RunFolder, record: Record) -> dict[str, TaskAnalysis]:
    """Return the analysis of each task; empty, with a note, if the predictions are not in the folder.

    Raises:
        RunFolderError: predictions are damaged.
    """
    seeds = record.plan.protocol.seeds
    files = [folder.predictions_file(seed) for seed in seeds]
    if missing := [file for file in files if not file.is_file()]:
        note(f"{missing[0]} is missing, so the report has no tables of classes, confusions and confidence.")
        return {}
    predictions: list[Predictions] = []
    calibrated: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
    with progress("Report", len(seeds), "seeds") as advance:
        for seed, file in zip(seeds, files, strict=True):
            predictions.append(_decisions(read_predictions(file)))
            validation = folder.validation_predictions_file(seed)
            for task in read_tasks(file) if validation.is_file() else ():
                if (scaled := _scaled(validation, file, task)) is not None:
                    calibrated.setdefault(task.name, []).append(scaled)
            advance(1)
        return analyse(predictions, record.data_check, calibrated)


def _decisions(predictions: Predictions) -> Predictions:
    """Return predictions without the values of metrics, which take most of the memory."""
    outcomes = {
        name: Outcomes(each.true, each.predicted, {}, each.classes, each.confidence)
        for name, each in predictions.outcomes.items()
    }
    return replace(predictions, outcomes=outcomes)


def _scaled(validation: Path, scored: Path, task: Task) -> tuple[float, NDArray[np.float32]] | None:
    """Return the temperature from validation, and the confidence of each scored row at it; None if there is none."""
    if task.multilabel or not (has_probabilities(validation, task) and has_probabilities(scored, task)):
        return None
    matrices, labels = [], []
    classes = {name: index for index, name in enumerate(task.classes)}
    for batch, matrix in probabilities(validation, task):
        true = np.array([classes.get(name, -1) for name in batch.column(task.name).to_pylist()], np.int64)
        known = true >= 0
        matrices.append(matrix[known])
        labels.append(true[known])
    true = np.concatenate(labels) if labels else np.zeros(0, np.int64)
    if not len(true):
        return None
    rows = np.unique(np.linspace(0, len(true) - 1, min(len(true), FIT_ROWS)).astype(np.int64))
    temperature = fit_temperature(np.concatenate(matrices)[rows], true[rows])
    confidence = [scaled_confidence(matrix, temperature) for _, matrix in probabilities(scored, task)]
    return temperature, np.concatenate(confidence) if confidence else np.zeros(0, np.float32)
