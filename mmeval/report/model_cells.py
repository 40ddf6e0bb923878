"""Cells of tables of models: scores with the mark of the top group, size and cost; and plots of scores against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mmeval.comparison.standings import Standing
from mmeval.record import Efficiency
from mmeval.report import efficiency as text
from mmeval.report.content import UNRELIABLE, Estimate
from mmeval.report.efficiency import UNKNOWN
from mmeval.report.scatter import Point, Scatter, scatter

PARAMETERS, SECONDS = "parameters", "device seconds per seed"
COST_HEADINGS = (PARAMETERS, "trained", "FLOPs/example", "examples/s", SECONDS)
"""Headings of :func:`cost_cells`."""


class Cell(NamedTuple):
    """A cell of a table that can be sorted."""

    text: str
    value: float | None
    """The number to sort by; None if unknown."""


@dataclass(frozen=True)
class ScoreCell:
    """A score in a column of runs."""

    estimate: Estimate
    place: Standing | None
    """The place of the run in this column; None for a run that takes no part in the tests."""
    is_top: bool
    """Whether no run is significantly better, while some run is worse than another."""

    @classmethod
    def of(cls, estimate: Estimate, run: str, places: Mapping[str, Standing]) -> ScoreCell:
        """Return the cell of a run.

        Args:
            estimate: its score.
            run: its name in the comparison.
            places: the place of each run in this column.
        """
        place = places.get(run)
        # A mark on every run would say nothing.
        marked = any(not other.is_top for other in places.values())
        return cls(estimate, place, marked and place is not None and place.is_top)

    @property
    def brief(self) -> str:
        """The 95 % interval as ``.81–.87``, with a star if it can't be relied on."""
        if self.estimate.low != self.estimate.low:
            return self.estimate.interval
        ends = (f"{end:.2f}".replace("0.", ".", 1) for end in (self.estimate.low, self.estimate.high))
        return "–".join(ends) + ("" if self.estimate.reliable else UNRELIABLE)


def seconds_per_seed(measured: Efficiency | None, seeds: int) -> float | None:
    """Return the time for training and prediction of one training seed; None if unknown."""
    return measured.device_seconds / seeds if measured is not None else None


def cost_cells(measured: Efficiency | None, seeds: int) -> list[Cell]:
    """Return size, cost and speed of a model, in the order of ``COST_HEADINGS``; a dash for an unknown number."""
    seconds = seconds_per_seed(measured, seeds)
    if measured is None or seconds is None:
        return [Cell(UNKNOWN, None)] * len(COST_HEADINGS)
    rate = measured.predict_examples_per_second
    return [
        Cell(text.scaled(measured.parameters) or UNKNOWN, measured.parameters),
        Cell(text.scaled(measured.trained_parameters) or UNKNOWN, measured.trained_parameters),
        Cell(text.scaled(measured.flops_per_example) or UNKNOWN, measured.flops_per_example),
        Cell(text.rate(rate) or UNKNOWN, rate),
        Cell(f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}", seconds),
    ]


def plots(
    points: Sequence[tuple[Point, Efficiency | None, int]], *, lower_is_better: bool = False
) -> list[tuple[str, Scatter]]:
    """Return the plots of a score against parameters and device seconds, each with the title of its axis.

    Args:
        points: for each run its name and score, its efficiency, and its number of training seeds.
        lower_is_better: whether lower scores are better.
    """
    axes = {
        PARAMETERS: [replace(point, x=measured.parameters if measured else None) for point, measured, _ in points],
        SECONDS: [replace(point, x=seconds_per_seed(measured, seeds)) for point, measured, seeds in points],
    }
    layouts = {title: scatter(of_axis, lower_is_better=lower_is_better) for title, of_axis in axes.items()}
    return [(title, layout) for title, layout in layouts.items() if layout is not None]
