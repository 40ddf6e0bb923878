"""The two levels of the model interface: a plain model, and what it is told when it is trained or predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmeval.data.examples import Examples


@dataclass(frozen=True)
class FitContext:
    """What a model is told when it is trained or asked."""

    seed: int
    """The training seed; all that is random must come from it."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:N``."""
    folder: Path
    """A folder for scratch files; they need not outlive the call."""


@runtime_checkable
class Model(Protocol):
    """The plain level of a model: all that is needed of one that isn't trained (zero-shot).

    Torch models subclass ``mmeval.nn.TorchModel`` instead and get this for free.
    """

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Yield blocks of probabilities ``{task: [n, classes]}``, in the order of ``examples``."""

    def save(self, folder: Path) -> None:
        """Write all that :meth:`load` needs into ``folder``; no pickle."""

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote, into a model built from the same config and context."""


@runtime_checkable
class TrainableModel(Model, Protocol):
    """A plain model that learns."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:
        """Learn from ``train``, select on ``validation``; returns facts for the record (JSON)."""
