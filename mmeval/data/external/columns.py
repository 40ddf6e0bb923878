"""The columns of a table of predictions: their roles, by their own names or as the user maps them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmeval.errors import DataError, UserError

REQUIRED = ("id", "language", "true")
PREDICTED, PROBABILITIES = "predicted", "probabilities"
ROLES = (*REQUIRED, PREDICTED, PROBABILITIES, "cluster", "task", "seed")
CLASS, SLICE = "p:", "slice:"
"""Prefixes of the columns with the probability of a class, and of those by whose values scores are also given."""
EVERY = "*"
SYNONYMS = {
    "id": "doc_id custom_id example_id sample_id item_id product_id uid idx index",
    "language": "lang language_code lang_code locale",
    "true": "gold label labels target y_true reference answer truth true_label",
    PREDICTED: "prediction predictions pred y_pred output predicted_label",
    PROBABILITIES: "probs proba probability scores",
    "cluster": "clusters group group_id image image_id product",
    "task": "tasks task_name",
    "seed": "seeds random_seed run",
}
"""Column names of other tools, from which a message suggests the mapping; none is taken without the user's word."""
SHOWN = 12
"""Number of columns that a message names."""


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of a table of predictions by role."""

    texts: Mapping[str, str]
    """Column by role: id, language, true, predicted, cluster, task, seed, and ``slice:NAME``."""
    classes: Mapping[str, str]
    """Column by class, for tables with one column of probabilities per class."""
    lists: str
    """The column with a list of probabilities per row; empty if there is none."""
    unused: tuple[str, ...]
    """Columns without a role."""

    @property
    def all(self) -> list[str]:
        """The names of all columns with a role."""
        return [*self.texts.values(), *self.classes.values(), *([self.lists] if self.lists else [])]


def parse_columns(text: str) -> dict[str, str]:
    """Parse the value of ``--columns``, ``true=gold,predicted=pred,p:*=prob_*``: the column of each role.

    Raises:
        UserError: the text has another form, or names an unknown role or a role twice.
    """
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column:
            raise UserError(f'--columns: "{part}" should be ROLE=COLUMN, with a ROLE of {_roles()}.')
        if role in columns:
            raise UserError(f"--columns names {role} twice; a role has one column.")
        columns[role] = column
    require_roles(columns)
    return columns


def require_roles(columns: Mapping[str, str]) -> None:
    """Check the roles of a mapping.

    Raises:
        UserError: there is no such role.
    """
    for role in columns:
        if role not in ROLES and not (role.startswith((CLASS, SLICE)) and role not in (CLASS, SLICE)):
            raise UserError(f'--columns: there is no role "{role}"{_guess(role, ROLES)}; the roles are {_roles()}.')


def resolve(given: Mapping[str, str], names: Sequence[str], where: str, *, nested: bool = False) -> PredictionColumns:
    """Return the columns by role: the given ones, otherwise those that have the names of the roles.

    Args:
        given: column by role, as the user maps them; ``{"p:*": "prob_*"}`` takes every column that starts so.
        names: the table's columns.
        where: the name of the table in messages.
        nested: whether a given column may be a path into JSON objects and lists, such as ``doc.language``; the caller
            checks that the path exists.

    Raises:
        UserError: a given column does not exist.
        DataError: there are both columns and a list of probabilities.
    """
    texts: dict[str, str] = {}
    classes = {name.removeprefix(CLASS): name for name in names if name.startswith(CLASS) and name != CLASS}
    for role, column in given.items():
        if role == CLASS + EVERY and column.endswith(EVERY):
            prefix = column.removesuffix(EVERY)
            if not (
                found := {name[len(prefix) :]: name for name in names if name.startswith(prefix) and name != prefix}
            ):
                raise UserError(f"--columns {role}={column}: no column of {where} starts with {prefix}. {has(names)}")
            classes |= found
            continue
        if column not in names and not (nested and "." in column):
            raise UserError(
                f'--columns {role}={column}: {where} has no column "{column}"{_guess(column, names)}. {has(names)}'
            )
        if role.startswith(CLASS):
            classes[role.removeprefix(CLASS)] = column
        else:
            texts[role] = column
    texts |= {
        name: name
        for name in names
        if (name in ROLES or (name.startswith(SLICE) and name != SLICE)) and name not in given
    }
    lists = texts.pop(PROBABILITIES, "")
    if lists and classes:
        raise DataError(
            f"{where} has both a list of probabilities ({lists}) and a column per class "
            f"({next(iter(classes.values()))}, ...); leave one out."
        )
    used = {*texts.values(), *classes.values(), lists}
    return PredictionColumns(texts, classes, lists, tuple(name for name in names if name not in used))


def require(columns: PredictionColumns, names: Sequence[str], where: str, required: Collection[str]) -> None:
    """Check that a table has the required columns, and predictions.

    Raises:
        DataError: a column is missing; the message suggests the mapping.
    """
    for role in required:
        if role in columns.texts:
            continue
        column = _similar(role, columns.unused)
        advice = (
            f'is it "{column}"? Then add --columns {role}={column}' if column else f"name it: --columns {role}=COLUMN"
        )
        if role == "language" and not column:
            advice += ", or give the language of all rows: --language CODE"
        raise DataError(f'{where} has no column "{role}"; {advice}. {has(names)}')
    if PREDICTED not in columns.texts and not columns.classes and not columns.lists:
        column = _similar(PREDICTED, columns.unused) or _similar(PROBABILITIES, columns.unused)
        role = PREDICTED if column == _similar(PREDICTED, columns.unused) else PROBABILITIES
        guess = f'Is it "{column}"? Then add --columns {role}={column}. ' if column else ""
        raise DataError(
            f"{where} has no predictions: it needs the column predicted, a column p:CLASS per class, or the column "
            f"probabilities with lists. {guess}{has(names)}"
        )


def unused_text(columns: PredictionColumns) -> str:
    """Return a note about columns without a role, with a guess where a name is close to a role's; empty if none."""
    if not columns.unused:
        return ""
    near = [
        f"{name} (did you mean {matches[0]}?)"
        for name in columns.unused
        if (matches := difflib.get_close_matches(name.lower(), [r for r in ROLES if r not in columns.texts], 1, 0.75))
    ]
    rest = [name for name in columns.unused if not any(text.startswith(f"{name} (") for text in near)]
    return f"columns without a role, not used: {_some([*near, *rest])}"


def has(names: Sequence[str]) -> str:
    """Return a sentence that names a table's columns."""
    return f"Its columns are {_some([name or '(without a name)' for name in names])}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _roles() -> str:
    return f"{', '.join(ROLES)}, p:CLASS, slice:NAME"


def _guess(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean "{matches[0]}"?)' if matches else ""


def _similar(role: str, names: Iterable[str]) -> str:
    """Return the column that a role's usual names or its spelling suggest; empty for none."""
    names = list(names)
    lowered = {name.lower(): name for name in reversed(names)}
    for candidate in (role, *SYNONYMS[role].split()):
        if candidate in lowered:
            return lowered[candidate]
    matches = difflib.get_close_matches(role, list(lowered), n=1, cutoff=0.75)
    return lowered[matches[0]] if matches else ""
