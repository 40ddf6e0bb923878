"""The predictions file: round trip, and its layout for other readers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmeval import MetricSpec, Task
from mmeval.metrics import predictions as module
from mmeval.metrics.predictions import probabilities, read_predictions, write_predictions

TASKS = (Task("group", ("smileys", "flags", "حيوانات")), Task("tone", ("dark", "light")))


def make(n: int, seed: int = 0) -> tuple[dict[str, list[str]], dict[str, NDArray[np.int64]], dict[str, NDArray]]:
    rng = np.random.default_rng(seed)
    columns = {
        "id": [f"x{i}" for i in range(n)],
        "language": ["fa", "en"] * n,
        "cluster": [f"c{i // 2}" for i in range(n)],
    }
    columns = {name: values[:n] for name, values in columns.items()} | {"slice:flags": ["flag", "other", "flag"] * n}
    columns["slice:flags"] = columns["slice:flags"][:n]
    labels = {task.name: rng.integers(-1, len(task.classes), size=n) for task in TASKS}
    return columns, labels, {t.name: rng.dirichlet(np.ones(len(t.classes)), n).astype(np.float32) for t in TASKS}


def in_blocks(values: dict[str, NDArray], cuts: list[int]) -> Iterator[dict[str, NDArray]]:
    n = len(values["group"])
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    for start, stop in pairwise(edges):
        yield {name: array[start:stop] for name, array in values.items()}


@given(st.integers(0, 30), st.lists(st.integers(0, 30), max_size=4))
@settings(deadline=None, max_examples=40)
def test_predictions_written_in_blocks_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, n: int, cuts: list[int]
) -> None:
    columns, labels, values = make(n)
    path = tmp_path_factory.mktemp("predictions") / "seed-0.parquet"
    write_predictions(path, TASKS, columns, labels, in_blocks(values, cuts))
    back = read_predictions(path)
    assert (back.ids, back.languages, back.clusters) == tuple(columns[name] for name in ("id", "language", "cluster"))
    assert back.slices == {"flags": columns["slice:flags"]}
    assert back.tasks == TASKS
    for task in TASKS:
        outcomes = back.outcomes[task.name]
        np.testing.assert_array_equal(outcomes.true, labels[task.name])
        np.testing.assert_array_equal(outcomes.predicted, values[task.name].argmax(1))
        assert outcomes.values.shape == (n, 2)
        assert outcomes.classes == len(task.classes)
        parts = [part for _, part in probabilities(path, task)]
        np.testing.assert_array_equal(np.concatenate([np.zeros((0, outcomes.classes)), *parts]), values[task.name])


def test_a_file_is_read_in_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, labels, values = make(25)
    path = tmp_path / "p.parquet"
    write_predictions(path, TASKS, columns, labels, [values])
    whole = read_predictions(path).outcomes["group"]
    monkeypatch.setattr(module, "ROWS", 4)
    assert len(list(probabilities(path, TASKS[0]))) == 7
    parts = read_predictions(path)
    assert parts.ids == columns["id"]
    for name in ("true", "predicted", "values"):
        np.testing.assert_array_equal(getattr(parts.outcomes["group"], name), getattr(whole, name))


def test_labels_are_class_names_and_null_without_a_label(tmp_path: Path) -> None:
    columns, labels, values = make(3)
    labels["group"] = np.array([2, -1, 0])
    path = tmp_path / "p.parquet"
    write_predictions(path, TASKS, columns, labels, [values])
    rows = pq.read_table(path).to_pylist()
    assert [row["group"] for row in rows] == ["حيوانات", None, "smileys"]
    np.testing.assert_allclose([row["tone:probabilities"] for row in rows], values["tone"])


def test_plugin_metrics_follow_the_built_in_metrics(tmp_path: Path) -> None:
    columns, labels, values = make(5)
    path = tmp_path / "p.parquet"
    write_predictions(path, TASKS, columns, labels, [values])
    metric = MetricSpec(name="sureness", summary="how sure", per_example=lambda _, p: p.max(1).astype(np.float64))
    outcomes = read_predictions(path, [metric]).outcomes["group"]
    assert outcomes.values.shape == (5, 3)
    np.testing.assert_allclose(outcomes.values[:, 2], values["group"].max(1))


def test_an_interrupted_write_leaves_no_file(tmp_path: Path) -> None:
    columns, labels, values = make(6)

    def failing() -> Iterator[dict[str, NDArray]]:
        yield {name: array[:3] for name, array in values.items()}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(tmp_path / "p.parquet", TASKS, columns, labels, failing())
    assert list(tmp_path.iterdir()) == []
