"""Measure per-language scores of a test split of GLAMI-1M's size against scikit-learn in a loop over languages.

    python benchmarks/scoring.py

The predictions are random with 70 % accuracy: 116,004 rows, 191 classes, 13 languages. The script prints seconds,
ratios and peak memory. Our scores start from values per row (argmax, top-1, top-5), which a run computes once for
scores and intervals; their time is printed separately.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from mmeval.metrics.bootstrap import Outcomes, bootstrap_statistics
from mmeval.metrics.counts import grouped_counts, macro_f1, weighted_f1
from mmeval.metrics.per_example import top1, top5
from mmeval.runs.environment import peak_memory_bytes

ROWS, CLASSES, LANGUAGES, RESAMPLES = 116_004, 191, 13, 1000


def main() -> None:
    """Measure scores and intervals, and print them."""
    rng = np.random.default_rng(0)
    true = rng.choice(CLASSES, ROWS, p=rng.dirichlet(np.full(CLASSES, 0.5)))
    scores = rng.random((ROWS, CLASSES), np.float32)
    correct = rng.random(ROWS) < 0.7
    scores[np.flatnonzero(correct), true[correct]] += 1
    language = rng.integers(LANGUAGES, size=ROWS)
    predicted, values = scores.argmax(1), np.stack([top1(true, scores), top5(true, scores)], 1)
    rows = [np.flatnonzero(language == number) for number in range(LANGUAGES)]

    def ours() -> None:
        counts = grouped_counts(true, predicted, language, LANGUAGES, CLASSES)
        macro_f1(counts), weighted_f1(counts)
        [np.bincount(language, column) / counts.true.sum(-1) for column in values.T]

    def scikit_learn(part: NDArray[np.int64]) -> None:
        t, p = true[part], predicted[part]
        accuracy_score(t, p)
        top_k_accuracy_score(t, scores[part], k=5, labels=np.arange(CLASSES))
        f1_score(t, p, average="macro")
        f1_score(t, p, average="weighted")

    def loop() -> None:
        for part in rows:
            scikit_learn(part)

    def intervals() -> None:
        outcomes = Outcomes(true, predicted, values, CLASSES)
        for block in bootstrap_statistics(outcomes, rows, np.arange(ROWS), RESAMPLES):
            for statistics in block:
                macro_f1(statistics.counts), weighted_f1(statistics.counts)

    def loop_of_resamples() -> None:
        for part in rows:
            scikit_learn(part[rng.integers(len(part), size=len(part))])

    def per_row() -> None:
        scores.argmax(1), top1(true, scores), top5(true, scores)

    before = peak_memory_bytes() or 0
    fast, slow, once = seconds(ours, 20), seconds(loop, 3), seconds(per_row, 3)
    print(f"scores:    {fast * 1000:8.2f} ms, scikit-learn loop {slow:6.2f} s, ratio {slow / fast:6.0f}")
    print(f"values per row (argmax, top-1, top-5), computed once: {once * 1000:.0f} ms;", end=" ")
    print(f"ratio including them {slow / (once + fast):.1f}")
    fast = seconds(intervals, 2)
    peak = (peak_memory_bytes() or 0) - before
    slow = seconds(loop_of_resamples, 5) * RESAMPLES
    print(
        f"intervals: {fast:8.2f} s,  scikit-learn loop {slow:6.0f} s (from 5 of {RESAMPLES}), ratio {slow / fast:6.0f}"
    )
    print(f"memory added by {RESAMPLES} resamples: {peak / 2**20:.0f} MiB")


def seconds(call: Callable[[], None], times: int) -> float:
    """Return the median seconds of ``times`` calls, after a warm-up call."""
    call()
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return float(np.median(durations))


if __name__ == "__main__":
    main()
