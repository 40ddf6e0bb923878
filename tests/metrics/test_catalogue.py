"""Descriptions of the built-in metrics."""

from __future__ import annotations

import pytest

from mmeval.metrics.catalogue import CATALOGUE, describe, is_built_in, is_proportion, lower_is_better, title


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("top1", "top-1"),
        ("top3", "top-3"),
        ("accuracy_level_2", "accuracy at level 2"),
        ("conformal_size_own", "size of 90 % sets, own threshold"),
        ("mine", "mine"),
        ("ece_own", "ece_own"),
        ("top4", "top4"),
    ],
)
def test_titles_are_those_of_the_field(name: str, expected: str) -> None:
    assert title(name) == expected
    assert is_built_in(name) is (name not in ("mine", "ece_own", "top4"))


def test_every_metric_has_an_explanation_of_one_line_and_a_source() -> None:
    for name, metric in CATALOGUE.items():
        assert metric.name == name
        assert metric.explanation.endswith(".")
        assert "\n" not in metric.explanation
        assert metric.source


def test_metrics_that_need_validation_need_probabilities() -> None:
    assert all(metric.needs_probabilities for metric in CATALOGUE.values() if metric.needs_validation)


def test_direction_and_kind_are_known() -> None:
    assert [name for name in ("top1", "log_loss", "ece", "conformal_size_own") if lower_is_better(name)] == [
        "log_loss",
        "ece",
        "conformal_size_own",
    ]
    assert [name for name in ("top5", "brier", "accuracy_level_1", "mine") if is_proportion(name)] == [
        "top5",
        "accuracy_level_1",
    ]
    coverage = describe("conformal_coverage")
    assert coverage is not None
    assert coverage.higher_is_better is None
