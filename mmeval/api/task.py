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
    multilabel: bool = False
    """Whether an example may have any number of the classes, also none. Otherwise it has exactly one."""

    def as_json(self) -> dict[str, Any]:
        """Return the task as JSON values; ``multilabel`` only where it is true, as in files of earlier versions."""
        return {"name": self.name, "classes": list(self.classes)} | ({"multilabel": True} if self.multilabel else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Return the task of the values from :meth:`as_json`."""
        return cls(data["name"], tuple(data["classes"]), bool(data.get("multilabel", False)))


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
    labelled: Mapping[str, int] = field(default_factory=dict)
    """Number of training examples with a label, by task. The class counts of a multi-label task do not sum to it."""

    @property
    def multilabel(self) -> frozenset[str]:
        """Names of the multi-label tasks: their probabilities are the sigmoid of the logits, not the softmax."""
        return frozenset(task.name for task in self.tasks if task.multilabel)

    def shares(self, task: str) -> tuple[float, ...]:
        """Return the share of each class among the labelled training examples of a task; uniform if there are none.

        The shares of a multi-label task need not sum to 1.
        """
        counts = self.class_counts[task]
        total = sum(counts)
        if task in self.multilabel:
            total = self.labelled.get(task, 0) or max(counts, default=0)
            return tuple(count / total if total else 0.5 for count in counts)
        return tuple(count / total if total else 1 / len(counts) for count in counts)

    def as_json(self) -> dict[str, Any]:
        """Return the context as JSON values, for the config file beside the weights."""
        return dataclasses.asdict(self) | {"tasks": [task.as_json() for task in self.tasks]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelContext:
        """Return the context of the values from :meth:`as_json`."""
        tasks = tuple(map(Task.from_json, data["tasks"]))
        counts = {name: tuple(values) for name, values in data["class_counts"].items()}
        attributes = {name: tuple(values) for name, values in data.get("attributes", {}).items()}
        names = {
            task: {language: tuple(values) for language, values in by_language.items()}
            for task, by_language in data.get("class_names", {}).items()
        }
        labelled = dict(data.get("labelled", {}))
        return cls(tasks, counts, tuple(data["languages"]), attributes, names, labelled)
