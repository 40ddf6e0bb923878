"""The languages of a table of predictions: codes as in tables of examples, unknown names as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmeval.console import note
from mmeval.data.external.reading import RawPredictions
from mmeval.data.languages import PRIVATE, RESERVED, Language, corrections, language_of
from mmeval.errors import DataError, UserError

RESERVED_NAMES = RESERVED | {"weighted"}
MOST_UNKNOWN = 200
"""If a column has more values than this that name no language, it holds something else."""
SHOWN = 12


def language_codes(
    raw: RawPredictions, language: str, say: Callable[[str], None]
) -> tuple[NDArray[np.int32] | None, list[str]]:
    """Return the language of each row as an index, and the codes; None where the table has no languages.

    Known languages get the code that tables of examples give them (``cz`` becomes ``cs``, ``deu_Latn`` becomes
    ``de``), so that predictions can be compared with trained runs. A value that names no known language is kept.

    Args:
        raw: the table.
        language: the language of all rows of a table without a column of languages; empty for none.
        say: called with sentences for the report.

    Raises:
        DataError: a value is a reserved word of the score table, or the column does not hold languages.
        UserError: ``language`` is a reserved word.
    """
    if "language" not in raw.names:
        if not language:
            return None, []
        if _is_reserved(language):
            raise UserError(
                f"--language {language} is a reserved word of the score table; write {PRIVATE}, for example."
            )
        known = language_of(language)
        return np.zeros(len(raw), np.int32), [known.code if known else language]
    if language:
        raise UserError(
            f"--language {language}: {raw.where} has the column {raw.columns.texts['language']} of languages; leave "
            "the option or the column out."
        )
    column = raw.names["language"]
    seen: dict[str, Language] = {}
    codes: list[str] = []
    unknown: list[str] = []
    for number, value in enumerate(column.names):
        if _is_reserved(value):
            row = int(np.flatnonzero(column.codes == number)[0])
            raise DataError(
                f'{raw.row(row)}: the language "{value}" is a reserved word of the score table; write a code for local '
                f"use instead, such as {PRIVATE}."
            )
        if known := language_of(value):
            seen[value] = known
        else:
            unknown.append(value)
        codes.append(known.code if known else value)
    if len(unknown) > MOST_UNKNOWN:
        raise DataError(
            f"{raw.where}: the column {raw.columns.texts['language']} does not hold languages, but {len(unknown):,} "
            f'other values such as "{unknown[0]}"; choose another column with --columns language=COLUMN.'
        )
    for line in corrections(seen):
        note(f"{raw.where}, languages: {line}")
    if unknown:
        say(f"Languages that are no ISO 639 code and no known name, kept as they are: {_some(unknown)}.")
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        values = [value for value, own in zip(column.names, codes, strict=True) if own == code]
        say(f"The languages {_some(values)} are all {code} and are scored together.")
    distinct = sorted(set(codes))
    index = np.array([distinct.index(code) for code in codes], np.int32)
    return index[column.codes], distinct


def _is_reserved(value: str) -> bool:
    language = language_of(value)
    return value.strip().casefold() in RESERVED_NAMES or (language is not None and language.code in RESERVED_NAMES)


def _some(values: Sequence[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(values[:SHOWN]) + more
