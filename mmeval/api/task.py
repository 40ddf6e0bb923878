"""Classification tasks, and what a model is told when it is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """One classification task: its name and its classes, in the order of a model's outputs."""

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ModelContext:
    """What a model may know when it is built: the tasks and how often each class stands in the training split."""

    tasks: tuple[Task, ...]
    class_counts: Mapping[str, tuple[int, ...]]
    """Training examples per class, by task, in the order of the task's classes."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the training split, sorted; others may come in prediction."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Inputs beside image and text: the values of each in the training split, sorted. Empty for nearly all data."""
    class_names: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """What people call the classes, by task and language, in the order of the task's classes; a class that the data
    card doesn't name there stands as it is. Empty where it names none."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON, for the config file beside the weights."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelContext:
        """The inverse of :meth:`as_json`."""
        tasks = tuple(Task(t["name"], tuple(t["classes"])) for t in data["tasks"])
        counts = {name: tuple(values) for name, values in data["class_counts"].items()}
        attributes = {name: tuple(values) for name, values in data.get("attributes", {}).items()}
        names = {
            task: {language: tuple(values) for language, values in by_language.items()}
            for task, by_language in data.get("class_names", {}).items()
        }
        return cls(tasks, counts, tuple(data["languages"]), attributes, names)
