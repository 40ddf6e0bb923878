"""Corrections of a family of p-values for the number of tests."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Correction = Literal["holm", "bh"]


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-values of Holm (1979), which bound the chance of any false positive in the family."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-values of Benjamini and Hochberg (1995), which bound the expected share of false ones."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    factors = len(values) / np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(factors * values[order]), 1)
    return adjusted


def adjust(p: ArrayLike, correction: Correction) -> NDArray[np.float64]:
    """Return the p-values adjusted for their number by ``holm`` or ``bh``."""
    return holm(p) if correction == "holm" else benjamini_hochberg(p)
