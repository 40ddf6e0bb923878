"""Statistical power of a split: the smallest difference between two models that its rows can show.

The test is the paired one of ``mmeval compare``: per example, the difference of two hits is -1, 0 or 1. Before training
its variance is unknown; it is at most the share of examples that only one of the two models classifies correctly, the
*disagreement*. The standard error of the difference is ``sqrt(disagreement / effective rows)``, and the detectable
difference ``(z_{1 - alpha/2} + z_{power})`` times that (Card et al. 2020, "With little power comes great
responsibility"; Miller 2024, "Adding error bars to evals").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmeval.data.labels import has_label
from mmeval.errors import UserError
from mmeval.record import DataPower, Detectable, LanguageDetectable

if TYPE_CHECKING:
    import pyarrow as pa

    from mmeval.data.examples import Examples

ALPHA = 0.05
"""Significance level of the two-sided test."""
POWER = 0.8
"""Probability with which a detectable difference is found."""
ACCURACY = 0.8
"""Assumed accuracy of the two models, if the user states none."""
DISAGREEMENT = 0.1
"""Assumed share of examples that only one of the two models classifies correctly, if the user states none."""
CORRELATION = 1.0
"""Assumed correlation of the differences within a cluster. At 1, a cluster counts as one row: no data is worse."""
DIFFERENCES = (0.02,)
"""Differences for which the number of needed rows is given."""


def detectable(se: float, tests: int = 1, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the smallest difference that a two-sided test finds with probability ``power``.

    Args:
        se: the standard error of the difference.
        tests: number of tests that the level is divided by (Bonferroni, the first step of Holm).
        alpha: the significance level.
        power: the probability.
    """
    from scipy.special import ndtri  # slow to import

    return float((ndtri(1 - alpha / tests / 2) + ndtri(power)) * se)


def rows_for(rows: int, smallest: float, difference: float) -> int:
    """Return the number of rows, in clusters of the same sizes, with which ``difference`` would be detectable.

    A standard error falls with the square root of the number of rows.

    Args:
        rows: the number of rows at hand.
        smallest: the smallest difference that they can show.
        difference: the difference to show.
    """
    # The product of a whole number and a square is often a whole number plus a rounding error.
    return math.ceil(round(rows * (smallest / difference) ** 2, 9))


def effective_rows(
    weights: NDArray[np.float64], clusters: NDArray[np.int64], correlation: float = CORRELATION
) -> float:
    """Return the number of independent rows whose mean varies as much as a weighted mean of clustered rows.

    For equal weights this is ``n / deff`` with Kish's design effect ``1 + correlation * (sum m^2 / n - 1)`` over the
    cluster sizes ``m``.

    Args:
        weights: the weight of each row, ``[n]``; they sum to 1.
        clusters: the index of each row's cluster, ``[n]``.
        correlation: the correlation of two rows of a cluster.
    """
    single = float(weights @ weights)
    whole = np.bincount(clusters, weights)
    return 1 / ((1 - correlation) * single + correlation * float(whole @ whole))


def data_power(
    languages: Sequence[str],
    language: NDArray[np.int64],
    cluster: NDArray[np.int64],
    *,
    accuracy: float = ACCURACY,
    disagreement: float = DISAGREEMENT,
    correlation: float = CORRELATION,
    alpha: float = ALPHA,
    power: float = POWER,
) -> DataPower:
    """Return the differences that the rows of each language, and their mean over languages, can show.

    The level of the tests of single languages is divided by the number of languages that have rows.

    Args:
        languages: the languages' names.
        language: the index of each row's language, ``[n]`` with n > 0.
        cluster: the index of each row's cluster, ``[n]``.
        accuracy: the mean accuracy of the two models.
        disagreement: the share of rows that only one of the two models classifies correctly.
        correlation: the correlation of the differences of two rows of a cluster.
        alpha: the significance level.
        power: the probability with which a detectable difference is found.

    Raises:
        UserError: models of this accuracy can't disagree so often.
    """
    most = 2 * min(accuracy, 1 - accuracy)
    if disagreement > most + 1e-12:
        raise UserError(
            f"--disagreement {disagreement:g}: two models with a mean accuracy of {accuracy:g} disagree in at most "
            f"{100 * most:g} % of the rows; write a smaller number, or another --accuracy."
        )
    sizes = np.bincount(language, minlength=len(languages))
    present = sorted(np.flatnonzero(sizes).tolist(), key=lambda code: languages[code])

    def of_rows(rows: NDArray[np.int64], weights: NDArray[np.float64], tests: int) -> Detectable:
        effective = effective_rows(weights, cluster[rows], correlation)
        error = math.sqrt(disagreement / effective)
        plain, adjusted = (detectable(error, count, alpha, power) for count in (1, tests))
        needed, needed_adjusted = (
            {f"{d:g}": rows_for(len(rows), shown, d) if d <= disagreement else None for d in DIFFERENCES}
            for shown in (plain, adjusted)
        )
        return Detectable(
            rows=len(rows),
            clusters=len(np.unique(cluster[rows])),
            effective_rows=effective,
            half_width=_half_width(accuracy, effective),
            detectable=plain,
            detectable_adjusted=adjusted,
            rows_for=needed,
            rows_for_adjusted=needed_adjusted,
        )

    per_language = [
        LanguageDetectable(
            language=languages[code],
            **of_rows(rows, np.full(len(rows), 1 / len(rows)), len(present)).model_dump(),
        )
        for code in present
        for rows in [np.flatnonzero(language == code)]
    ]
    return DataPower(
        accuracy=accuracy,
        disagreement=disagreement,
        correlation=correlation,
        alpha=alpha,
        power=power,
        languages=per_language,
        mean=of_rows(np.arange(len(language)), 1 / (len(present) * sizes[language]), 1),
    )


def split_power(
    examples: Examples, task: str, *, accuracy: float = ACCURACY, disagreement: float = DISAGREEMENT
) -> DataPower | None:
    """Return the differences that the examples with a label of ``task`` can show.

    None if there are none, and for a multi-label task, of which models have no accuracy and disagreement.

    Raises:
        UserError: models of this accuracy can't disagree so often.
    """
    labels = examples.labels(task)
    known = np.flatnonzero(has_label(labels))
    # The accuracy and disagreement of two models are those of tasks with one class per example.
    if not len(known) or labels.ndim == 2:
        return None
    languages, language = _encode(examples.table["language"])
    _, cluster = _encode(examples.table["cluster"])
    return data_power(languages, language[known], cluster[known], accuracy=accuracy, disagreement=disagreement)


def _encode(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct values of a column, and for each row the index of its value."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices).astype(np.int64)


def _half_width(accuracy: float, rows: float) -> float:
    """Return half the width of Wilson's 95 % interval of a proportion of ``rows`` independent rows."""
    from scipy.special import ndtri

    z = float(ndtri(0.975))
    return z * math.sqrt(accuracy * (1 - accuracy) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
