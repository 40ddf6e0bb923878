"""The base class of torch models, and their output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from mmeval.api.recipe import TorchConfig
from mmeval.api.task import ModelContext
from mmeval.data.batch import Batch
from mmeval.nn.encoder import Encoder, ImageEncoder, TextEncoder


@dataclass(frozen=True)
class Output:
    """The result of a model's forward pass."""

    logits: Mapping[str, Tensor]
    """``[B, classes]`` by task; the engine applies softmax, so any constant may be added to a row. To those of a
    multi-label task it applies the sigmoid, class by class."""
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """Extra losses (scalars) that are added to the (binary) cross-entropy of the tasks."""
    modality_weights: Tensor | None = None
    """``[B, modalities]``, the weight of each modality; None if the model has no such weights."""
    embedding: Tensor | None = None
    """``[B, D]``, the fused vector that the task heads read; None if the model has no such vector."""


class TorchModel(nn.Module):
    """Base of models that the engine trains.

    Define ``forward``, and assign ``image_encoder`` and ``text_encoder``, so that the engine can prepare their input.
    """

    def __init__(self, config: TorchConfig, context: ModelContext) -> None:
        """Store config and context, which are saved beside the weights."""
        super().__init__()
        self.config, self.context = config, context
        self.image_encoder: ImageEncoder | None = None
        self.text_encoder: TextEncoder | None = None

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Return the logits of every task for a batch."""

    def learned_state(self) -> dict[str, Tensor]:
        """Return the state to save: all parameters and buffers except published weights that never learn."""
        restorable = {
            f"{name}.{key}"
            for name, module in self.named_modules()
            if isinstance(module, Encoder)
            for key in module.restorable_state()
        }
        return {k: v for k, v in self.state_dict().items() if k not in restorable}
