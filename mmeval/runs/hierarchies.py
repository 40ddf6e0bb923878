"""The paths of classes that a run is scored with: from taxonomy files that the user names, else from the data card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmeval.api.spec import DatasetSpec
from mmeval.api.task import Task
from mmeval.data.card import read_card
from mmeval.errors import UserError
from mmeval.metrics.hierarchy import ClassPath, Taxonomy

Hierarchies = dict[str, dict[str, list[str]]]
"""The path of each class, by task and class."""


def hierarchies_of_files(options: Sequence[str], tasks: Sequence[Task]) -> Hierarchies:
    """Return the paths that ``--hierarchy`` options give.

    Args:
        options: ``FILE``, for a data set with a single task, or ``TASK=FILE``.
        tasks: the tasks of the data set.

    Raises:
        UserError: the task is unknown or missing, a task is named twice, the file can't be used, or a class is unknown
            or ambiguous in it.
    """
    by_name = {task.name: task for task in tasks}
    names = ", ".join(by_name)
    hierarchies: Hierarchies = {}
    for option in options:
        name, separator, file = option.partition("=")
        if not separator or name not in by_name:
            if separator and not Path(option).is_file():
                raise UserError(f'--hierarchy {option}: there is no task "{name}"; the tasks are {names}.')
            if len(tasks) > 1:
                raise UserError(f"--hierarchy {option}: write TASK={option}; the tasks are {names}.")
            name, file = tasks[0].name, option
        if name in hierarchies:
            raise UserError(f"--hierarchy {option}: {name} has a hierarchy already; give one file per task.")
        hierarchies[name] = _lists(Taxonomy.read(Path(file)).paths(by_name[name]))
    return hierarchies


def hierarchies_of_card(spec: DatasetSpec, tasks: Sequence[Task]) -> Hierarchies:
    """Return the paths that the data card gives for the tasks; a task with a class without a path has none.

    Raises:
        DataError: the card can't be read.
    """
    paths = read_card(spec.card, spec.variant).hierarchy if spec.card else {}
    return {
        task.name: _lists({name: paths[task.name][name] for name in task.classes})
        for task in tasks
        if task.name in paths and all(name in paths[task.name] for name in task.classes)
    }


def _lists(paths: Mapping[str, ClassPath]) -> dict[str, list[str]]:
    return {name: list(path) for name, path in paths.items()}
