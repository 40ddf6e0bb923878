"""The classes of the tasks of a table of predictions, and their order in lists of probabilities."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from mmeval.errors import DataError, UserError

Classes = Mapping[str, tuple[str, ...]] | tuple[str, ...]
"""Classes as the user gives them: of every task, or by task."""
WHOLE = re.compile(r"-?\d+")


def parse_classes(text: str) -> Classes:
    """Parse the value of ``--classes``: ``A,B,C``, a text file with a class per line, or a JSON file.

    A JSON file holds a list, or an object with a list per task.

    Raises:
        UserError: the file can't be read, or holds something else.
    """
    path = Path(text)
    if not path.suffix or not path.is_file():
        if path.suffix in (".txt", ".json") and "," not in text:
            raise UserError(f"--classes {text}: there is no such file.")
        return require_classes(tuple(name.strip() for name in text.split(",")), "--classes")
    try:
        content = path.read_text(encoding="utf-8-sig")
        if path.suffix != ".json":
            return require_classes(
                tuple(filter(None, (line.strip() for line in content.splitlines()))), f"--classes {text}"
            )
        loaded = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--classes {text}: the file can't be read ({error}).") from None
    return classes_of(loaded, f"--classes {text}")


def classes_of(value: object, option: str = "classes") -> Classes:
    """Return classes given as a list of names, or as a list per task.

    Raises:
        UserError: the value is something else, or a class occurs twice.
    """
    if isinstance(value, Mapping):
        return {str(task): require_classes(_names(names, option), option) for task, names in value.items()}
    return require_classes(_names(value, option), option)


def _names(value: object, option: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UserError(f"{option}: give a list of class names, or such a list for each task.")
    return tuple(str(name) for name in value)


def require_classes(names: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Return the names if they differ and none is empty.

    Raises:
        UserError: a name is empty or occurs twice.
    """
    if not names or not all(names):
        raise UserError(f"{option}: a class name is empty.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f'{option}: the class "{twice}" occurs twice.')
    return names


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Return class names in the order of scikit-learn's ``classes_``: whole numbers by value, all others as texts."""
    if names and all(WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def require_one_spelling(names: Collection[str], where: str, task: str) -> None:
    """Check that no number is written in two ways: pandas writes 1 as 1.0 if the column has an empty cell.

    Raises:
        DataError: there are two such names.
    """
    for name in sorted(names):
        if WHOLE.fullmatch(name) and f"{name}.0" in names:
            raise DataError(
                f'{where}: the classes "{name}" and "{name}.0" of {task} are the same number; write both without ".0".'
            )


def guess(name: str, classes: Sequence[str]) -> str:
    """Return `` (did you mean "cat"?)`` for a name that is close to a class; otherwise empty."""
    matches = difflib.get_close_matches(name, list(classes), n=1)
    lowered = {known.casefold(): known for known in classes}
    match = lowered.get(name.casefold()) or (matches[0] if matches else "")
    return f' (did you mean "{match}"?)' if match else ""
