"""Hierarchical metrics of tasks whose classes are paths, such as ``Women > Shoes > Boots``.

A mistake between two kinds of boots is smaller than one between boots and perfume. Three measures say so: accuracy at
each level, precision and recall over all levels (Kiritchenko, Matwin, Nock and Famili 2006), and the distance in the
tree between the predicted and the true class.

The paths come from the names of the classes, from the data card, or from a taxonomy file in the format of Google's
product taxonomy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmeval.api.task import Task
from mmeval.errors import DataError, UserError
from mmeval.metrics.by_language import language_rows
from mmeval.metrics.outcomes import Codes, Outcomes
from mmeval.metrics.row import ScoreRow

SEPARATOR = " > "
"""Stands between the levels of a path."""
_SEPARATOR = re.compile(r"\s>(?=\s|$)")
MAX_BYTES = 64 * 1024 * 1024
"""Size limit of a taxonomy file; Google's has less than half a megabyte."""

Labels = NDArray[np.integer]
ClassPath = tuple[str, ...]
"""The names of a class's ancestors from the top, then its own; the common root is left out."""


@dataclass(frozen=True)
class Hierarchy:
    """The paths of the classes of a task, in the order of the classes."""

    nodes: NDArray[np.int32]
    """``[classes, levels]``: the ancestor of each class at each level, numbered per level; -1 below the class."""
    depths: NDArray[np.int32]
    """Number of levels of each class, ``[classes]``, at least 1."""

    @classmethod
    def of(cls, paths: Sequence[ClassPath]) -> Hierarchy:
        """Return the hierarchy of classes with these paths.

        Two nodes of the same name under different parents are different nodes.
        """
        levels = max(map(len, paths), default=0)
        nodes = np.full((len(paths), levels), -1, np.int32)
        for level in range(levels):
            index: dict[ClassPath, int] = {}
            for number, path in enumerate(paths):
                if len(path) > level:
                    nodes[number, level] = index.setdefault(path[: level + 1], len(index))
        return cls(nodes, np.array([len(path) for path in paths], np.int32))

    @property
    def levels(self) -> int:
        """Number of levels of the deepest class."""
        return int(self.nodes.shape[1])

    def shared(self, true: Labels, predicted: Labels) -> NDArray[np.int32]:
        """Return the number of levels that the true and the predicted class of each example share, ``[n]``."""
        shared = np.zeros(len(true), np.int32)
        for level in range(self.levels):
            own = self.nodes[true, level]
            shared += (own >= 0) & (own == self.nodes[predicted, level])
        return shared

    def accuracies(self, true: Labels, predicted: Labels) -> dict[str, NDArray[np.bool_]]:
        """Return whether each example is right at each level, ``accuracy_level_1`` and so on: arrays ``[n]``.

        At level N, paths are cut after N levels; an example is right if the cut paths of its true and its predicted
        class are equal. The last level is top-1 accuracy.
        """
        shared = self.shared(true, predicted)
        right = {}
        for level in range(1, self.levels + 1):
            depth = np.minimum(self.depths[true], level)
            same_depth = depth == np.minimum(self.depths[predicted], level)
            right[f"accuracy_level_{level}"] = same_depth & (shared >= depth)
        return right


class HierarchicalScores(NamedTuple):
    """The hierarchical metrics of groups of examples, arrays ``[groups]``; NaN for a group without examples."""

    precision: NDArray[np.float64]
    """Share of the predicted classes' path levels that are right: shared levels / levels of predicted paths."""
    recall: NDArray[np.float64]
    """Share of the true classes' path levels that were predicted: shared levels / levels of true paths."""
    f1: NDArray[np.float64]
    """Harmonic mean of precision and recall."""
    tree_distance: NDArray[np.float64]
    """Mean number of steps in the tree between predicted and true class, over the wrong examples; NaN if none is."""
    errors: NDArray[np.int64]
    """Number of wrong examples."""


HIERARCHICAL = {
    "precision": "hierarchical_precision",
    "recall": "hierarchical_recall",
    "f1": "hierarchical_f1",
    "tree_distance": "tree_distance",
}
"""The name in Scores of each field of :class:`HierarchicalScores` that is a metric."""


