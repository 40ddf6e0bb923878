"""Finished run folders with given predictions, written without training anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmeval import RunFolder, Task
from mmeval.metrics.predictions import write_predictions
from mmeval.protocol import Inputs, Protocol
from mmeval.record import Efficiency, ExternalSource, Plan, PluginRecord, Record
from mmeval.runs.gallery import write_empty_gallery
from mmeval.runs.scoring import write_scores_of

CLASSES = ("bag", "coat", "shoe", "sock")


def examples(rows: int = 300, languages: Sequence[str] = ("de", "et", "sl"), seed: int = 0) -> dict[str, Any]:
    """Return ids, languages, clusters and true classes of a test split."""
    rng = np.random.default_rng(seed)
    return {
        "id": [f"row{number}" for number in range(rows)],
        "language": rng.choice(languages, rows).tolist(),
        "cluster": [f"image{number}" for number in rng.integers(0, max(rows // 2, 1), rows)],
        "true": rng.integers(0, len(CLASSES), rows),
    }


def guesses(true: NDArray[np.int64], accuracy: float, seed: int) -> NDArray[np.int64]:
    """Return predictions that are right with the given probability."""
    rng = np.random.default_rng(seed)
    wrong = (np.maximum(true, 0) + rng.integers(1, len(CLASSES), len(true))) % len(CLASSES)
    return np.where(rng.random(len(true)) < accuracy, true, wrong)


def write_run(
    path: Path,
    table: Mapping[str, Any],
    predicted: Mapping[int, NDArray[np.int64]],
    *,
    model: str = "",
    classes: tuple[str, ...] = CLASSES,
    labels_only: bool = False,
    efficiency: Efficiency | None = None,
    source: ExternalSource | None = None,
    multilabel: bool = False,
    more_tasks: Sequence[str] = (),
    scored: bool = False,
    **protocol: Any,
) -> RunFolder:
    """Write a finished run; ``predicted`` are the predicted classes by training seed, ``[n, classes]`` if several.

    ``more_tasks`` have the labels and predictions of ``item``. With ``scored``, scores and report are real.
    """
    folder = RunFolder(path)
    tasks = [Task(name, classes, multilabel) for name in ("item", *more_tasks)]
    columns = {name: table[name] for name in ("id", "language", "cluster")}
    for seed, of_seed in predicted.items():
        file = folder.predictions_file(seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        matrix = rng.random((len(of_seed), len(classes))).astype(np.float32)
        if multilabel:
            matrix = matrix * np.float32(0.4) + np.float32(0.55) * of_seed.astype(np.float32)
        else:
            matrix[np.arange(len(of_seed)), of_seed] += 1
            matrix /= matrix.sum(1, keepdims=True)
        labels = {task.name: np.asarray(table["true"]) for task in tasks}
        if labels_only:
            write_predictions(file, tasks, columns, labels, [], {task.name: of_seed for task in tasks})
        else:
            write_predictions(file, tasks, columns, labels, [{task.name: matrix for task in tasks}])
    facts = {"dataset": "shop", "fingerprint": "0" * 64, "inputs": Inputs.IMAGE_TEXT, "seeds": tuple(predicted)}
    plan = Plan(
        signature="shop|test",
        protocol=Protocol(**(facts | protocol)),
        plugin=PluginRecord(name=model or path.name, version="1", paper="none", licence="MIT"),
        preset="tiny",
        config={},
    )
    record = Record(
        command="mmeval run",
        plugin=model or path.name,
        versions={},
        device="cpu",
        git_commit=None,
        name=path.name,
        plan=plan,
        data={"name": "shop"},
        seeds={str(seed): {"seconds": 1.0} for seed in predicted},
        started="2026-01-01T00:00:00+00:00",
        wall_seconds=1,
        device_seconds=1,
        peak_memory_bytes=None,
        efficiency=efficiency,
        source=source,
    )
    for file in (folder.scores_file, folder.gallery_file):
        file.write_bytes(b"not read by a comparison")
    if scored:
        write_scores_of(folder, record)
        write_empty_gallery(folder.gallery_file)
    written = [folder.scores_file, folder.gallery_file, *map(folder.predictions_file, predicted)]
    folder.finish(record, written)
    return folder
