"""Layout of scatter plots: a score against the size or cost of a model, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmeval.report.axis import Axis, linear, logarithmic

WIDTH, HEIGHT = 540, 360
LEFT, RIGHT, TOP, BOTTOM = 50, 16, 34, 44
CHARACTER, LINE = 7.7, 15
"""Width and height that a label needs per character and line, in the units of the plot."""
LONGEST_LABEL = 28


@dataclass(frozen=True)
class Point:
    """A run in a scatter plot."""

    name: str
    x: float | None
    """Size or cost; None or 0 if unknown, then the run is left out."""
    y: float
    low: float
    high: float
    """The 95 % interval of ``y``; NaN if there is none."""


@dataclass(frozen=True)
class PlacedPoint:
    """A point in the units of the plot, with its label."""

    point: Point
    x: float
    y: float
    low: float
    high: float
    label: str
    """The name, shortened if it is long; empty where it has no room."""
    label_x: float
    label_y: float
    anchor: str
    """``start``, ``end`` or ``middle``."""
    on_frontier: bool
    """Whether no run of this size or smaller has a better score."""


@dataclass(frozen=True)
class Scatter:
    """The layout of a scatter plot."""

    points: list[PlacedPoint]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    frontier: str
    """Points of the polyline through the best scores by size."""
    left_out: list[str]
    """Names of the runs whose size or cost is not known."""
    unnamed: int
    """Number of points whose label has no room."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def scatter(points: Sequence[Point], *, lower_is_better: bool = False) -> Scatter | None:
    """Return the layout of a plot, or None if fewer than two runs have a known size or cost.

    Args:
        points: the runs.
        lower_is_better: whether lower scores are better, for the line of the best runs by size.
    """
    known = [point for point in points if point.x and point.y == point.y]
    if len(known) < 2:
        return None
    x_axis = logarithmic(point.x or 0.0 for point in known)
    y_axis = linear(value for point in known for value in (point.y, point.low, point.high))
    best = _frontier(known, lower_is_better=lower_is_better)
    known.sort(key=lambda point: (point not in best, point.x or 0.0, point.name))
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in ((_x(x_axis, p.x or 0.0), _y(y_axis, p.y)) for p in known)]
    placed = []
    for point in known:
        x, y = _x(x_axis, point.x or 0.0), _y(y_axis, point.y)
        low, high = (_y(y_axis, end if end == end else point.y) for end in (point.low, point.high))
        label, label_x, label_y, anchor = _label(point.name, x, y, taken)
        placed.append(PlacedPoint(point, x, y, low, high, label, label_x, label_y, anchor, point in best))
    line = [(_x(x_axis, p.x or 0.0), _y(y_axis, p.y)) for p in best]
    return Scatter(
        points=placed,
        x_ticks=[(_x(x_axis, value), label) for value, label in x_axis.ticks],
        y_ticks=[(_y(y_axis, value), label) for value, label in y_axis.ticks],
        frontier=" ".join(f"{x:g},{y:g}" for x, y in line),
        left_out=[point.name for point in points if point not in known],
        unnamed=sum(not point.label for point in placed),
    )


def _x(axis: Axis, value: float) -> float:
    return round(LEFT + axis.at(value) / 100 * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.at(value) / 100 * (HEIGHT - TOP - BOTTOM), 1)


def _frontier(points: Sequence[Point], *, lower_is_better: bool) -> list[Point]:
    """Return the points that no point of the same or a smaller ``x`` surpasses, by increasing ``x``."""
    sign = -1 if lower_is_better else 1
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x or 0.0, -sign * p.y)):
        if not best or sign * point.y > sign * best[-1].y:
            best.append(point)
    return best


def _label(
    name: str, x: float, y: float, taken: list[tuple[float, float, float, float]]
) -> tuple[str, float, float, str]:
    """Return a label beside a point that overlaps nothing, and reserve its room; an empty one if there is no room."""
    text = name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"
    width = CHARACTER * len(text)
    for dx, dy, anchor in (
        (10, 4, "start"),
        (-10, 4, "end"),
        (10, -9, "start"),
        (10, 17, "start"),
        (-10, -9, "end"),
        (-10, 17, "end"),
        (0, -12, "middle"),
        (0, 22, "middle"),
    ):
        left = x + dx - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
        box = (left, y + dy - LINE + 4, left + width, y + dy + 4)
        inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= TOP - 12 and box[3] <= HEIGHT - BOTTOM
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return text, round(x + dx, 1), round(y + dy, 1), anchor
    return "", x, y, "start"


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