def hierarchical_scores(
    hierarchy: Hierarchy, true: Labels, predicted: Labels, group: Labels, groups: int
) -> HierarchicalScores:
    """Return hierarchical precision, recall, F1 and the tree distance of each group of examples.

    Precision and recall are micro-averaged over examples (Kiritchenko et al. 2006): each class stands for the set of
    its ancestors and itself, without the root. The distance of two classes is the number of steps up from the one to
    the lowest common ancestor, the root included, and down to the other.

    Args:
        hierarchy: the paths of the classes.
        true: indices of the true classes, ``[n]``.
        predicted: indices of the predicted classes, ``[n]``.
        group: the group of each example, ``[n]``, from 0.
        groups: number of groups.
    """
    shared = hierarchy.shared(true, predicted)
    of_true, of_predicted = hierarchy.depths[true], hierarchy.depths[predicted]

    def total(values: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.bincount(group, values, groups).astype(np.float64)

    wrong = true != predicted
    precision, recall = _ratio(total(shared), total(of_predicted)), _ratio(total(shared), total(of_true))
    f1 = _ratio(2 * total(shared), total(of_predicted) + total(of_true))
    errors = total(wrong)
    distance = _ratio(total((of_true + of_predicted - 2 * shared) * wrong), errors)
    return HierarchicalScores(precision, recall, f1, distance, errors.astype(np.int64))


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.full_like(denominator, np.nan), where=denominator > 0)


def hierarchy_rows(hierarchy: Hierarchy, outcomes: Outcomes, languages: Codes) -> list[ScoreRow]:
    """Return hierarchical precision, recall, F1 and the tree distance of each language, their mean, and of all rows.

    The number of examples of the tree distance is the number of wrong ones. Accuracy at each level is a mean over
    examples, see :meth:`Hierarchy.accuracies`.

    Args:
        hierarchy: the paths of the classes.
        outcomes: the examples, all labelled.
        languages: their languages.
    """
    count = len(languages.names)
    everything = np.zeros(len(languages), np.int64)
    parts = [
        hierarchical_scores(hierarchy, outcomes.true, outcomes.predicted, group, groups)
        for group, groups in ((languages.codes, count), (everything, 1))
    ]
    sizes = [*np.bincount(languages.codes, minlength=count).tolist(), len(languages)]
    errors = np.concatenate([part.errors for part in parts]).tolist()
    rows: list[ScoreRow] = []
    for field, metric in HIERARCHICAL.items():
        values = np.concatenate([getattr(part, field) for part in parts]).tolist()
        of_metric = errors if field == "tree_distance" else sizes
        rows.extend(language_rows(metric, languages.names, values, of_metric))
    return rows


def paths_in_names(classes: Sequence[str]) -> dict[str, ClassPath]:
    """Return the paths of classes whose names are paths, ``A > B > C``; empty if no name has the separator.

    Spaces around a level are removed. Names with an empty level (``A >  > C``) are no paths, and then none is.
    """
    if not any(SEPARATOR in name for name in classes):
        return {}
    paths = {name: _split(name) for name in classes}
    return paths if all(all(path) for path in paths.values()) and len(set(paths.values())) == len(paths) else {}


def _split(text: str) -> ClassPath:
    return tuple(level.strip() for level in _SEPARATOR.split(text))


