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
from sklearn.metrics import brier_score_loss

from mmeval import MetricSpec, Task
from mmeval.errors import RunFolderError
from mmeval.metrics import predictions as module
from mmeval.metrics.predictions import has_probabilities, probabilities, read_predictions, write_predictions

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
    read = (back.ids.to_pylist(), back.languages.values(), back.clusters.values())
    assert read == tuple(columns[name] for name in ("id", "language", "cluster"))
    assert {name: codes.values() for name, codes in back.slices.items()} == {"flags": columns["slice:flags"]}
    assert back.tasks == TASKS
    for task in TASKS:
        outcomes = back.outcomes[task.name]
        np.testing.assert_array_equal(outcomes.true, labels[task.name])
        np.testing.assert_array_equal(outcomes.predicted, values[task.name].argmax(1))
        assert {name: values.shape for name, values in outcomes.values.items()} == dict.fromkeys(
            ["top1", *(["top2"] if task.name == "group" else []), "log_loss", "brier"], (n,)
        )
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
    assert parts.ids.to_pylist() == columns["id"]
    for name in ("true", "predicted", "confidence", "true_probability"):
        np.testing.assert_array_equal(getattr(parts.outcomes["group"], name), getattr(whole, name))
    for name, values_ in parts.outcomes["group"].values.items():
        np.testing.assert_array_equal(values_, whole.values[name])


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
    assert list(outcomes.values) == ["top1", "top2", "log_loss", "brier", "sureness"]
    np.testing.assert_allclose(outcomes.values["sureness"], values["group"].max(1))


def test_an_interrupted_write_leaves_no_file(tmp_path: Path) -> None:
    columns, labels, values = make(6)

    def failing() -> Iterator[dict[str, NDArray]]:
        yield {name: array[:3] for name, array in values.items()}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(tmp_path / "p.parquet", TASKS, columns, labels, failing())
    assert list(tmp_path.iterdir()) == []


def test_predictions_of_labels_alone_have_no_probabilities(tmp_path: Path) -> None:
    columns, labels, _ = make(20_000)
    path = tmp_path / "p.parquet"
    predicted = {task.name: np.arange(20_000) % len(task.classes) for task in TASKS}
    write_predictions(path, TASKS, columns, labels, [], predicted)
    back = read_predictions(path)
    for task in TASKS:
        outcomes = back.outcomes[task.name]
        np.testing.assert_array_equal(outcomes.predicted, predicted[task.name])
        np.testing.assert_array_equal(outcomes.values["top1"], outcomes.predicted == labels[task.name])
        assert list(outcomes.values) == ["top1"]
        assert outcomes.confidence is outcomes.true_probability is None
        assert not has_probabilities(path, task)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"id": ["a", "b", "a"]}, 'the id "a" occurs 2 times, and ids must differ'),
        ({"language": ["en", "all", "fa"]}, 'a language is called "all", which is the name of a summary row'),
        ({"cluster": ["a", None, "b"]}, 'row 1: the column "cluster" is empty'),
    ],
)
def test_bad_columns_are_named_in_one_sentence(tmp_path: Path, column: dict[str, list], message: str) -> None:
    columns, labels, values = make(3)
    path = tmp_path / "p.parquet"
    write_predictions(path, TASKS, columns | column, labels, [values])
    with pytest.raises(RunFolderError, match=message):
        read_predictions(path)


def test_log_loss_and_brier_match_scikit_learn(tmp_path: Path) -> None:
    columns, labels, values = make(200)
    labels = {name: np.abs(array) for name, array in labels.items()}
    path = tmp_path / "p.parquet"
    write_predictions(path, TASKS, columns, labels, [values])
    for task in TASKS:
        outcomes, exact = read_predictions(path).outcomes[task.name], values[task.name].astype(np.float64)
        own = exact[np.arange(200), labels[task.name]]
        assert outcomes.values["log_loss"].mean() == pytest.approx(-np.log(own).mean(), abs=1e-12)
        one_hot = np.eye(len(task.classes))[labels[task.name]]
        assert outcomes.values["brier"].mean() == pytest.approx(((exact - one_hot) ** 2).sum(1).mean(), abs=1e-12)
        if len(task.classes) == 2:
            expected = brier_score_loss(labels[task.name], exact[:, 1]) * 2
            assert outcomes.values["brier"].mean() == pytest.approx(expected, abs=1e-6)
