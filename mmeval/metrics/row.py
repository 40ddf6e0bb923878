"""The row of a Scores table, and the reserved names of its columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

ALL = "all"
"""In the columns ``language`` and ``slice``: all rows pooled."""
MACRO, WEIGHTED, WORST, GAP = "macro", "weighted", "worst", "gap"
"""In the column ``language``: mean and precision-weighted mean over languages, worst language, best minus worst."""
SUMMARIES = (MACRO, WEIGHTED, WORST, GAP)
MEAN = "mean"
"""In the column ``seed``: the mean over training seeds."""
RESERVED_LANGUAGES = frozenset({ALL, *SUMMARIES})
"""Names that no language of a data set may have, because rows of Scores have them."""

NO_INTERVAL = "none"
"""In the column ``method``: the value has no interval."""


class Interval(NamedTuple):
    """A 95 % interval, the method that made it, and whether its coverage can be relied on."""

    low: float = math.nan
    high: float = math.nan
    method: str = NO_INTERVAL
    """Name of the method, explained in ``docs/evaluation.md``: ``wilson``, ``clustered-t``, ``basic-bootstrap``, ..."""
    reliable: bool = False
    """False where too few examples or clusters stand behind the interval for it to hold, or where there is none."""


NO = Interval()


@dataclass(frozen=True)
class ScoreRow:
    """A value of one metric for one task, slice and language, with its interval."""

    metric: str
    value: float
    n: int
    """Number of examples."""
    language: str = ALL
    """A language, ``all``, or a summary over languages: ``macro``, ``weighted``, ``worst``, ``gap``."""
    slice: str = ALL
    """``all``, or a value of a slice column: ``source=admin``."""
    klass: str = ""
    """The class of a per-class metric, the column ``class``; empty for all others."""
    interval: Interval = NO
    p: float = math.nan
    """For ``worst`` and ``gap``: p of the test that all languages have the same score. NaN in all other rows."""
