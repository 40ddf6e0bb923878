"""The interface of data sets: sources and their examples."""

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
    """An example of a source."""

    id: str
    """Unique in the data set."""
    text: str
    """The text, empty if there is none."""
    language: str
    """ISO 639-1 code."""
    split: str
    """``train``, ``validation`` or ``test``."""
    labels: Mapping[str, str | tuple[str, ...]]
    """Class name by task, of a multi-label task a tuple of class names; without the tasks that have no label. The empty
    tuple is a label too: none of the classes."""
    image: str | None = None
    """Key of the image, None if there is none."""
    cluster: str = ""
    """Key of the image or product that examples share; the bootstrap resamples a cluster as a whole."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """Values by slice, for which scores are also computed; never shown to a model."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Other values (a price, a name), which the Store keeps and ``mmeval data show`` prints; not used otherwise."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Inputs of models beside image and text; values that reveal labels or splits do not belong here."""
    unknown_labels: Mapping[str, str] = field(default_factory=dict)
    """By task, a label that is not one of its classes; the example counts as unlabelled, and the label is reported."""
    left_out_labels: Mapping[str, str] = field(default_factory=dict)
    """By task, a label whose class the variant omits on purpose; it is counted, and is no difference from the card."""
    where: str = ""
    """File and row, for messages."""


@dataclass(frozen=True)
class Rejected:
    """A row of a source that can't be used; ``rejected.parquet`` lists it, and the card states their number."""

    where: str
    """File and row: ``GLAMI-1M-train.csv, row 7``."""
    reason: str
    """Why the row can't be used, in a few words."""
    id: str = ""
    """Id of the example or image, if known."""


class Source(Protocol):
    """A data set before it is prepared.

    Each call of ``examples`` and ``images`` starts from the beginning, always in the same order.
    """

    @property
    def identity(self) -> Mapping[str, str]:
        """Everything that the content depends on (versions, sizes, digests), fast to compute. Identifies the Store."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, with classes in the order of their indices."""

    @property
    def size(self) -> int:
        """Number of images, for the progress bar."""

    def images(self) -> Iterator[tuple[str, ImageData | Callable[[], ImageData]]]:
        """Yield each image once: its key, and the image or a function that reads it.

        Functions are called from several threads, and not for images that an earlier attempt has prepared. If a
        function raises a :class:`mmeval.DataError` or a ``FileNotFoundError``, the image is rejected for that reason.
        """

    def examples(self) -> Iterator[Example | Rejected]:
        """Yield each example or rejected row, in the same order on every machine."""
