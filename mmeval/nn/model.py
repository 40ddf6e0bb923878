"""The torch level of a model plugin."""

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
    """What a forward pass returns."""

    logits: Mapping[str, Tensor]
    """``[B, classes]`` by task; any shift per row is allowed, softmax makes them probabilities."""
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """Extra losses (scalars) that are added to the cross-entropy of the tasks."""
    modality_weights: Tensor | None = None
    """``[B, modalities]``, how much each modality counted; None where the model has no such notion."""


class TorchModel(nn.Module):
    """A model that the engine trains: define ``forward``, and assign encoders so that it can prepare their input."""

    def __init__(self, config: TorchConfig, context: ModelContext) -> None:
        """Keep config and context; both are saved beside the weights."""
        super().__init__()
        self.config, self.context = config, context
        self.image_encoder: ImageEncoder | None = None
        self.text_encoder: TextEncoder | None = None

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Logits of every task for a batch."""

    def learned_state(self) -> dict[str, Tensor]:
        """All parameters and buffers but those of encoders that don't learn and are to be had by name again."""
        elsewhere = {
            f"{name}.{key}"
            for name, module in self.named_modules()
            if isinstance(module, Encoder)
            for key in module.fixed()
        }
        return {k: v for k, v in self.state_dict().items() if k not in elsewhere}
