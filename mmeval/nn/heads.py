"""The ends of a classifier: a linear layer per task, and what to say of an example that has nothing to show."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmeval.api.task import ModelContext


class Heads(nn.Module):
    """One linear layer per task. Tasks may have any names, which those of torch modules may not."""

    def __init__(self, width: int, context: ModelContext) -> None:
        """``width`` features go in; as many logits as a task has classes come out."""
        super().__init__()
        self.tasks = tuple(task.name for task in context.tasks)
        self.layers = nn.ModuleList(nn.Linear(width, len(task.classes)) for task in context.tasks)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """``[B, width]`` -> logits ``[B, classes]`` by task."""
        return {task: layer(features) for task, layer in zip(self.tasks, self.layers, strict=True)}


class ClassPrior(nn.Module):
    """Log shares of the classes in the training split, in place of logits that rest on nothing."""

    def __init__(self, context: ModelContext) -> None:
        """The shares come from ``context.class_counts``; they aren't saved with the weights."""
        super().__init__()
        self.tasks = tuple(task.name for task in context.tasks)
        for number, task in enumerate(context.tasks):
            counts = torch.tensor(context.class_counts[task.name], dtype=torch.float32)
            prior = counts.clamp(min=1e-6) / counts.sum().clamp(min=1)
            self.register_buffer(f"log_prior_{number}", prior.log(), persistent=False)

    def forward(self, logits: Mapping[str, Tensor], present: Tensor) -> dict[str, Tensor]:
        """Logits by task as they are where bool ``present`` ``[B]`` is True, else the log shares."""
        priors = {task: self.get_buffer(f"log_prior_{number}") for number, task in enumerate(self.tasks)}
        return {task: torch.where(present[:, None], x, priors[task].to(x.dtype)) for task, x in logits.items()}
