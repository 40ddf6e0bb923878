"""Means per language, and their covariance over clusters and training seeds."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DENSE = 100_000
"""Largest number of products of pairs of languages in a cluster for which all are computed: to prepare sparse matrices
takes longer."""


class Layout:
    """The languages and clusters of ``n`` rows, counted once and shared by all metrics, tasks and training seeds.

    A *cell* is the set of rows that have the same cluster and the same language; cells are sorted by cluster, then by
    language. All arrays of a metric are reduced to sums of cells, so that the cost of everything after is that of the
    number of cells and of the square of the number of languages.
    """

    def __init__(self, languages: ArrayLike, clusters: ArrayLike, count: int) -> None:
        """Count rows and clusters.

        Args:
            languages: index of the language of each row ``[n]``, from 0 to ``count - 1``.
            clusters: index of the cluster of each row ``[n]``, any integers of at least 0.
            count: number of languages, with or without rows.
        """
        # Integers are not copied, whatever their size; an empty list becomes an array of floats.
        language, cluster = (
            array if array.dtype.kind in "iu" else array.astype(np.int64)
            for array in (np.asarray(languages), np.asarray(clusters))
        )
        if language.shape != cluster.shape or language.ndim != 1:
            raise ValueError(f"languages {language.shape} and clusters {cluster.shape} must have the same shape [n]")
        self.count = count
        self.language: NDArray[np.int32] = language.astype(np.int32, copy=False)
        self.rows: Ints = np.bincount(language, minlength=count)
        """Number of rows of each language, ``[count]``."""
        # 32 bits are enough for every index, and halve the memory of millions of rows.
        cells, cell, sizes = np.unique(
            cluster.astype(np.int64) * count + language, return_inverse=True, return_counts=True
        )
        self.cell: NDArray[np.int32] = cell.astype(np.int32)
        """Index of the cell of each row, ``[n]``."""
        del cell
        self.cell_size: NDArray[np.int32] = sizes.astype(np.int32)
        self.cell_language: NDArray[np.int32] = (cells % count).astype(np.int32)
        changes = np.r_[True, np.diff(cells // count) != 0] if len(cells) else np.zeros(0, bool)
        self.cell_cluster: NDArray[np.int32] = (np.cumsum(changes) - 1).astype(np.int32)
        """Index of the cluster of each cell, from 0 without gaps."""
        self.total_clusters = int(changes.sum())
        """Number of clusters of all languages together; a cluster of several languages counts once."""
        self.clusters: Ints = np.bincount(self.cell_language, minlength=count)
        """Number of clusters of each language, ``[count]``."""
        squares = np.bincount(self.cell_language, self.cell_size.astype(np.float64) ** 2, minlength=count)
        self.kish: Floats = np.divide(
            self.rows.astype(np.float64) ** 2, squares, out=np.zeros(count), where=squares > 0
        )
        """Kish's effective number of rows: as if the rows of a cluster were copies of one row, ``[count]``."""

    @cached_property
    def units(self) -> Units:
        """Exchangeable units of the test that all languages have the same score."""
        return Units(self)

    def cell_sums(self, values: Floats) -> Floats:
        """Return the sum of ``values`` ``[n]`` in each cell."""
        return np.asarray(np.bincount(self.cell, values, minlength=len(self.cell_size)), np.float64)

    def language_sums(self, cells: Floats) -> Floats:
        """Return the sum of the cells ``[cells]`` of each language, ``[count]``."""
        return np.asarray(np.bincount(self.cell_language, cells, minlength=self.count), np.float64)

    def cross_products(self, cells: Floats) -> Floats:
        """Return ``sum_g u_gl u_gk`` over clusters for all pairs of languages ``[count, count]``, u: ``[cells]``."""
        if self.count == 1 or not len(cells):
            return np.full((self.count, self.count), cells @ cells)
        if self.total_clusters * self.count**2 <= DENSE:
            dense = np.zeros((self.total_clusters, self.count))
            dense[self.cell_cluster, self.cell_language] = cells
            # Summed in the order of the sparse product; that of a BLAS would differ in the last digit.
            return np.asarray((dense[:, :, None] * dense[:, None, :]).sum(0), np.float64)
        from scipy.sparse import csr_array

        starts = np.searchsorted(self.cell_cluster, np.arange(self.total_clusters + 1))
        matrix = csr_array((cells, self.cell_language, starts), shape=(self.total_clusters, self.count))
        product: Floats = (matrix.T @ matrix).toarray()
        return product


