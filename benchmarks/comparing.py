"""Measure ``mmeval compare`` of ten runs at the size of GLAMI-1M's test split.

    python benchmarks/comparing.py                      # 10 runs, 116,004 rows, 191 classes, 13 languages
    python benchmarks/comparing.py --metric macro_f1

The predictions are random; the runs are right in 60 to 78 % of the rows, on mostly the same rows. The script writes
them as run folders, compares them in a fresh process, and prints seconds, among them those of reading and of a
comparison without reading, and the peak memory of that process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmeval import RunFolder, Task
from mmeval.metrics.predictions import write_predictions
from mmeval.protocol import Protocol
from mmeval.record import Plan, PluginRecord, Record
from mmeval.runs.compare import AlignedRuns, compare
from mmeval.runs.environment import peak_memory_bytes

LANGUAGES = ["bg", "cs", "de", "el", "es", "et", "hr", "hu", "lt", "lv", "ro", "sk", "sl"]
BLOCK = 4096


def main() -> None:
    """Write the runs, compare them in a fresh process, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=116_004)
    parser.add_argument("--classes", type=int, default=191)
    parser.add_argument("--metric", default="top1")
    parser.add_argument("--compare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.compare:
        print(json.dumps(compare_runs(arguments.compare, arguments.metric)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.runs):
            write_run(Path(folder) / f"run-{number:02}", number, arguments.rows, arguments.classes)
        command = [sys.executable, __file__, "--compare", folder, "--metric", arguments.metric]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    size = f"{arguments.rows:,} rows, {arguments.classes} classes, {len(LANGUAGES)} languages"
    print(f"{arguments.runs} runs of {size}, {arguments.metric}")
    print(f"the whole comparison  {result['whole']:8.2f} s, {result['pairs']} pairs")
    print(f"without reading       {result['tests']:8.2f} s")
    print(f"peak memory           {result['peak'] / 2**30:8.2f} GiB")


def compare_runs(parent: Path, metric: str) -> dict[str, float]:
    """Compare all runs in a folder; return seconds, the number of pairs and the peak memory of this process."""
    folders = [RunFolder(path) for path in sorted(parent.iterdir())]
    start = time.perf_counter()
    result = compare(*folders, metric=metric)
    whole, peak = time.perf_counter() - start, float(peak_memory_bytes() or 0)
    aligned = AlignedRuns(metric)
    for folder in folders:
        aligned.add(folder, folder.name)
    start = time.perf_counter()
    aligned.compare([folder.name for folder in folders])
    return {"whole": whole, "tests": time.perf_counter() - start, "pairs": len(result.pairs), "peak": peak}


def write_run(path: Path, number: int, rows: int, classes: int) -> None:
    """Write a run folder with random predictions of the same rows."""
    shared, own = np.random.default_rng(0), np.random.default_rng(number + 1)
    true = shared.choice(classes, rows, p=shared.dirichlet(np.full(classes, 0.5)))
    columns = {
        "id": [f"item-{row}" for row in range(rows)],
        "language": np.array(LANGUAGES)[shared.integers(len(LANGUAGES), size=rows)].tolist(),
        "cluster": [f"image-{image}" for image in shared.integers(int(rows * 0.9), size=rows)],
    }
    difficulty = shared.normal(size=rows).astype(np.float32)

    def blocks() -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, rows, BLOCK):
            labels = true[start : start + BLOCK]
            logits = own.normal(size=(len(labels), classes)).astype(np.float32)
            logits[np.arange(len(labels)), labels] += 2.6 + 0.06 * number + difficulty[start : start + BLOCK]
            exponents = np.exp(logits)
            yield {"category": exponents / exponents.sum(1, keepdims=True)}

    folder = RunFolder(path)
    file = folder.predictions_file(0)
    file.parent.mkdir(parents=True)
    task = Task("category", tuple(f"class {each}" for each in range(classes)))
    write_predictions(file, [task], columns, {"category": true}, blocks())
    plan = Plan(
        signature="random",
        protocol=Protocol(dataset="random", fingerprint="0" * 64),
        plugin=PluginRecord(name=f"model-{number:02}", version="1", paper="none", licence="none"),
        preset="none",
        config={},
    )
    record = Record(
        command="mmeval run",
        plugin=plan.plugin.name,
        versions={},
        device="none",
        git_commit=None,
        name=path.name,
        plan=plan,
        data={"name": "random"},
        seeds={"0": {"seconds": 0.0}},
        started="1970-01-01T00:00:00+00:00",
        wall_seconds=0,
        device_seconds=0,
        peak_memory_bytes=None,
    )
    for unused in (folder.scores_file, folder.gallery_file):
        unused.write_bytes(b"not read by a comparison")
    folder.finish(record, [file, folder.scores_file, folder.gallery_file])


if __name__ == "__main__":
    main()
