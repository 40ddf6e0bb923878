"""The most confident mistakes: order, one per image, and the limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmeval import Task
from mmeval.metrics.mistakes import Mistake, confident_mistakes
from mmeval.metrics.predictions import write_predictions

TASK = Task("t", ("cat", "dog"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A predictions file with six examples of four images."""
    rows = [
        ("a/en", "en", "a", 0.9, 0),  # wrong
        ("a/de", "de", "a", 0.95, 0),  # wrong, with more confidence
        ("b/en", "en", "b", 0.2, 1),  # wrong
        ("c/en", "en", "c", 0.99, 1),  # right
        ("d/en", "en", "d", 0.97, -1),  # no label
        ("d/de", "de", "d", 0.6, 0),  # wrong
    ]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("id", "language", "cluster"))}
    dog = np.array([row[3] for row in rows], np.float32)
    labels = {"t": np.array([row[4] for row in rows])}
    file = tmp_path / "p.parquet"
    write_predictions(file, (TASK,), columns, labels, [{"t": np.stack([1 - dog, dog], 1)}])
    return file


def test_mistakes_are_sorted_by_confidence_with_one_per_image(path: Path) -> None:
    mistakes = confident_mistakes(path, TASK, 10)
    assert [mistake[:4] for mistake in mistakes] == [
        ("a/de", "de", "cat", "dog"),
        ("b/en", "en", "dog", "cat"),
        ("d/de", "de", "cat", "dog"),
    ]
    assert [mistake.confidence for mistake in mistakes] == pytest.approx([0.95, 0.8, 0.6])


def test_at_most_count_mistakes_are_returned(path: Path) -> None:
    (only,) = confident_mistakes(path, TASK, 1)
    assert isinstance(only, Mistake)
    assert only.id == "a/de"


def test_mistakes_do_not_depend_on_the_batch_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = confident_mistakes(path, TASK, 10)
    monkeypatch.setattr("mmeval.metrics.predictions.ROWS", 2)
    assert confident_mistakes(path, TASK, 10) == whole


def test_correct_predictions_give_no_mistakes(tmp_path: Path) -> None:
    columns = {name: ["x"] for name in ("id", "language", "cluster")}
    write_predictions(tmp_path / "p", (TASK,), columns, {"t": np.array([1])}, [{"t": np.float32([[0.1, 0.9]])}])
    assert confident_mistakes(tmp_path / "p", TASK, 10) == []
