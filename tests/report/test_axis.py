"""Axes of charts, and the layout of scatter plots."""

from __future__ import annotations

import math

import pytest

from mmeval.report.axis import linear, logarithmic
from mmeval.report.scatter import HEIGHT, LEFT, WIDTH, Point, scatter

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.71, 0.86), ["0.70", "0.75", "0.80", "0.85", "0.90"]),
        ((0.5, 0.5), ["0.498", "0.500", "0.502"]),
        ((0.0, 1.0, NAN), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_a_linear_axis_ends_at_round_numbers(values: tuple[float, ...], labels: list[str]) -> None:
    axis = linear(values)
    assert [label for _, label in axis.positions] == labels
    assert (axis.positions[0][0], axis.positions[-1][0]) == (0, 100)


def test_differences_have_their_sign_and_zero_has_none() -> None:
    assert [label for _, label in linear((-0.04, 0.04, 0.0), signed=True).positions] == [
        "-0.04",
        "-0.02",
        "0.00",
        "+0.02",
        "+0.04",
    ]


def test_a_value_beyond_the_axis_is_drawn_at_its_end() -> None:
    axis = linear((0.0, 1.0))
    assert (axis.at(-3), axis.at(0.5), axis.at(7)) == (0, 50, 100)


@pytest.mark.parametrize("values", [(12e6, 122e6), (1, 1e9), (100, 101), (0.3, 0.4), (5.0,), ()])
def test_a_logarithmic_axis_has_several_ticks_within(values: tuple[float, ...]) -> None:
    axis = logarithmic(values)
    assert 2 <= len(axis.ticks) <= 10
    assert all(0 <= position <= 100 for position, _ in axis.positions)
    assert all(0 < axis.at(value) < 100 for value in values)


def test_the_line_of_a_plot_leads_through_the_best_runs_by_size() -> None:
    points = [Point(name, x, y, y, y) for name, x, y in (("small", 1, 0.5), ("bad", 5, 0.4), ("large", 9, 0.7))]
    plot = scatter([*points, Point("unknown", None, 0.9, 0.9, 0.9)])
    assert plot is not None
    assert {each.point.name for each in plot.points if each.on_frontier} == {"small", "large"}
    assert plot.left_out == ["unknown"]
    lower = scatter(points, lower_is_better=True)
    assert lower is not None
    assert {each.point.name for each in lower.points if each.on_frontier} == {"small", "bad"}


def test_labels_do_not_overlap_and_lie_within_the_plot() -> None:
    points = [Point(f"model-{n}", 1e6 * (1 + n / 10), 0.5 + n / 1000, NAN, NAN) for n in range(30)]
    plot = scatter(points)
    assert plot is not None
    assert 0 < plot.unnamed < 30
    boxes = []
    for each in (each for each in plot.points if each.label):
        width = 6 * len(each.label)
        left = each.label_x - {"start": 0, "end": width, "middle": width / 2}[each.anchor]
        boxes.append((left, left + width, each.label_y - 10, each.label_y))
    for number, box in enumerate(boxes):
        assert box[0] >= LEFT
        assert box[1] <= WIDTH
        assert 0 <= box[2] <= box[3] <= HEIGHT
        for other in boxes[:number]:
            assert box[0] >= other[1] or other[0] >= box[1] or box[2] >= other[3] or other[2] >= box[3]


def test_a_single_known_size_makes_no_plot() -> None:
    assert scatter([Point("a", 1.0, 0.5, NAN, NAN), Point("b", None, 0.5, NAN, NAN)]) is None
    assert math.isnan(Point("a", 1.0, 0.5, NAN, NAN).low)
