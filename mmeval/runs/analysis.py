"""The analysis that a report shows, read from the predictions of a run folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.console import note, progress
from mmeval.metrics.outcomes import Outcomes, Predictions
from mmeval.metrics.predictions import has_probabilities, probabilities, read_predictions, read_tasks
from mmeval.metrics.temperature import scaled_confidence, validation_temperature
from mmeval.record import Record
from mmeval.report.analysis import TaskAnalysis, analyse
from mmeval.runs.folder import RunFolder

SLOW_BYTES = 30_000_000
"""Reading and analysing predictions of this size takes more than two seconds."""


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
    slow = sum(file.stat().st_size for file in files) > SLOW_BYTES
    with progress("Report", len(seeds), "seeds") if slow else nullcontext(_silent) as advance:
        for seed, file in zip(seeds, files, strict=True):
            predictions.append(_decisions(read_predictions(file)))
            validation = folder.validation_predictions_file(seed)
            for task in read_tasks(file) if validation.is_file() else ():
                if (scaled := _scaled(validation, file, task)) is not None:
                    calibrated.setdefault(task.name, []).append(scaled)
            advance(1)
        return analyse(predictions, record.data_check, calibrated)


def _silent(_: int) -> None:
    """Show no progress."""


def _decisions(predictions: Predictions) -> Predictions:
    """Return predictions without the values of metrics, which take most of the memory."""
    outcomes = {
        name: Outcomes(each.true, each.predicted, {}, each.classes, each.confidence)
        for name, each in predictions.outcomes.items()
    }
    return replace(predictions, outcomes=outcomes)


def _scaled(validation: Path, scored: Path, task: Task) -> tuple[float, NDArray[np.float32]] | None:
    """Return the temperature from validation, and the confidence of each scored row at it; None if there is none."""
    if task.multilabel or not has_probabilities(scored, task):
        return None
    if (fitted := validation_temperature(validation, task)) is None:
        return None
    temperature, _ = fitted
    confidence = [scaled_confidence(matrix, temperature) for _, matrix in probabilities(scored, task)]
    return temperature, np.concatenate(confidence) if confidence else np.zeros(0, np.float32)