class Taxonomy:
    """A tree of names, read from a file in the format of Google's product taxonomy.

    The format: a line per node, ``A > B > C``, or ``123 - A > B > C`` with an id. Empty lines and lines that begin
    with ``#`` are skipped.
    """

    def __init__(self, source: str, entries: Iterable[tuple[str, ClassPath]]) -> None:
        """Index the nodes.

        Args:
            source: the file's name, for messages.
            entries: id (empty if there is none) and path of each node.
        """
        self.source = source
        self._by_id: dict[str, ClassPath] = {}
        self._paths: set[ClassPath] = set()
        self._by_last: dict[str, list[ClassPath]] = {}
        for id_, path in entries:
            if id_:
                self._by_id[id_] = path
            if path not in self._paths:
                self._paths.add(path)
                self._by_last.setdefault(path[-1], []).append(path)

    @classmethod
    def read(cls, path: Path) -> Taxonomy:
        """Read a taxonomy file.

        Raises:
            DataError: the file is missing, too large or not UTF-8, a line has an empty level, an id stands twice, or
                there is no line.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise DataError(f"The taxonomy {path} is larger than {MAX_BYTES:,} bytes; no taxonomy is.")
            text = data.decode("utf-8-sig")
        except FileNotFoundError:
            raise DataError(f"There is no taxonomy file {path}.") from None
        except OSError as error:
            raise DataError(f"The taxonomy {path} can't be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise DataError(f"The taxonomy {path} is not a text file in UTF-8; save it as UTF-8.") from None
        entries: list[tuple[str, ClassPath]] = []
        ids: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            id_, levels = _entry(line)
            if not all(levels):
                raise DataError(f'{path}, line {number}: "{line.strip()}" has an empty level; write A > B > C.')
            if id_ and id_ in ids:
                raise DataError(f"{path}, line {number}: the id {id_} stands also in line {ids[id_]}; remove one.")
            if id_:
                ids[id_] = number
            entries.append((id_, levels))
        if not entries:
            raise DataError(f"The taxonomy {path} has no line; write one node a line, A > B > C.")
        return cls(str(path), entries)

    def paths(self, task: Task) -> dict[str, ClassPath]:
        """Return the path of each class of a task: the node whose full path, id or last name is the class's name.

        Raises:
            UserError: a class matches no node, or its name is the last of several, or two classes match the same node.
        """
        paths: dict[str, ClassPath] = {}
        unknown: list[str] = []
        for name in task.classes:
            matches = self._matches(name)
            if len(matches) > 1:
                shown = " and ".join(f'"{SEPARATOR.join(path)}"' for path in matches[:2])
                raise UserError(
                    f'{self.source}: the class "{name}" of {task.name} matches {len(matches)} lines, such as {shown}; '
                    "rename the class to the full path or the id."
                )
            if matches:
                paths[name] = matches[0]
            else:
                unknown.append(name)
        if unknown:
            others = f" and {len(unknown) - 1} other classes" if len(unknown) > 1 else ""
            others = others.removesuffix("es") if len(unknown) == 2 else others
            raise UserError(
                f'{self.source} has no line for the class "{unknown[0]}"{others} of {task.name}: no full path, id or '
                "last name equals it; add the missing lines."
            )
        owners: dict[ClassPath, str] = {}
        for name, path in paths.items():
            if path in owners:
                raise UserError(
                    f'{self.source}: the classes "{owners[path]}" and "{name}" of {task.name} match the same line, '
                    f'"{SEPARATOR.join(path)}"; classes must have different lines.'
                )
            owners[path] = name
        return paths

    def _matches(self, name: str) -> list[ClassPath]:
        path = _split(name)
        if path in self._paths:
            return [path]
        if name.strip() in self._by_id:
            return [self._by_id[name.strip()]]
        return self._by_last.get(name.strip(), [])


def _entry(line: str) -> tuple[str, ClassPath]:
    """Return id and path of a line; the id is empty if the line doesn't begin with a number and a dash."""
    id_, dash, rest = line.partition(" - ")
    if dash and id_.strip().isdigit():
        return id_.strip(), _split(rest)
    return "", _split(line)


def hierarchy_of(task: Task, paths: Mapping[str, Mapping[str, ClassPath]]) -> Hierarchy | None:
    """Return the hierarchy of a task; None if its classes have no paths.

    Args:
        task: the task.
        paths: paths that a taxonomy file or the data card gives, by task and class; without them, names that are paths
            count.
    """
    of_task = paths.get(task.name) or paths_in_names(task.classes)
    if not of_task or any(name not in of_task for name in task.classes):
        return None
    return Hierarchy.of([tuple(of_task[name]) for name in task.classes])
