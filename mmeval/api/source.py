"""A data set before it is prepared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Union

from mmeval.api.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Union, because a quoted name has no ``|``; quoted, so that listing data sets does not import NumPy.
ImageData = Union[bytes, "NDArray[np.uint8]"]
"""An encoded image (JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP, JPEG 2000), or its pixels: uint8 ``[H, W, 3]`` (RGB) or
``[H, W]`` (grey)."""


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
    """Key of the image, None where there is none."""
    cluster: str = ""
    """What the example shares with others (image, product): resampled together by the bootstrap."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """Columns by which scores are also given; never shown to a model."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else is known (a price, a name): kept in the Store, shown by ``mmeval data show``, used by nothing."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Inputs beside image and text. Models are shown them: what tells of labels or splits has no place here."""
    unknown_labels: Mapping[str, str] = field(default_factory=dict)
    """By task: a label that is no class of it. The example counts without one, and the label is reported."""
    left_out_labels: Mapping[str, str] = field(default_factory=dict)
    """By task: a label whose class the variant leaves out on purpose. Counted and said, no difference from the card."""
    where: str = ""
    """File and row, for messages."""


@dataclass(frozen=True)
class Rejected:
    """A row of a source that can't be used; it goes to ``rejected.parquet`` and counts against the card."""

    where: str
    """File and row: ``GLAMI-1M-train.csv, row 7``."""
    reason: str
    """What is wrong with it, in a few words."""
    id: str = ""
    """Of the example or image, where it is known."""


class Source(Protocol):
    """A data set before it is prepared.

    ``examples`` and ``images`` are read from the beginning each time they are called, always in the same order.
    """

    @property
    def identity(self) -> Mapping[str, str]:
        """What the content depends on (versions, sizes, digests); cheap. Another identity is another Store."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, classes in the order of their index."""

    @property
    def size(self) -> int:
        """Number of images, for the progress bar."""

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        """Yield each image once: its key, and the image or a function that reads it.

        Functions are called from several threads, and not at all for what an earlier attempt has prepared. One that
        raises a :class:`mmeval.DataError` or a ``FileNotFoundError`` has its image rejected with that reason.
        """

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield each example, or what is to be rejected, in an order that is the same on every machine."""
