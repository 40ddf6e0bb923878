"""A data set before it is prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mmeval.plugin.model import Task


@dataclass(frozen=True)
class Example:
    """One example as a source gives it."""

    id: str
    """Unique in the data set."""
    text: str
    """Empty where there is none."""
    language: str
    """ISO 639-1 code."""
    split: str
    """``train``, ``validation`` or ``test``."""
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
