"""Metrics of counts per class against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from mmeval import Task
from mmeval.metrics.counts import Counts, balanced_accuracy, counts_by_group, macro_f1, per_class_rows, weighted_f1

TASK = Task("kind", ("boots", "shoes", "hats", "bags"))
Pairs = list[tuple[int, int]]
labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


def counts(pairs: Pairs, languages: list[int] | None = None) -> Counts:
    true, predicted = np.array(pairs).T
    group = np.zeros(len(pairs), np.int64) if languages is None else np.array(languages)
    return counts_by_group(true, predicted, group, int(group.max()) + 1, 4)


@given(labels)
@settings(deadline=None, max_examples=100)
def test_metrics_over_classes_equal_scikit_learn(pairs: Pairs) -> None:
    true, predicted = np.array(pairs).T
    of_pairs = counts(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are only predicted
        assert balanced_accuracy(of_pairs)[-1] == pytest.approx(balanced_accuracy_score(true, predicted))
    assert macro_f1(of_pairs)[-1] == pytest.approx(f1_score(true, predicted, average="macro"))
    assert weighted_f1(of_pairs)[-1] == pytest.approx(f1_score(true, predicted, average="weighted"))


@given(labels)
@settings(deadline=None, max_examples=100)
def test_precision_recall_and_f1_of_each_class_equal_scikit_learn(pairs: Pairs) -> None:
    true, predicted = np.array(pairs).T
    expected = precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=np.nan)
    rows = {
        (row.metric, row.klass): row for row in per_class_rows(TASK, counts(pairs), ["cs"]) if row.language == "all"
    }
    for class_, name in enumerate(TASK.classes):
        if class_ not in true and class_ not in predicted:
            assert ("f1", name) not in rows
            continue
        for metric, values in zip(("precision", "recall", "f1"), expected, strict=False):
            assert rows[metric, name].value == pytest.approx(values[class_], nan_ok=True)
        assert rows["recall", name].n == expected[3][class_]


def test_a_language_has_rows_of_the_classes_with_examples_in_it() -> None:
    rows = per_class_rows(TASK, counts([(0, 0), (1, 0), (0, 2)], [0, 0, 1]), ["cs", "et"])
    classes = {language: {row.klass for row in rows if row.language == language} for language in ("cs", "et", "all")}
    assert classes == {"cs": {"boots", "shoes"}, "et": {"boots"}, "all": {"boots", "shoes", "hats"}}


def test_macro_f1_over_a_class_list_leaves_out_the_other_classes() -> None:
    pairs = [(0, 0), (0, 0), (1, 1), (1, 0), (2, 3)]
    mask = np.array([True, True, False, False])
    expected = f1_score(*np.array(pairs).T, labels=[0, 1], average="macro")
    assert macro_f1(counts(pairs), classes=mask)[-1] == pytest.approx(expected)
    resampled = Counts(*(part[:, :, None] for part in counts(pairs)))
    assert macro_f1(resampled, 1, mask)[-1, 0] == pytest.approx(expected)


def test_a_group_without_examples_has_no_score() -> None:
    nothing = Counts(*(np.zeros((1, 4)) for _ in range(3)))
    assert np.isnan([balanced_accuracy(nothing)[0], macro_f1(nothing)[0], weighted_f1(nothing)[0]]).all()
