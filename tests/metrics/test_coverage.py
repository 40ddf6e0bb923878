"""Nominal 95 % intervals cover the truth in 93 to 97 % of simulated data sets; conservative ones in more."""

from __future__ import annotations

import pytest

from benchmarks import coverage
from benchmarks.coverage import ACCURACIES, EQUAL, SIZES, UNEQUAL, Row

# Each test draws hundreds of data sets with fixed seeds. Coverage may differ from the bounds by chance (0.1 %).
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("rows", SIZES)
def test_top1_of_a_language(rows: int, accuracy: float) -> None:
    check(coverage.top1(rows, accuracy, 1000))


@pytest.mark.parametrize(("number", "deviation"), [(3, 0.0), (3, 0.04), (5, 0.02)])
def test_mean_over_seeds(number: int, deviation: float) -> None:
    check(coverage.seeds(300, 0.7, number, deviation, 500))


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("rows", [300, 1000])
def test_macro_f1_on_its_class_list(rows: int, accuracy: float) -> None:
    check(coverage.f1(rows, accuracy, 150, resamples=300))


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_summaries_of_thirteen_equal_languages_of_one_size(accuracy: float) -> None:
    for row in coverage.languages(EQUAL, accuracy, 0.0, 200, "500 rows each"):
        check(row)


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_summaries_of_thirteen_languages_of_3_to_2000_rows(accuracy: float) -> None:
    for difference in (0.0, 0.02):
        for row in coverage.languages(UNEQUAL, accuracy, difference, 150, "3 to 2,000 rows"):
            check(row)


def test_summaries_of_three_languages() -> None:
    for row in coverage.languages((300,) * 3, 0.7, 0.0, 300, "300 rows each"):
        check(row)


def test_summaries_of_macro_f1() -> None:
    for row in coverage.f1_languages(2000, 5, 0.7, 80, resamples=200):
        check(row)


def check(row: Row) -> None:
    assert row.holds, f"{row.value}, {row.scenario}: {row.rate:.3f} of {row.repetitions}"
