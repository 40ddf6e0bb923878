"""The plain level of the model interface, and the context of its calls."""

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
    """Seed, device and scratch folder of one call of ``fit`` or ``predict``."""

    seed: int
    """The training seed; a model draws all its random numbers from it."""
    device: str
    """The device to compute on, already resolved: ``cpu`` or ``cuda:N``, never ``auto``."""
    folder: Path
    """A folder for scratch files; they are not needed after the call."""


@dataclass(frozen=True)
class ModelSize:
    """The size of a plain model, which its optional method ``size()`` returns when it is trained.

    A run records it as the model's efficiency. The engine counts torch models itself.
    """

    trained: int
    """Parameters that ``fit`` learns: weights and intercepts, but not statistics such as means."""
    fixed: int = 0
    """Parameters that never learn, without those of ``image_encoder`` and ``text_encoder``."""
    flops: float | None = None
    """Floating-point operations per example, without those of the two encoders; None if unknown."""
    image_encoder: str = ""
    """Name of the frozen encoder that embeds each image; empty for none."""
    text_encoder: str = ""
    """Name of the frozen encoder that embeds each text; empty for none."""


@runtime_checkable
class Model(Protocol):
    """A model that predicts without being trained (zero-shot); :class:`TrainableModel` adds ``fit``.

    Torch models subclass ``mmeval.nn.TorchModel`` instead, and the engine provides these methods. A plain model may
    have a method ``size()``, which returns its :class:`ModelSize`.
    """

    def predict(self, examples: Examples, context: FitContext) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """Yield blocks of probabilities ``{task: [n, classes]}``, in the order of ``examples``."""

    def save(self, folder: Path) -> None:
        """Write everything that :meth:`load` needs into ``folder``; pickle is not allowed."""

    def load(self, folder: Path) -> None:
        """Load the files of :meth:`save` into a model that was built from the same config and context."""


@runtime_checkable
class EmbeddingModel(Model, Protocol):
    """A plain model that has a fused vector for each example; torch models return it as ``Output.embedding``."""

    def embed(self, examples: Examples, context: FitContext) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of vectors ``[n, D]``, in the order of ``examples``."""


@runtime_checkable
class TrainableModel(Model, Protocol):
    """A plain model that is trained before it predicts."""

    def fit(self, train: Examples, validation: Examples, context: FitContext) -> Mapping[str, Any]:
        """Train on ``train`` and select on ``validation``; returns facts for the record (JSON)."""
