"""Comparisons of multi-label tasks: subset accuracy, micro- and macro-F1 over sets of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

import mmeval
from mmeval import RunFolder, UserError
from mmeval.comparison.paired import paired_differences
from tests.comparison.run_folders import CLASSES, examples, guesses, write_run


def noisy(true: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Return labels of which a share is flipped."""
    return np.where(np.random.default_rng(seed).random(true.shape) < share, 1 - true, true)


@pytest.fixture
def table() -> dict[str, Any]:
    return examples() | {"true": np.random.default_rng(4).integers(0, 2, (300, len(CLASSES)))}


@pytest.fixture
def runs(tmp_path: Path, table: dict[str, Any]) -> tuple[RunFolder, RunFolder]:
    true = table["true"]
    return (
        write_run(tmp_path / "a", table, {0: noisy(true, 0.05, 1)}, multilabel=True),
        write_run(tmp_path / "b", table, {0: noisy(true, 0.2, 2)}, multilabel=True),
    )


def test_subset_accuracy_is_compared_row_by_row(runs: tuple[RunFolder, RunFolder], table: dict[str, Any]) -> None:
    result = mmeval.compare(*runs)
    true = table["true"]
    hits = [(noisy(true, share, seed) == true).all(1) for share, seed in ((0.05, 1), (0.2, 2))]
    language, cluster = (np.unique(table[name], return_inverse=True)[1] for name in ("language", "cluster"))
    expected = paired_differences(hits[0], hits[1], language, cluster)
    assert result.metric == "subset_accuracy"
    assert vars(result.mean) == pytest.approx(vars(expected.mean))
    assert [each.p for each in result.languages] == [each.estimate.p for each in expected.languages]
    assert mmeval.compare(runs[0], runs[0]).pairs[0].identical


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_f1_differences_are_those_of_scikit_learn(
    average: str, runs: tuple[RunFolder, RunFolder], table: dict[str, Any]
) -> None:
    result = mmeval.compare(*runs, metric=f"{average}_f1")
    true, language = table["true"], np.array(table["language"])
    predicted = [noisy(true, share, seed) for share, seed in ((0.05, 1), (0.2, 2))]
    for each in result.languages:
        rows = language == each.language
        a, b = (f1_score(true[rows], of_run[rows], average=average) for of_run in predicted)
        assert each.difference == pytest.approx(a - b, abs=1e-6)
        assert each.low < each.difference < each.high


def test_other_metrics_are_refused(runs: tuple[RunFolder, RunFolder]) -> None:
    with pytest.raises(
        UserError, match='no metric "map" of item; --metric can be: subset_accuracy, micro_f1, macro_f1'
    ):
        mmeval.compare(*runs, metric="map")


def test_a_task_that_is_multi_label_in_one_run_is_refused(tmp_path: Path, runs: tuple[RunFolder, RunFolder]) -> None:
    table = examples()
    other = write_run(tmp_path / "other", table, {0: guesses(table["true"], 0.5, 1)})
    with pytest.raises(UserError, match="item is a multi-label task in only one of the runs"):
        mmeval.compare(runs[0], other)
