"""Layout of the curves of a report: reliability, risk and coverage, learning. Coordinates are those of the drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmeval.record import Record, SeedFacts
from mmeval.report.analysis import Reliability, RiskCoverage

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 350, 12, 208
"""Edges of the area of a plot within its drawing."""
TABLE_COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Shares of the rows in the table below a risk-coverage curve."""
STYLES = ("solid", "dashed", "dotted")
"""Lines differ in their dashes and in the shape of their points, not only in colour."""


@dataclass(frozen=True)
class Point:
    """A point of a curve, with the ends of its interval where it has one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    marked: bool = False
    """Whether the point is drawn larger: the selected epoch."""


@dataclass(frozen=True)
class Curve:
    """A line with its points."""

    title: str
    style: str
    points: tuple[Point, ...]
    has_marks: bool = True
    """Whether each point is drawn, not only the line."""

    @property
    def path(self) -> str:
        """The points as the attribute of a polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


@dataclass(frozen=True)
class Plot:
    """A plot with its axes, curves, description, and the table that says the same."""

    title: str
    description: str
    x_title: str
    y_title: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    curves: tuple[Curve, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    diagonal: bool = False
    """Whether the line of perfect calibration is drawn."""

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, RIGHT, TOP, BOTTOM


@dataclass(frozen=True)
class Axis:
    """The scale of an axis: values from ``low`` to ``high`` on a line from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    step: float
    digits: int

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float, *, zero: bool = False) -> Axis:
        """Return an axis with four to eight round steps that covers all values."""
        lowest, highest = min(values), max(values)
        lowest = min(lowest, 0.0) if zero else lowest
        extent = highest - lowest or max(abs(highest), 1.0) * 0.1
        power = math.floor(math.log10(extent))
        step = next(s * 10.0**power for s in (0.2, 0.25, 0.5, 1, 2) if extent / (s * 10.0**power) <= 6)
        low, high = math.floor(lowest / step + 1e-9) * step, math.ceil(highest / step - 1e-9) * step
        if high - low < step / 2:
            high = low + step
        return cls(
            low, high, start, end, step, max(0, -math.floor(math.log10(step) + 1e-9) + (step * 10**-power == 0.25))
        )

    def at(self, value: float) -> float:
        """Return the coordinate of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Coordinate and label of each tick."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + index * self.step for index in range(count + 1)]
        return tuple((self.at(value), f"{value:.{self.digits}f}") for value in values)


SHARE_X = Axis(0, 1, LEFT, RIGHT, 0.2, 1)
SHARE_Y = Axis(0, 1, BOTTOM, TOP, 0.2, 1)


def reliability_plot(curves: Sequence[Reliability], *, multilabel: bool) -> Plot:
    """Return the plot of accuracy by confidence; the table has every bin with its interval."""
    drawn, rows = [], []
    for number, curve in enumerate(curves):
        points = []
        for each in curve.bins:
            interval = each.accuracy.interval
            known = interval.low == interval.low
            points.append(
                Point(
                    SHARE_X.at(each.confidence),
                    SHARE_Y.at(each.accuracy.value),
                    SHARE_Y.at(interval.low) if known else None,
                    SHARE_Y.at(interval.high) if known else None,
                )
            )
            shown = f"{interval.low:.3f}–{interval.high:.3f}{'' if interval.reliable else '*'}" if known else "–"
            cells = (f"{each.low:.2f}–{each.high:.2f}", f"{each.n:,.0f}", f"{each.confidence:.3f}")
            rows.append((curve.title, *cells, f"{each.accuracy.value:.3f}", shown))
        drawn.append(Curve(curve.title, STYLES[number % len(STYLES)], tuple(points)))
    what = "frequency of the class" if multilabel else "accuracy"
    errors = "; ".join(f"{curve.title}: calibration error {curve.error:.3f}" for curve in curves)
    meaning = f"The {what} by confidence, in 15 bins of equal width; confidence is right on the diagonal."
    return Plot(
        title="Reliability",
        description=f"{meaning} {errors[0].upper()}{errors[1:]}.",
        x_title="confidence",
        y_title=what,
        x_ticks=SHARE_X.ticks,
        y_ticks=SHARE_Y.ticks,
        curves=tuple(drawn),
        head=("curve", "confidence", "rows", "mean confidence", what, "95 % interval"),
        rows=tuple(rows),
        diagonal=True,
    )


def risk_plot(risk: RiskCoverage) -> Plot:
    """Return the risk-coverage curve; its table says how many mistakes remain if some rows are left undecided."""
    axis = Axis.of([0.0, *risk.risk.tolist()], BOTTOM, TOP, zero=True)
    points = tuple(
        Point(SHARE_X.at(coverage), axis.at(share))
        for coverage, share in zip(risk.coverage.tolist(), risk.risk.tolist(), strict=True)
    )
    rows = []
    for wanted in TABLE_COVERAGES:
        at = int(abs(risk.coverage - wanted).argmin())
        cells = (f"{100 * risk.coverage[at]:.0f} %", f"{risk.threshold[at]:.3f}", f"{100 * risk.risk[at]:.1f} %")
        if cells not in rows:
            rows.append(cells)
    return Plot(
        title="Risk and coverage",
        description=(
            "The share of mistakes if only the most confident rows are decided, by the share of rows that are decided. "
            f"The area under the curve is {risk.area:.3f}; 0 is best."
        ),
        x_title="share of rows decided (coverage)",
        y_title="share of mistakes (risk)",
        x_ticks=SHARE_X.ticks,
        y_ticks=axis.ticks,
        curves=(Curve("share of mistakes", "solid", points, has_marks=False),),
        head=("rows decided", "lowest confidence", "mistakes among them"),
        rows=tuple(rows),
    )


def learning_plots(record: Record) -> list[Plot]:
    """Return the plots of training loss and validation score by epoch, a line per training seed; empty without them."""
    facts = {seed: SeedFacts.model_validate(each) for seed, each in record.seeds.items()}
    metric = "validation mAP" if any("validation_map" in each for each in record.seeds.values()) else "validation top-1"
    plots = []
    for field, title in (("loss", "training loss"), ("validation", metric)):
        series: dict[str, list[tuple[int, float]]] = {}
        for seed, each in facts.items():
            values = [(epoch.epoch, getattr(epoch, field)) for epoch in each.history]
            series[seed] = [(epoch, value) for epoch, value in values if value is not None and math.isfinite(value)]
        series = {seed: values for seed, values in series.items() if values}
        if not series:
            continue
        last = max(epoch for values in series.values() for epoch, _ in values)
        step = max(1, math.ceil(last / 8))
        x = Axis(1, max(last, 2), LEFT + 6, RIGHT - 6, step, 0)
        y = Axis.of([value for values in series.values() for _, value in values], BOTTOM, TOP)
        curves = []
        for number, (seed, values) in enumerate(series.items()):
            best = facts[seed].best_epoch
            points = tuple(Point(x.at(epoch), y.at(value), marked=epoch == best) for epoch, value in values)
            curves.append(Curve(f"seed {seed}", STYLES[number % len(STYLES)], points, has_marks=len(points) <= 60))
        epochs = sorted({epoch for values in series.values() for epoch, _ in values})
        by_epoch = {seed: dict(values) for seed, values in series.items()}
        rows = tuple(
            (
                f"{epoch}",
                *(
                    f"{by_epoch[seed][epoch]:.4f}{' (selected)' if epoch == facts[seed].best_epoch else ''}"
                    if epoch in by_epoch[seed]
                    else "–"
                    for seed in series
                ),
            )
            for epoch in epochs
        )
        ticks = tuple((x.at(epoch), f"{epoch}") for epoch in range(1, last + 1, step))
        plots.append(
            Plot(
                title=title[0].upper() + title[1:],
                description=f"The {title} after each epoch, a line per training seed; a ring marks the selected epoch.",
                x_title="epoch",
                y_title=title,
                x_ticks=ticks,
                y_ticks=y.ticks,
                curves=tuple(curves),
                head=("epoch", *(f"seed {seed}" for seed in series)),
                rows=rows,
            )
        )
    return plots
