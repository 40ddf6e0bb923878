"""Charts: every position is inside the frame, and the axis covers all intervals."""

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
def test_positions_are_inside_the_frame_and_ticks_cover_it(
    content: Make, top1: dict[str, tuple[float, float, float]]
) -> None:
    layout = chart(content(top1, tasks=("t",), slices=("all",), metrics=("top1",)), "t")
    assert layout is not None
    for row in layout.rows:
        assert 0 <= row.low <= row.dot <= row.high <= 100
    assert 0 <= layout.mean <= 100
    positions, labels = zip(*layout.ticks, strict=True)
    assert positions[0] == 0
    assert positions[-1] == pytest.approx(100)
    assert list(positions) == sorted(set(positions))
    assert 2 <= len(positions) <= 9
    values = [float(label) for label in labels]
    lows, highs = ([estimate[i] for estimate in top1.values()] for i in (1, 2))
    assert values[0] <= min(lows) + 0.005
    assert values[-1] >= max(highs) - 0.005


def test_dots_and_ticks_share_one_scale(content: Make) -> None:
    layout = chart(content({"de": (0.5, 0.4, 0.6), "en": (0.6, 0.5, 0.7)}, tasks=("t",)), "t")
    assert layout is not None
    at = {label: position for position, label in layout.ticks}
    assert [row.language for row in layout.rows] == ["en", "de"]
    for row, value, low in zip(layout.rows, ("0.60", "0.50"), ("0.50", "0.40"), strict=True):
        assert row.dot == pytest.approx(at[value], abs=0.02)
        assert row.low == pytest.approx(at[low], abs=0.02)


def test_languages_without_a_score_are_left_out(content: Make) -> None:
    layout = chart(content({"de": (0.5, 0.4, 0.6), "en": (NAN, NAN, NAN)}, tasks=("t",)), "t")
    assert layout is not None
    assert [row.language for row in layout.rows] == ["de"]
    assert chart(content({"en": (NAN, NAN, NAN)}, tasks=("t",)), "t") is None
