"""Charts: nothing outside of the frame, and the axis covers what it measures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmeval.report.chart import chart
from mmeval.report.content import Content

Make = Callable[..., Content]
NAN = float("nan")


@st.composite
def scores(draw: st.DrawFn) -> tuple[float, float, float]:
    low, value, high = sorted(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3)))
    return value, low, high


@given(st.dictionaries(st.sampled_from(["ar", "cs", "de", "et", "ja"]), scores(), min_size=1))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_stands_within_the_frame_and_the_ticks_cover_it(
    content: Make, top1: dict[str, tuple[float, float, float]]
) -> None:
    made = chart(content(top1, tasks=("t",), slices=("all",), metrics=("top1",)), "t")
    assert made is not None
    for row in made.rows:
        assert 0 <= row.low <= row.dot <= row.high <= 100
    assert 0 <= made.mean <= 100
    places, labels = zip(*made.ticks, strict=True)
    assert places[0] == 0
    assert places[-1] == pytest.approx(100)
    assert list(places) == sorted(set(places))
    assert 2 <= len(places) <= 9
    values = [float(label) for label in labels]
    lows, highs = ([number[i] for number in top1.values()] for i in (1, 2))
    assert values[0] <= min(lows) + 0.005
    assert values[-1] >= max(highs) - 0.005


def test_a_dot_stands_where_its_tick_is(content: Make) -> None:
    made = chart(content({"de": (0.5, 0.4, 0.6), "en": (0.6, 0.5, 0.7)}, tasks=("t",)), "t")
    assert made is not None
    at = {label: place for place, label in made.ticks}
    assert [row.language for row in made.rows] == ["en", "de"]
    for row, value, low in zip(made.rows, ("0.60", "0.50"), ("0.50", "0.40"), strict=True):
        assert row.dot == pytest.approx(at[value], abs=0.02)
        assert row.low == pytest.approx(at[low], abs=0.02)


def test_a_language_without_a_score_has_no_row(content: Make) -> None:
    made = chart(content({"de": (0.5, 0.4, 0.6), "en": (NAN, NAN, NAN)}, tasks=("t",)), "t")
    assert made is not None
    assert [row.language for row in made.rows] == ["de"]
    assert chart(content({"en": (NAN, NAN, NAN)}, tasks=("t",)), "t") is None
