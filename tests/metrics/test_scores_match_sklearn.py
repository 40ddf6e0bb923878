"""Scores against scikit-learn on random data: absent classes, a single class, ties, small languages."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from mmeval import Task
from mmeval.metrics.outcomes import Codes, Outcomes, Predictions
from mmeval.metrics.per_example import per_example_values, rank_of_label, top_k
from mmeval.metrics.scores import RunColumns, score

RUN = RunColumns(run="r", model="m", dataset="d", split="test", inputs="image+text")


@st.composite
def labelled_predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str], int]:
    """Draw true labels, probabilities (with ties), languages and the number of classes."""
    n, classes = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    true = draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    levels = draw(hnp.arrays(np.int64, (n, classes), elements=st.integers(0, 4)))
    languages = draw(st.lists(st.sampled_from(["cs", "et", "sk"]), min_size=n, max_size=n))
    return true, (levels + 1).astype(np.float32), languages, classes


def predictions(true: np.ndarray, scores: np.ndarray, languages: list[str], classes: int) -> Predictions:
    probabilities = scores / scores.sum(1, keepdims=True)
    known, rows = np.where(true < 0, 0, true), np.arange(len(true))
    guess = probabilities.argmax(1)
    values = per_example_values(known, probabilities)
    outcomes = Outcomes(true, guess, values, classes, probabilities[rows, guess], probabilities[rows, known])
    ids = [str(i) for i in rows]
    task = Task("t", tuple(f"c{i}" for i in range(classes)))
    return Predictions(pa.array(ids), Codes.of(languages), Codes.of(ids), {}, (task,), {"t": outcomes})


def table(p: Predictions, resamples: int = 2) -> dict[tuple[str, str], dict]:
    rows = score(RUN, {0: p}, resamples=resamples).to_pylist()
    return {(r["language"], r["metric"]): r for r in rows if not r["class"]}


@given(labelled_predictions())
@settings(deadline=None, max_examples=60)
def test_every_metric_of_every_language_matches_sklearn(data: tuple[np.ndarray, np.ndarray, list[str], int]) -> None:
    true, probabilities, languages, classes = data
    rows = table(predictions(true, probabilities, languages, classes))
    guess = probabilities.argmax(1)
    per_language = {}
    for language in ["all", *set(languages)]:
        mask = np.ones(len(true), bool) if language == "all" else np.array(languages) == language
        t, g = true[mask], guess[mask]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = {
                "top1": accuracy_score(t, g),
                "macro_f1": f1_score(t, g, average="macro", zero_division=0),
                "weighted_f1": f1_score(t, g, average="weighted", zero_division=0),
            }
        for metric, value in expected.items():
            assert rows[language, metric]["value"] == pytest.approx(value), (language, metric)
            assert rows[language, metric]["n"] == mask.sum()
        per_language[language] = expected["top1"]
    per_language.pop("all")
    assert rows["macro", "top1"]["value"] == pytest.approx(np.mean(list(per_language.values())))
    if len(per_language) < 2:
        # A single language has no worst language and no gap.
        assert {"worst", "gap"}.isdisjoint(language for language, _ in rows)
        return
    worst = rows["worst", "top1"]
    assert worst["value"] == pytest.approx(min(per_language.values()))
    assert any(
        worst["value"] == rows[language, "top1"]["value"] and worst["n"] == rows[language, "top1"]["n"]
        for language in per_language
    )
    spread = max(per_language.values()) - min(per_language.values())
    assert rows["gap", "top1"]["value"] == pytest.approx(spread)


@given(st.integers(3, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_top_k_matches_sklearn_without_ties(classes: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, scores = rng.integers(classes, size=n), rng.permuted(np.tile(np.arange(classes), (n, 1)), axis=1)
    k = top_k(classes)
    expected = top_k_accuracy_score(true, scores, k=k, labels=np.arange(classes))
    assert per_example_values(true, scores.astype(np.float32))[f"top{k}"].mean() == pytest.approx(expected)


def test_k_of_top_k_is_smaller_than_the_number_of_classes() -> None:
    assert [top_k(classes) for classes in (1, 2, 3, 4, 5, 6, 191)] == [None, None, 2, 3, 3, 5, 5]


@given(labelled_predictions())
@settings(deadline=None)
def test_rank_agrees_with_argmax_on_ties(data: tuple[np.ndarray, np.ndarray, list[str], int]) -> None:
    """A model that gives all classes the same probability must not gain from ties."""
    true, probabilities, _, classes = data
    rank = rank_of_label(true, probabilities)
    assert ((rank == 0) == (probabilities.argmax(1) == true)).all()
    assert (rank < classes).all()
    order = np.argsort(-probabilities, axis=1, kind="stable")
    assert (order[np.arange(len(true)), rank] == true).all()


def test_a_language_without_labels_has_no_score_and_does_not_change_the_others() -> None:
    true = np.array([0, 1, -1])
    rows = table(predictions(true, np.eye(3, 2, dtype=np.float32) + 0.1, ["cs", "cs", "et"], 2), resamples=50)
    assert rows["et", "top1"]["n"] == 0
    assert np.isnan(rows["et", "top1"]["value"])
    assert np.isnan(rows["et", "macro_f1"]["low"])
    assert rows["macro", "top1"]["value"] == rows["cs", "top1"]["value"] == 1.0
    assert rows["all", "top1"]["n"] == 2


def test_scores_without_labelled_examples_are_nan() -> None:
    rows = table(predictions(np.full(2, -1), np.ones((2, 3), np.float32), ["cs", "et"], 3))
    assert all(np.isnan(row["value"]) and row["n"] == 0 for row in rows.values())
