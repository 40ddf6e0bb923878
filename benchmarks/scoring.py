"""Measure the whole of ``mmeval score`` at the size of GLAMI-1M's test split against scikit-learn in a loop.

    python benchmarks/scoring.py                        # 116,004 rows, 191 classes, 13 languages, three slice columns
    python benchmarks/scoring.py --rows 10000000 --classes 20 --no-slices --no-loop

The predictions are random with about three quarters right. The script writes them as a predictions file, scores the
file in a fresh process, and prints seconds, ratios and the peak memory of that process. scikit-learn computes top-1,
top-5, macro-F1 and weighted-F1 in a loop over the languages, without slices and without reading a file, once for the
scores and once per resample for their intervals; the loop of resamples is extrapolated from two.
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

from mmeval import Task
from mmeval.metrics.bootstrap import RESAMPLES
from mmeval.metrics.predictions import read_predictions, write_predictions
from mmeval.metrics.scores import RunColumns, score
from mmeval.runs.environment import peak_memory_bytes

LANGUAGES = ["bg", "cs", "de", "el", "es", "et", "hr", "hu", "lt", "lv", "ro", "sk", "sl"]
SLICES = {"source": 3, "kind": 2, "shop": 5}
BLOCK = 4096


def main() -> None:
    """Write predictions, score them in a fresh process, run scikit-learn's loop, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=116_004)
    parser.add_argument("--classes", type=int, default=191)
    parser.add_argument("--slices", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--loop", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.score:
        print(json.dumps(score_file(arguments.score)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed-0.parquet"
        write(path, arguments.rows, arguments.classes, SLICES if arguments.slices else {})
        command = [sys.executable, __file__, "--score", str(path)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{arguments.rows:,} rows, {arguments.classes} classes, {len(LANGUAGES)} languages")
        print(f"reading and judging  {result['read']:8.2f} s")
        print(f"the whole score      {result['read'] + result['score']:8.2f} s, {result['scores']:,} rows of Scores")
        print(f"peak memory          {result['peak'] / 2**30:8.2f} GiB")
        if arguments.loop:
            once = loop(path)
            total = once * (1 + RESAMPLES)
            print(f"scikit-learn's loop  {once:8.2f} s for the scores, {total:.0f} s with {RESAMPLES:,} resamples")
            print(f"ratio of the whole   {total / (result['read'] + result['score']):8.0f}")


def write(path: Path, rows: int, classes: int, slices: dict[str, int]) -> None:
    """Write random predictions, block by block."""
    rng = np.random.default_rng(0)
    true = rng.choice(classes, rows, p=rng.dirichlet(np.full(classes, 0.5)))
    columns = {
        "id": [f"item-{row}" for row in range(rows)],
        "language": np.array(LANGUAGES)[rng.integers(len(LANGUAGES), size=rows)].tolist(),
        "cluster": [f"image-{image}" for image in rng.integers(int(rows * 0.9), size=rows)],
    }
    columns |= {f"slice:{name}": [f"{value}" for value in rng.integers(n, size=rows)] for name, n in slices.items()}

    def blocks() -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, rows, BLOCK):
            own = true[start : start + BLOCK]
            logits = rng.normal(size=(len(own), classes)).astype(np.float32)
            logits[np.arange(len(own)), own] += 3.5
            exponents = np.exp(logits)
            yield {"category": exponents / exponents.sum(1, keepdims=True)}

    task = Task("category", tuple(f"class {number}" for number in range(classes)))
    write_predictions(path, [task], columns, {"category": true}, blocks())


def score_file(path: Path) -> dict[str, float]:
    """Read and score a predictions file; return seconds and the peak memory of this process."""
    start = time.perf_counter()
    predictions = read_predictions(path)
    read = time.perf_counter()
    run = RunColumns(run="benchmark", model="random", dataset="random", split="test", inputs="image+text")
    table = score(run, {0: predictions})
    return {
        "read": read - start,
        "score": time.perf_counter() - read,
        "scores": table.num_rows,
        "peak": float(peak_memory_bytes() or 0),
    }


def loop(path: Path) -> float:
    """Return the seconds of scikit-learn's metrics over all languages: the mean of two resamples."""
    from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

    from mmeval.metrics.predictions import probabilities

    predictions = read_predictions(path)
    (task,) = predictions.tasks
    outcomes = predictions.outcomes[task.name]
    matrix = np.concatenate([block for _, block in probabilities(path, task)])
    groups = [np.flatnonzero(predictions.languages.codes == code) for code in range(len(LANGUAGES))]
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(2):
        for rows in groups:
            drawn = rows[rng.integers(len(rows), size=len(rows))]
            true, predicted = outcomes.true[drawn], outcomes.predicted[drawn]
            accuracy_score(true, predicted)
            top_k_accuracy_score(true, matrix[drawn], k=5, labels=np.arange(len(task.classes)))
            f1_score(true, predicted, average="macro")
            f1_score(true, predicted, average="weighted")
    return (time.perf_counter() - start) / 2


if __name__ == "__main__":
    main()
