"""The examples of a report: every language, spread over classes, one per image, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmeval import Task
from mmeval.metrics.predictions import write_predictions
from mmeval.metrics.shown import Shown, shown_examples

TASK = Task("t", ("cat", "dog"))
MISTAKES = {"mistake": 10}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A predictions file with seven examples of five images."""
    rows = [
        ("a/en", "en", "a", 0.9, 0),  # wrong
        ("a/de", "de", "a", 0.95, 0),  # wrong, with more confidence
        ("b/en", "en", "b", 0.2, 1),  # wrong
        ("c/en", "en", "c", 0.99, 1),  # right
        ("e/en", "en", "e", 0.7, 1),  # right, with little confidence
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
    """The English example of image a comes last: its language has another image."""
    mistakes = shown_examples(path, TASK, {"mistake": 1})
    assert [mistake[:4] for mistake in mistakes] == [("a/de", "de", "cat", "dog"), ("b/en", "en", "dog", "cat")]
    assert [mistake.confidence for mistake in mistakes] == pytest.approx([0.95, 0.8])
    everything = shown_examples(path, TASK, {"mistake": 10})
    assert [mistake.id for mistake in everything] == ["a/de", "a/en", "b/en", "d/de"]


def test_unsure_and_correct_examples_follow_the_mistakes(path: Path) -> None:
    shown = shown_examples(path, TASK, {"mistake": 1, "unsure": 1, "correct": 1})
    assert [(each.kind, each.id) for each in shown] == [
        ("mistake", "a/de"),
        ("mistake", "b/en"),
        ("unsure", "d/de"),
        ("unsure", "e/en"),
        ("correct", "c/en"),
    ]
    assert isinstance(shown[0], Shown)


def test_examples_do_not_depend_on_the_batch_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shown_examples(path, TASK, MISTAKES)
    monkeypatch.setattr("mmeval.metrics.predictions.ROWS", 2)
    assert shown_examples(path, TASK, MISTAKES) == whole


def test_every_language_and_many_classes_are_shown(tmp_path: Path) -> None:
    """The most confident mistakes are all of one class and language; the choice is spread nevertheless."""
    rng = np.random.default_rng(0)
    task = Task("t", tuple("abcdefgh"))
    true = rng.integers(8, size=600)
    languages = ["de"] * 500 + ["fa"] * 90 + ["ja"] * 10
    probabilities = np.full((600, 8), 0.01, np.float32)
    probabilities[np.arange(600), (true + 1) % 8] = 0.93
    probabilities[(true == 0) & (np.arange(600) < 500)] = np.float32([0.001, 0.993, *[0.001] * 6])
    columns = {
        "id": [f"{row}" for row in range(600)],
        "language": languages,
        "cluster": [f"{row}" for row in range(600)],
    }
    write_predictions(tmp_path / "p", (task,), columns, {"t": true}, [{"t": probabilities}])
    shown = shown_examples(tmp_path / "p", task, {"mistake": 5})
    assert {each.language for each in shown} == {"de", "fa", "ja"}
    assert len(shown) == 15
    assert len({each.true for each in shown}) == 8
    assert (shown[0].true, shown[0].language) == ("a", "de")


def test_correct_predictions_give_no_mistakes(tmp_path: Path) -> None:
    columns = {name: ["x"] for name in ("id", "language", "cluster")}
    write_predictions(tmp_path / "p", (TASK,), columns, {"t": np.array([1])}, [{"t": np.float32([[0.1, 0.9]])}])
    assert shown_examples(tmp_path / "p", TASK, MISTAKES) == []
