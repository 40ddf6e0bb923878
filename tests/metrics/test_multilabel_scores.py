"""Scores of multi-label tasks: scikit-learn's values per language, and intervals that contain them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from mmeval import Task
from mmeval.metrics.intervals import METHODS
from mmeval.metrics.moments import Layout
from mmeval.metrics.multilabel import mean_average_precision, mean_average_precision_influence
from mmeval.metrics.multilabel_outcomes import MultilabelOutcomes
from mmeval.metrics.multilabel_scores import METRICS, _logit_intervals, rows
from mmeval.metrics.outcomes import Codes, Predictions
from mmeval.metrics.row import ALL, GAP, MACRO, MEAN, WEIGHTED, WORST, ScoreRow
from mmeval.metrics.scores import RunColumns, score

TASK = Task("tags", ("red", "big", "wood", "new"), multilabel=True)
LANGUAGES = ("de", "et", "sl")


def predictions(seed: int, n: int = 360, skill: float = 0.4) -> Predictions:
    """Predictions with three languages per cluster; other seeds have the same labels and other scores."""
    labels = (np.random.default_rng(0).random((n, 4)) < [0.2, 0.4, 0.5, 0.3]).astype(np.int8)
    labels[7] = -1
    noise = np.random.default_rng([1, seed]).random((n, 4))
    scores = np.clip((labels > 0) * skill + noise * (1 - skill), 0, 1).astype(np.float32)
    return Predictions(
        ids=pa.array([str(row) for row in range(n)]),
        languages=Codes.of([LANGUAGES[row % 3] for row in range(n)]),
        clusters=Codes.of([f"c{row // 3}" for row in range(n)]),
        slices={"half": Codes.of(["first" if row < n // 2 else "second" for row in range(n)])},
        tasks=(),
        outcomes={},
        multilabel={"tags": MultilabelOutcomes(TASK, labels, scores)},
        order=("tags",),
    )


def scored(given: Mapping[str, Predictions], resamples: int = 300) -> dict[tuple[str, str, str, str, str], ScoreRow]:
    """The rows by seed, slice, language, metric and class."""
    return {(seed, r.slice, r.language, r.metric, r.klass): r for seed, r in rows(given, "tags", resamples)}


def test_values_per_language_and_slice_equal_scikit_learn() -> None:
    one = predictions(0)
    table = scored({"0": one}, 10)
    outcomes = one.multilabel["tags"]
    languages, halves = np.array(one.languages.values()), np.array(one.slices["half"].values())
    for slice_ in (ALL, "half=first", "half=second"):
        for language in (*LANGUAGES, ALL):
            here = outcomes.known & ((languages == language) | (language == ALL))
            here &= (slice_ == ALL) | (halves == slice_.removeprefix("half="))
            true, values = outcomes.true[here] > 0, outcomes.scores[here]
            expected = {
                "map": average_precision_score(true, values, average="macro"),
                "micro_f1": f1_score(true, values >= 0.5, average="micro"),
                "macro_f1": f1_score(true, values >= 0.5, average="macro"),
                "subset_accuracy": accuracy_score(true, values >= 0.5),
            }
            for metric, value in expected.items():
                row = table["0", slice_, language, metric, ""]
                assert row.value == pytest.approx(value, abs=1e-9)
                assert row.n == here.sum()


def test_summaries_are_mean_worst_and_gap_of_the_languages() -> None:
    table = scored({"0": predictions(0)})
    for metric in METRICS:
        values = [table["0", ALL, language, metric, ""].value for language in LANGUAGES]
        summary = {key: table["0", ALL, key, metric, ""] for key in (MACRO, WEIGHTED, WORST, GAP)}
        assert summary[MACRO].value == pytest.approx(np.mean(values), abs=1e-12)
        assert summary[WORST].value == pytest.approx(min(values), abs=1e-12)
        assert summary[GAP].value == pytest.approx(max(values) - min(values), abs=1e-12)
        assert min(values) <= summary[WEIGHTED].value <= max(values)
        assert 0 < summary[GAP].p <= 1


@pytest.mark.parametrize("skill", [0.0, 0.4, 1.0])
def test_intervals_contain_their_value_and_have_a_width(skill: float) -> None:
    """Perfect predictions, too: then no example has an influence on the score."""
    given = {"0": predictions(0, skill=skill), "1": predictions(1, skill=skill)}
    for (_, _, _, metric, klass), row in scored(given).items():
        if klass:
            continue
        interval = row.interval
        assert interval.method in METHODS
        assert interval.low < interval.high, row
        assert interval.low - 1e-12 <= row.value <= interval.high + 1e-12, row
        assert interval.low >= -1e-12, (metric, row)
        assert interval.high <= 1 + 1e-12, (metric, row)


def test_the_mean_over_seeds_has_the_uncertainty_of_both_seeds() -> None:
    given = {"0": predictions(0), "1": predictions(1)}
    table = scored(given)
    for metric in METRICS:
        of_seeds = [table[seed, ALL, "et", metric, ""] for seed in given]
        mean = table[MEAN, ALL, "et", metric, ""]
        assert mean.value == pytest.approx(np.mean([row.value for row in of_seeds]), abs=1e-12)
        assert mean.interval.method.endswith("-seeds")
    assert scored({"0": predictions(0)}).keys() == {key for key in table if key[0] == "0"}


def test_scores_do_not_depend_on_row_order_and_cluster_names() -> None:
    one = predictions(0)
    order = np.random.default_rng(3).permutation(len(one))
    renamed = Codes.of([f"x{name}" for name in one.clusters.take(order).values()])
    moved = replace(
        one,
        languages=one.languages.take(order),
        clusters=renamed,
        slices={"half": one.slices["half"].take(order)},
        multilabel={"tags": one.multilabel["tags"].take(order)},
    )
    before, after = scored({"0": one}, 20), scored({"0": moved}, 20)
    for key, row in before.items():
        assert after[key].value == pytest.approx(row.value, abs=1e-12)
        if key[3] in ("map", "subset_accuracy") and key[2] in LANGUAGES:
            assert after[key].interval[:2] == pytest.approx(row.interval[:2], abs=1e-9)


def test_a_rare_class_makes_map_and_macro_f1_unreliable() -> None:
    one = predictions(0)
    outcomes = one.multilabel["tags"]
    true = outcomes.true.copy()
    true[10:, 0] = np.minimum(true[10:, 0], 0)
    rare = replace(one, multilabel={"tags": MultilabelOutcomes(TASK, true, outcomes.scores)})
    before, after = scored({"0": one}), scored({"0": rare})
    for metric, expected in (("map", False), ("macro_f1", False), ("micro_f1", True), ("subset_accuracy", True)):
        assert before["0", ALL, "et", metric, ""].interval.reliable
        assert after["0", ALL, "et", metric, ""].interval.reliable is expected


def test_classes_have_precision_recall_f1_and_average_precision() -> None:
    table = scored({"0": predictions(0)}, 10)
    for name in TASK.classes:
        of_class = {metric for _, _, language, metric, klass in table if klass == name and language == ALL}
        assert of_class == {"precision", "recall", "f1", "average_precision"}


def test_without_labels_no_score_is_defined() -> None:
    one = predictions(0)
    true = np.full_like(one.multilabel["tags"].true, -1)
    empty = replace(one, multilabel={"tags": replace(one.multilabel["tags"], true=true)})
    table = scored({"0": empty, "1": empty})
    assert {key[0] for key in table} == {"0", "1", MEAN}
    assert {key[3] for key in table} == set(METRICS)
    assert all(np.isnan(row.value) and row.n == 0 for row in table.values())


def test_scores_have_the_tasks_in_the_order_of_the_data_set() -> None:
    run = RunColumns("run", "model", "data", "test", "text")
    table = score(run, {0: predictions(0)}, resamples=10)
    assert set(table["task"].to_pylist()) == {"tags"}
    assert set(METRICS) <= set(table["metric"].to_pylist())


def simulated(clusters: int, rng: np.random.Generator, of_cluster: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three classes, and scores that examples of a cluster partly share."""
    n = clusters * of_cluster
    truth = rng.random((n, 3)) < [0.1, 0.2, 0.4]
    shared = np.repeat(rng.normal(size=(clusters, 3)), of_cluster, 0)
    return truth, (2.5 * truth + 0.7 * shared + rng.normal(size=(n, 3))).astype(np.float32)


@pytest.mark.parametrize("clusters", [60, 200])
def test_the_interval_of_map_covers_the_truth_in_about_95_percent(clusters: int) -> None:
    rng = np.random.default_rng(0)
    expected = mean_average_precision(*simulated(60_000, rng, 1))
    covered = 0
    for _ in range(300):
        truth, scores = simulated(clusters, rng)
        value, influence = mean_average_precision_influence(truth, scores, corrected=True)
        layout = Layout(np.zeros(len(truth), np.int64), np.repeat(np.arange(clusters), 3), 1)
        (interval,) = _logit_intervals((value + len(truth) * influence)[None], layout)
        covered += interval.low <= expected <= interval.high
    assert 0.91 <= covered / 300 <= 0.99
