"""Task heads, and the class prior for examples without inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmeval.api.task import ModelContext


class Heads(nn.Module):
    """One linear layer per task.

    Layers are registered by number, because names of tasks may have characters that torch does not allow.
    """

    def __init__(self, width: int, context: ModelContext) -> None:
        """``width`` is the number of input features; a task gets as many logits as it has classes."""
        super().__init__()
        self.tasks = tuple(task.name for task in context.tasks)
        self.layers = nn.ModuleList(nn.Linear(width, len(task.classes)) for task in context.tasks)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits ``[B, classes]`` by task for features ``[B, width]``."""
        return {task: layer(features) for task, layer in zip(self.tasks, self.layers, strict=True)}


class ClassPrior(nn.Module):
    """The log prior of the classes in the training split, for examples without inputs."""

    def __init__(self, context: ModelContext) -> None:
        """Compute the prior from ``context.class_counts``; it is not saved with the weights."""
        super().__init__()
        self.tasks = tuple(task.name for task in context.tasks)
        for number, task in enumerate(context.tasks):
            counts = torch.tensor(context.class_counts[task.name], dtype=torch.float32)
            prior = counts.clamp(min=1e-6) / counts.sum().clamp(min=1)
            self.register_buffer(f"log_prior_{number}", prior.log(), persistent=False)

    def forward(self, logits: Mapping[str, Tensor], present: Tensor) -> dict[str, Tensor]:
        """Replace the logits of examples for which ``present`` (bool ``[B]``) is False by the log prior."""
        priors = {task: self.get_buffer(f"log_prior_{number}") for number, task in enumerate(self.tasks)}
        return {task: torch.where(present[:, None], x, priors[task].to(x.dtype)) for task, x in logits.items()}
