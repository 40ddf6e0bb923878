"""Multi-label tasks in the predictions file: written, read, and refused where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmeval import Task
from mmeval.errors import PluginError, RunFolderError
from mmeval.metrics.predictions import read_predictions, write_predictions
from mmeval.metrics.same_examples import check_same_examples
from mmeval.metrics.shown import shown_examples

TASKS = (Task("kind", ("a", "b")), Task("tags", ("x", "y|z", "ü"), multilabel=True))
LABELS = np.array([[1, 0, 1], [0, 0, 0], [-1, -1, -1], [0, 1, 0], [1, 1, 1]], np.int8)
SCORES = np.array([[0.9, 0.8, 0.7], [0, 0, 0], [1, 1, 1], [0.5, 0.4, 0.1], [0.6, 0.6, 0.6]], np.float32)
N = len(LABELS)


def write(path: Path, labels: np.ndarray = LABELS, scores: np.ndarray = SCORES) -> Path:
    columns = {"id": [f"e{i}" for i in range(N)], "language": ["de"] * N, "cluster": [f"c{i}" for i in range(N)]}
    kinds = np.full((N, 2), 0.5, np.float32)
    blocks = [{"kind": kinds[:2], "tags": scores[:2]}, {"kind": kinds[2:], "tags": scores[2:]}]
    write_predictions(path, TASKS, columns, {"kind": np.zeros(N, np.int64), "tags": labels}, blocks)
    return path


def test_labels_and_probabilities_are_read_as_written(tmp_path: Path) -> None:
    predictions = read_predictions(write(tmp_path / "p.parquet"))
    outcomes = predictions.multilabel["tags"]
    np.testing.assert_array_equal(outcomes.true, LABELS)
    np.testing.assert_array_equal(outcomes.scores, SCORES)
    assert outcomes.known.tolist() == [True, True, False, True, True]
    assert (outcomes.task, predictions.tasks, predictions.order) == (TASKS[1], TASKS[:1], ("kind", "tags"))
    assert predictions.outcomes.keys() == {"kind"}


def test_the_file_holds_lists_of_class_names(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path / "p.parquet"))
    assert table["tags"].to_pylist() == [["x", "ü"], [], None, ["y|z"], ["x", "y|z", "ü"]]
    assert table["tags:probabilities"].type == pa.list_(pa.float32(), 3)
    facts = json.loads(table.schema.metadata[b"mmeval"])
    assert facts == {"tasks": [[task.name, list(task.classes)] for task in TASKS], "multilabel": ["tags"]}


@pytest.mark.parametrize(
    ("value", "problem"),
    [(1.1, "are below 0 or above 1"), (-0.1, "are below 0 or above 1"), (float("nan"), "contain NaN or infinity")],
)
def test_numbers_that_are_no_probabilities_are_refused(value: float, problem: str, tmp_path: Path) -> None:
    scores = SCORES.copy()
    scores[3, 1] = value
    with pytest.raises(PluginError, match=f"probabilities of tags {problem}, first for example 3"):
        write(tmp_path / "p.parquet", scores=scores)


def changed(path: Path, column: str, values: pa.Array) -> Path:
    """Replace a column of a predictions file."""
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, values), path, write_page_checksum=True)
    return path


def test_damaged_columns_are_refused_with_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet")
    names = [["x"], [], None, ["nope"], ["x"]]
    with pytest.raises(RunFolderError, match=r'row 3 \(id e3\): "nope" is not a class of tags'):
        read_predictions(changed(path, "tags", pa.array(names, pa.list_(pa.string()))))
    with pytest.raises(RunFolderError, match=r"row 0 .* the true classes of tags must be a list, not string"):
        read_predictions(changed(path, "tags", pa.array(["x"] * N)))
    wrong = pa.array([[2.0, 0, 0]] * N, pa.list_(pa.float32(), 3))
    with pytest.raises(RunFolderError, match="the probabilities of tags are below 0 or above 1"):
        read_predictions(changed(write(path), "tags:probabilities", wrong))


def test_seeds_with_other_labels_are_refused(tmp_path: Path) -> None:
    other = LABELS.copy()
    other[4, 2] = 0
    files = [write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", other)]
    with pytest.raises(RunFolderError, match=r"b\.parquet, row 4 \(id e4\) has other labels of tags than"):
        check_same_examples({file: read_predictions(file) for file in files})


def test_mistakes_are_examples_with_a_wrong_set_of_classes(tmp_path: Path) -> None:
    """The most confident decision that is wrong counts."""
    first, second = shown_examples(write(tmp_path / "p.parquet"), TASKS[1], {"mistake": 10})
    assert (first.id, first.true, first.predicted) == ("e0", "x, ü", "x, y|z, ü")
    assert first.confidence == pytest.approx(0.8)
    assert (second.id, second.true, second.predicted) == ("e3", "y|z", "x")
    assert second.confidence == pytest.approx(0.6)
