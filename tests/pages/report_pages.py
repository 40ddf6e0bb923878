"""Reports of runs that were never trained: predictions are written, read, scored and analysed as those of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmeval import Task
from mmeval.metrics.predictions import read_predictions, write_predictions
from mmeval.metrics.scores import RunColumns, score
from mmeval.protocol import Protocol
from mmeval.record import ExternalSource, Plan, PluginRecord, Record
from mmeval.report.analysis import analyse
from mmeval.report.content import Content
from mmeval.report.html import html

LANGUAGES = ("ar", "de", "en", "es", "fa", "fr", "he", "id", "it", "ja", "ko", "pt", "ru", "zh")
HOSTILE = "<script>document.title='owned'</script>\u202e=cmd()|\\input{x}\x1b[2J"
TASKS = (
    Task(
        "category", ("boots", "coats", "مقاس كبير", HOSTILE, "a class with a name that is far too long for any column")
    ),
    Task("colour", ("red", "blue", "green")),
    Task("tags", ("new", "sale", "outdoor"), multilabel=True),
)
ROWS = 700


def report(
    path: Path,
    languages: Sequence[str] = LANGUAGES,
    tasks: Sequence[Task] = TASKS,
    seeds: Sequence[int] = (0, 1),
    *,
    labels_only: bool = False,
) -> Path:
    """Write the report of a run to ``path``."""
    files = {
        seed: _predictions(path.with_suffix(f".{seed}.parquet"), languages, tasks, seed, labels_only) for seed in seeds
    }
    predictions = {seed: read_predictions(file) for seed, file in files.items()}
    columns = RunColumns(run="run", model="model", dataset="shop", split="test", inputs="image+text")
    scores = score(columns, predictions, resamples=50)
    gallery = [] if labels_only else _gallery(languages, tasks)
    content = Content(_record(languages, tasks, seeds, labels_only=labels_only), scores, gallery)
    after = (
        {}
        if labels_only
        else {
            task.name: [(1.5, np.full(ROWS, 0.5, np.float32)) for _ in seeds] for task in tasks if not task.multilabel
        }
    )
    path.write_text(
        html(content, analyse(list(predictions.values()), content.record.data_check, after)), encoding="utf-8"
    )
    return path


def _predictions(path: Path, languages: Sequence[str], tasks: Sequence[Task], seed: int, labels_only: bool) -> Path:
    rng, block, labels, predicted = np.random.default_rng(seed), {}, {}, {}
    truth = np.random.default_rng(9)
    columns = {
        "id": [f"row{row}" for row in range(ROWS)],
        "language": [languages[row % len(languages)] for row in range(ROWS)],
        "cluster": [f"image{row // 2}" for row in range(ROWS)],
    }
    for task in tasks:
        count = len(task.classes)
        if task.multilabel:
            own = truth.integers(0, 2, (ROWS, count))
            block[task.name] = (0.3 + 0.4 * own + rng.uniform(-0.3, 0.3, own.shape)).astype(np.float32)
            labels[task.name] = own
            continue
        true = truth.integers(0, count, ROWS)
        logits = rng.normal(size=(ROWS, count)) + 2 * np.eye(count)[true]
        matrix = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        labels[task.name], block[task.name] = true, matrix.astype(np.float32)
        predicted[task.name] = matrix.argmax(1)
    write_predictions(path, tasks, columns, labels, [] if labels_only else [block], predicted if labels_only else None)
    return path


def _gallery(languages: Sequence[str], tasks: Sequence[Task]) -> list[dict[str, Any]]:
    rows = []
    for number, language in enumerate([*languages, *languages]):
        file = io.BytesIO()
        Image.new("RGB", (64, 48), (number * 9, 90, 200)).save(file, "JPEG")
        task = tasks[number % len(tasks)]
        true, predicted = task.classes[number % len(task.classes)], task.classes[(number + 1) % len(task.classes)]
        text = ("טקסט ארוך " if language == "he" else "a long text ") * 40 if number % 3 == 0 else f"{HOSTILE} {number}"
        kind = ("mistake", "unsure", "correct")[number % 3]
        rows.append(
            {"id": f"row{number}", "language": language, "text": text, "task": task.name, "kind": kind}
            | {"true": true, "predicted": true if kind == "correct" else predicted}
            | {"confidence": 0.9, "image": file.getvalue() if number % 4 else None}
        )
    return rows


def _record(languages: Sequence[str], tasks: Sequence[Task], seeds: Sequence[int], *, labels_only: bool) -> Record:
    protocol = Protocol(dataset="shop", fingerprint="1a2b3c4d" + "0" * 56, seeds=tuple(seeds))
    plugin = PluginRecord(name="embracenet", version="0.1.0", paper=f"A paper {HOSTILE}", licence="MIT")
    plan = Plan(
        signature=protocol.signature(plugin.name, plugin.version),
        protocol=protocol,
        plugin=plugin,
        preset="tiny",
        config={"width": 16, "weights": "/home/ana/w.bin"},
    )
    history = [{"epoch": epoch, "loss": 3 / epoch, "validation": 1 - 1 / epoch} for epoch in range(1, 13)]
    check = {
        "split": "test",
        "languages": {code: {"train": 900, "validation": 90, "test": ROWS // len(languages)} for code in languages}
        | {"lv": {"train": 30, "validation": 3, "test": 0}},
        "classes": {task.name: len(task.classes) for task in tasks},
        "unscored_languages": {"lv": 33},
        "rejected": {"rows": 12, "total": 9000, "reasons": [("the image /home/ana/shop/1.png is damaged", 12)]},
        "majority": {"category": {"label": "boots", "top1": 0.2, "mean_over_languages": 0.2}},
    }
    facts: dict[str, Any] = {
        "name": "run",
        "plan": plan,
        "data": {
            "name": "shop",
            "summary": "the table /home/ana/shop.csv",
            "licence": "cc-by-4.0",
            "splits": {"train": 900, "test": ROWS},
            "images": 350,
            "credit": f"Drawn by {HOSTILE}",
            "description": "Products of a shop.",
            "defects": ["Some images are blank."],
            "warnings": [f"a warning {HOSTILE}"],
        },
        "seeds": {str(seed): {"epochs": 12, "best_epoch": 9, "seconds": 1.5, "history": history} for seed in seeds},
        "versions": {"python": "3.11"},
        "device": "CPU, 2 threads",
        "started": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 3.2,
        "device_seconds": 2.1,
        "peak_memory_bytes": None,
        "git_commit": None,
        "command": "mmeval run --dataset table:/home/ana/shop.csv --source ../ana/x --set recipe.path=/home/ana/p",
        "plugin": "embracenet",
        "data_check": check,
    }
    if labels_only:
        source = ExternalSource(file="p.csv", sha256="0" * 64, rows=ROWS, labels_only=[task.name for task in tasks])
        facts |= {"source": source, "seeds": {str(seed): {"seconds": 0.0} for seed in seeds}, "data_check": None}
        facts["data"] = {"name": "shop", "summary": "examples of a file of predictions", "licence": "not stated"}
    return Record(**facts)
