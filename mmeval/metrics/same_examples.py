"""The check that the predictions of several training seeds are of the same examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmeval.api.task import Task
from mmeval.errors import RunFolderError
from mmeval.metrics.outcomes import Codes, Predictions
from mmeval.metrics.predictions import RERUN_ADVICE


def check_same_examples(predictions: Mapping[Path, Predictions], advice: str = RERUN_ADVICE) -> None:
    """Check that all predictions have the same ids in the same order, with the same languages, clusters and labels.

    Args:
        predictions: the predictions by file.
        advice: the end of an error message, how to get good files.

    Raises:
        RunFolderError: two files differ; the message names the files, the column and the first row that differs.
    """
    (first_file, first), *others = predictions.items()
    for file, other in others:
        if not first.ids.equals(other.ids):
            raise RunFolderError(f"{file} has other examples than {first_file}; {advice}.")
        if first.tasks != other.tasks or _multilabel_tasks(first) != _multilabel_tasks(other):
            raise RunFolderError(f"{file} has other tasks or classes than {first_file}; {advice}.")
        if set(first.slices) != set(other.slices):
            raise RunFolderError(f"{file} has other slice columns than {first_file}; {advice}.")
        columns = {"languages": (first.languages, other.languages), "clusters": (first.clusters, other.clusters)}
        columns |= {f"values of slice:{name}": (codes, other.slices[name]) for name, codes in first.slices.items()}
        for name, (mine, theirs) in columns.items():
            differing = np.flatnonzero(~same_names(mine, theirs))
            if len(differing):
                raise RunFolderError(f"{_where(file, first, differing)} has other {name} than {first_file}; {advice}.")
        for task in first.tasks:
            differing = np.flatnonzero(first.outcomes[task.name].true != other.outcomes[task.name].true)
            if len(differing):
                where = _where(file, first, differing)
                raise RunFolderError(f"{where} has another label of {task.name} than {first_file}; {advice}.")
        for name, outcomes in first.multilabel.items():
            differing = np.flatnonzero((outcomes.true != other.multilabel[name].true).any(1))
            if len(differing):
                where = _where(file, first, differing)
                raise RunFolderError(f"{where} has other labels of {name} than {first_file}; {advice}.")


def same_names(mine: Codes, theirs: Codes) -> np.ndarray:
    """Return for each row whether two columns have the same name, bool ``[n]``."""
    if mine.dictionary.equals(theirs.dictionary):
        return np.asarray(mine.codes == theirs.codes)
    index = {name: code for code, name in enumerate(mine.names)}
    translated = np.array([index.get(name, -1) for name in theirs.names], np.int32)
    return np.asarray(mine.codes == translated[theirs.codes])


def _multilabel_tasks(predictions: Predictions) -> list[Task]:
    return [outcomes.task for outcomes in predictions.multilabel.values()]


def _where(file: Path, predictions: Predictions, rows: np.ndarray) -> str:
    return f"{file}, row {rows[0]} (id {predictions.ids[int(rows[0])]})"