class Units:
    """Units that are exchangeable if all languages have the same score, numbered within their strata.

    The rows of a cluster of several languages are exchangeable with each other; their stratum is the cluster. Clusters
    of one language are exchangeable, as wholes, with those of the same number of rows; their stratum is this number.
    """

    def __init__(self, layout: Layout, strata: Ints | None = None) -> None:
        """Find the units of a layout.

        Args:
            layout: languages and clusters of the rows.
            strata: stratum of each row ``[n]``, the same for all rows of a cell; clusters of one language are then
                exchangeable with those of their own stratum only.
        """
        per_cluster = np.bincount(layout.cell_cluster, minlength=layout.total_clusters)
        shared = per_cluster[layout.cell_cluster] > 1
        self._rows = np.flatnonzero(shared[layout.cell]).astype(np.int32)
        self._cells = np.flatnonzero(~shared)
        sizes = layout.cell_size[self._cells].astype(np.int64)
        if strata is not None:
            of_cell = np.zeros(len(layout.cell_size), np.int64)
            of_cell[layout.cell] = strata
            sizes += of_cell[self._cells] * (int(sizes.max(initial=0)) + 1)
        stratum = np.r_[layout.cell_cluster[layout.cell[self._rows]], layout.total_clusters + sizes]
        self.layout = Layout(
            np.r_[layout.language[self._rows], layout.cell_language[self._cells]], stratum, layout.count
        )
        """Languages of the units; its clusters are the strata."""
        self.stratum: NDArray[np.int32] = self.layout.cell_cluster[self.layout.cell]
        """Stratum of each unit, from 0 without gaps."""
        self.size: Ints = np.bincount(self.stratum)
        """Number of units of each stratum."""
        self._sums_of = layout

    def values(self, values: Floats) -> Floats:
        """Return the sum of ``values`` ``[n]`` in each unit, less the mean of its stratum."""
        sums = np.r_[values[self._rows], self._sums_of.cell_sums(values)[self._cells]]
        centred: Floats = sums - (np.bincount(self.stratum, sums) / self.size)[self.stratum]
        centred[np.abs(centred) <= 1e-12 * np.abs(sums)] = 0  # rounding errors of values that are alike
        return centred


class Moments(NamedTuple):
    """Mean per language over rows and training seeds, with the parts of its covariance."""

    value: Floats
    """Mean of each language, ``[languages]``; NaN without rows."""
    by_seed: Floats
    """Mean of each seed and language, ``[seeds, languages]``."""
    cluster: Floats
    """Covariance over clusters ``[languages, languages]``, without the correction G / (G - 1)."""
    seed: Floats
    """Covariance over training seeds of the mean over seeds, corrected by S / (S - 1); zeros for one seed."""
    cell: Floats
    """Covariance of the interaction of clusters and seeds, without the correction G / (G - 1); zeros for one seed."""
    unclustered: Floats
    """Variance of each mean if all rows were independent, ``[languages]``."""

    @property
    def seeds(self) -> int:
        """The number of training seeds."""
        return len(self.by_seed)


