"""What a plugin declares: a model, a data set or a metric, and the nouns they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmeval.data.examples import Examples
    from mmeval.plugin.config import ModelConfig


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

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON, for the config file beside the weights."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelContext:
        """The inverse of :meth:`as_json`."""
        tasks = tuple(Task(t["name"], tuple(t["classes"])) for t in data["tasks"])
        counts = {name: tuple(values) for name, values in data["class_counts"].items()}
        return cls(tasks, counts, tuple(data["languages"]))


@dataclass(frozen=True)
class FitContext:
    """What a model is told when it is trained or asked: seed, device, and a folder for its own scratch files."""

    seed: int
    device: str
    folder: Path


@runtime_checkable
class Model(Protocol):
    """The plain level of a model; torch models subclass ``mmeval.nn.TorchModel`` instead and get this for free."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:
        """Learn from ``train``, select on ``validation``; returns facts for the record (JSON)."""

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Yield blocks of probabilities ``{task: [n, classes]}``, in the order of ``examples``."""

    def save(self, folder: Path) -> None:
        """Write all that :meth:`load` needs into ``folder``; no pickle."""

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote, into a model built from the same config and context."""


@dataclass(frozen=True)
class ModelSpec:
    """A model plugin."""

    name: str
    summary: str
    config: type[ModelConfig]
    build: Callable[[Any, ModelContext], Any]
    """Make an untrained model (a ``TorchModel`` or a :class:`Model`) from its config; import torch in here."""
    version: str
    inputs: tuple[str, ...]
    """Which of `image` and `text` the model uses."""
    paper: str
    """Title and arXiv number or DOI of the paper, or `none`."""
    licence: str
    """Licence of the code and of any weights."""
    presets: Mapping[str, Mapping[str, Any]]
    """Option values by dotted name, per preset."""
    default_preset: str = "tiny"
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """One example as a source gives it."""

    id: str
    text: str
    language: str
    """ISO 639-1 code."""
    split: str
    labels: Mapping[str, str]
    """Class name by task; a task without a label is left out."""
    image: str | None = None
    """Key of the picture, None where there is none."""
    cluster: str = ""
    """What the example shares with others (picture, product): resampled together by the bootstrap."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """Columns by which scores are also given; never shown to a model."""


class Source(Protocol):
    """A data set before it is prepared."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What the content depends on (versions, options); another identity is another Store."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, classes in the order of their index."""

    @property
    def size(self) -> int:
        """Number of images, for the progress bar."""

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield each picture once: its key, and its encoded bytes (PNG or JPEG) at the protocol's size."""

    def examples(self) -> Iterator[Example]:
        """Yield each example, in an order that is the same on every machine."""


@dataclass(frozen=True)
class DatasetSpec:
    """A data set plugin."""

    name: str
    summary: str
    card: Path
    """The data card (Markdown with a YAML header)."""
    source: Callable[[], Source]
    """Open the source; raises a ``UserError`` where something is missing."""
    credit: str = ""
    """What the licence asks to be said beside pictures or texts that are shown."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric that is a mean over examples, so that it has an interval and a row per language like any other."""

    name: str
    summary: str
    per_example: Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.float64]]
    """(labels ``[n]``, probabilities ``[n, classes]``) -> value of each example ``[n]``."""
