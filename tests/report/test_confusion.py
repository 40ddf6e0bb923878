"""The confusion matrix: shares by hand, the choice of classes, and rows without a label."""

from __future__ import annotations

import numpy as np
import pytest

from mmeval.metrics.outcomes import Outcomes
from mmeval.report.confusion import confusion_matrix

CLASSES = ("a", "b", "c", "d")


def outcomes(true: list[int], predicted: list[int], classes: int = 4) -> Outcomes:
    return Outcomes(np.array(true, np.int32), np.array(predicted, np.int32), {}, classes)


def test_shares_are_those_of_each_true_class() -> None:
    matrix = confusion_matrix([outcomes([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 1, 3])], CLASSES, most=10)
    assert matrix.classes == CLASSES
    assert matrix.is_complete
    assert matrix.shares[0].tolist() == [0.75, 0.25, 0, 0, 0]
    assert matrix.shares[1].tolist() == [0, 1, 0, 0, 0]
    assert matrix.shares[2].tolist() == [0, 0, 0, 1, 0]
    assert matrix.shares[3].tolist() == [0, 0, 0, 0, 0]
    assert matrix.n.tolist() == [4, 1, 1, 0]
    assert matrix.mistakes == 1


def test_rows_without_a_label_do_not_count() -> None:
    matrix = confusion_matrix([outcomes([0, -1, -1], [0, 1, 2])], CLASSES, most=10)
    assert matrix.classes == ("a",)
    assert np.isnan(matrix.mistakes)


def test_several_seeds_are_averaged() -> None:
    matrix = confusion_matrix([outcomes([0, 1], [0, 1]), outcomes([0, 1], [1, 1])], CLASSES, most=10)
    assert matrix.shares.tolist() == [[0.5, 0.5, 0], [0, 1, 0]]
    assert matrix.n.tolist() == [1, 1]


def test_of_many_classes_those_with_the_most_frequent_confusions_are_shown() -> None:
    true, predicted = [0] * 5 + [2] * 3 + [1] * 9, [3] * 5 + [1, 1, 2] + [1] * 9
    matrix = confusion_matrix([outcomes(true, predicted)], CLASSES, most=2)
    assert matrix.classes == ("a", "d")
    assert matrix.total_classes == 4
    assert not matrix.is_complete
    assert matrix.mistakes == pytest.approx(5 / 7)


def test_predictions_of_other_classes_share_the_last_column() -> None:
    true, predicted = [0, 0, 0, 1, 2], [1, 1, 2, 1, 2]
    matrix = confusion_matrix([outcomes(true, predicted)], CLASSES, most=2)
    assert matrix.classes == ("a", "b")
    assert matrix.shares[0].tolist() == pytest.approx([0, 2 / 3, 1 / 3])


def test_191_classes_without_mistakes_fill_the_matrix_with_frequent_classes() -> None:
    true = [*range(191), 7, 7, 9]
    matrix = confusion_matrix([outcomes(true, true, 191)], [str(n) for n in range(191)], most=3)
    assert len(matrix.classes) == 3
    assert {"7", "9"} <= set(matrix.classes)
