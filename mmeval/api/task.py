"""Classification tasks, and the context in which a model is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """A classification task: its name, and its classes in the order of a model's outputs."""

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ModelContext:
    """Facts about the training data with which a model is built."""

    tasks: tuple[Task, ...]
    class_counts: Mapping[str, tuple[int, ...]]
    """Number of training examples per class, by task, in the order of the task's classes."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the training split, sorted; prediction may meet others."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Inputs beside image and text, with their sorted values in the training split. Empty for most data sets."""
    class_names: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Display names of the classes by task and language, in the order of the task's classes; a class without one in the
    data card has its own name. Empty if the card has none."""

    def as_json(self) -> dict[str, Any]:
        """Return the context as JSON values, for the config file beside the weights."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelContext:
        """Return the context of the values from :meth:`as_json`."""
        tasks = tuple(Task(t["name"], tuple(t["classes"])) for t in data["tasks"])
        counts = {name: tuple(values) for name, values in data["class_counts"].items()}
        attributes = {name: tuple(values) for name, values in data.get("attributes", {}).items()}
        names = {
            task: {language: tuple(values) for language, values in by_language.items()}
            for task, by_language in data.get("class_names", {}).items()
        }
        return cls(tasks, counts, tuple(data["languages"]), attributes, names)
