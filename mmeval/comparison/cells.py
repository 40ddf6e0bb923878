"""Rows grouped by language and cluster, the smallest units that the tests of a comparison move together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cells:
    """The ``C`` pairs of a language and a cluster that have rows, sorted by language."""

    of_row: NDArray[np.int64]
    """Cell of each row ``[n]``."""
    size: NDArray[np.float64]
    """Number of rows of each cell ``[C]``."""
    language: NDArray[np.int64]
    """Language of each cell ``[C]``, from 0."""
    cluster: NDArray[np.int64]
    """Cluster of each cell ``[C]``, from 0."""
    clusters: int
    """Number of clusters, over all languages."""
    rows: NDArray[np.float64]
    """Number of rows of each language ``[L]``."""
    bounds: NDArray[np.int64]
    """The cells of language ``l`` are ``bounds[l]`` to ``bounds[l + 1] - 1``: ``[L + 1]``."""

    @classmethod
    def of(cls, language: NDArray[np.integer], cluster: NDArray[np.integer], languages: int) -> Cells:
        """Group rows by language ``[n]`` and cluster ``[n]``; both are numbers from 0, clusters may have gaps.

        Raises:
            ValueError: a language has no rows.
        """
        names, compact = np.unique(cluster, return_inverse=True)
        clusters = max(len(names), 1)
        keys, of_row, size = np.unique(
            np.asarray(language, np.int64) * clusters + compact, return_inverse=True, return_counts=True
        )
        of_cell, rows = keys // clusters, np.bincount(language, minlength=languages).astype(np.float64)
        if not languages or (rows == 0).any():
            raise ValueError("every language must have rows")
        bounds = np.searchsorted(of_cell, np.arange(languages + 1))
        return cls(of_row, size.astype(np.float64), of_cell, keys % clusters, clusters, rows, bounds)

    def sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the sum of the values ``[S, n]`` of each cell: ``[S, C]``."""
        return np.stack([np.bincount(self.of_row, of_seed, minlength=len(self.size)) for of_seed in values])
