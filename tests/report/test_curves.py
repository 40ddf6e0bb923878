"""Curves stay inside their plot, and their tables have the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval.metrics.row import Interval
from mmeval.report.analysis import Bin, Reliability, RiskCoverage, Value
from mmeval.report.curves import BOTTOM, LEFT, RIGHT, TOP, Axis, reliability_plot, risk_plot

NUMBERS = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.lists(NUMBERS, min_size=1, max_size=5))
@settings(deadline=None)
def test_an_axis_covers_its_values_with_different_round_ticks(values: list[float]) -> None:
    axis = Axis.of(values, 0, 300)
    for value in values:
        assert -0.2 <= axis.at(value) <= 300.2
    labels = [label for _, label in axis.ticks]
    assert 2 <= len(labels) <= 9
    assert len(set(labels)) == len(labels)


def test_a_reliability_plot_has_points_with_intervals_and_the_diagonal() -> None:
    value = Value(0.75, Interval(0.5, 1.0, "wilson", True))
    plot = reliability_plot([Reliability("as predicted", (Bin(0.6, 0.8, 20, 0.7, value),), 0.05)], multilabel=False)
    (point,) = plot.curves[0].points
    assert (point.x, point.y) == (pytest.approx(LEFT + 0.7 * (RIGHT - LEFT), abs=0.1), 0.25 * (BOTTOM - TOP) + TOP)
    assert (point.low, point.high) == ((BOTTOM + TOP) / 2, TOP)
    assert plot.rows == (("as predicted", "0.60–0.80", "20", "0.700", "0.750", "0.500–1.000"),)
    assert "As predicted: calibration error 0.050." in plot.description
    assert plot.diagonal


def test_a_risk_coverage_plot_tells_the_mistakes_that_remain() -> None:
    coverage = np.linspace(0.01, 1, 100)
    plot = risk_plot(RiskCoverage(coverage, coverage / 4, 1 - coverage / 2, 0.125))
    assert plot.rows[0] == ("10 %", "0.950", "2.5 %")
    assert plot.rows[-1] == ("100 %", "0.500", "25.0 %")
    assert all(TOP <= point.y <= BOTTOM for point in plot.curves[0].points)
    perfect = risk_plot(RiskCoverage(coverage, coverage * 0, coverage, 0.0))
    assert {point.y for point in perfect.curves[0].points} == {BOTTOM}