def moments(values: ArrayLike, layout: Layout) -> Moments:
    """Return the means of ``values`` ``[n]`` or ``[S, n]`` (S training seeds) and their covariance.

    The influence of a cluster on the mean of a language is the sum of its deviations from this mean over the number of
    rows; the covariance over clusters is the sum of products of influences (the sandwich estimator for clusters).

    Raises:
        ValueError: the shape of ``values`` does not fit the layout.
    """
    array = np.atleast_2d(np.asarray(values, np.float64))
    if array.shape[1:] != layout.cell.shape:
        raise ValueError(f"values {np.shape(values)} must have the shape {layout.cell.shape} or [S, n]")
    seeds, size = len(array), layout.rows.astype(np.float64)
    size[size == 0] = np.nan
    sums = np.stack([layout.cell_sums(row) for row in array])  # [S, cells]
    by_seed = np.stack([layout.language_sums(row) for row in sums]) / size
    value = by_seed.mean(0)
    influence = (sums - by_seed[:, layout.cell_language] * layout.cell_size) / size[layout.cell_language]
    mean = influence.mean(0)
    nothing = np.zeros((layout.count, layout.count))
    seed, cell = nothing, nothing
    if seeds > 1:
        centred = by_seed - value
        seed = centred.T @ centred / (seeds * (seeds - 1))
        cell = sum((layout.cross_products(row - mean) for row in influence), nothing) / (seeds * (seeds - 1))
    squares = layout.language_sums(layout.cell_sums((array.mean(0) - value[layout.language]) ** 2))
    # Rows that are all alike differ by rounding errors only.
    squares[squares <= size * (1e-12 * np.abs(value)) ** 2] = 0
    unclustered = squares / size / np.maximum(size - 1, 1)
    return Moments(value, by_seed, layout.cross_products(mean), seed, cell, unclustered)


class Variance(NamedTuple):
    """Variances over clusters and training seeds, arrays of one shape."""

    total: Floats
    share: Floats
    """Share of the training seeds in the total; 0 for one seed."""
    df: Floats
    """Degrees of freedom of the share of the clusters, infinite where it is not estimated."""
    seeds: int

    def quantile(self, tail: ArrayLike) -> Floats:
        """Return the number of standard errors that the error exceeds with probability ``tail`` at most.

        Student's t quantiles for clusters and seeds, weighted by their shares of the variance (Cochran 1964). With a
        few seeds this is wider than Satterthwaite's degrees of freedom, which need a good estimate of the share.
        """
        over_clusters = stdtrit(np.maximum(self.df, 1), tail) ** 2
        if self.seeds == 1:
            return np.asarray(np.sqrt(over_clusters), np.float64)
        over_seeds = stdtrit(self.seeds - 1, tail) ** 2
        return np.asarray(np.sqrt((1 - self.share) * over_clusters + self.share * over_seeds), np.float64)

    def tail(self, errors: Floats) -> float:
        """Return the smallest probability at which ``quantile`` standard errors are as large as one of ``errors``."""
        ratio = np.abs(errors) / np.sqrt(np.maximum(self.total, 1e-300))
        if self.seeds == 1:
            return float(stdtr(np.maximum(self.df, 1), -ratio).min())
        # Of the logarithm of the probability, which is searched. Below -300 the square of a quantile with one degree of
        # freedom exceeds the range of numbers.
        low, high = -300.0, math.log(0.5)
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if (ratio >= self.quantile(math.exp(middle))).any() else (middle, high)
        return math.exp(high)


def two_way(cluster: ArrayLike, seed: ArrayLike, cell: ArrayLike, df: ArrayLike, seeds: int) -> Variance:
    """Combine the parts of a variance over clusters and training seeds: ``max(cluster + seed - cell, cluster, seed)``.

    ``cell`` is the part that the other two share: the interaction of clusters and seeds is in both of them.

    Args:
        cluster: variance over clusters, corrected by G / (G - 1).
        seed: variance over seeds, corrected by S / (S - 1).
        cell: variance of the interaction, corrected by both.
        df: degrees of freedom of ``cluster``; those of ``seed`` are ``seeds - 1``.
        seeds: number of training seeds.
    """
    cluster, seed, cell = (np.asarray(part, np.float64) for part in (cluster, seed, cell))
    own = np.broadcast_to(np.asarray(df, np.float64), cluster.shape)
    if seeds == 1:
        return Variance(cluster, np.zeros_like(cluster), own, seeds)
    total = np.maximum(np.maximum(cluster + seed - cell, cluster), seed)
    share = np.divide(total - cluster, total, out=np.zeros_like(total), where=total > 0)
    return Variance(total, share, own, seeds)


def correction(clusters: ArrayLike) -> Floats:
    """Return G / (G - 1), 1 for a single cluster."""
    count = np.asarray(clusters, np.float64)
    return np.divide(count, count - 1, out=np.ones_like(count), where=count > 1)
