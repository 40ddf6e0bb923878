"""Task heads, their loss, and the class prior for examples without inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
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


def classification_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor | None:
    """Return the mean loss of the labelled examples of a task, a scalar; None without any.

    Args:
        logits: ``[B, classes]``.
        labels: class indices, int64 ``[B]``, for the cross-entropy; or zeros and ones, ``[B, classes]``, for the binary
            cross-entropy of a multi-label task, averaged over the classes too. -1 marks an example without a label.
        smoothing: label smoothing. In the binary cross-entropy, the targets are ``smoothing / 2`` and
            ``1 - smoothing / 2``.
    """
    known = labels >= 0
    if not known.any():
        return None
    if labels.ndim == 1:
        return F.cross_entropy(logits.float(), labels, ignore_index=-1, label_smoothing=smoothing)
    targets = labels.float() * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits.float()[known], targets[known])


class ClassPrior(nn.Module):
    """The log prior of the classes in the training split, for examples without inputs.

    For a multi-label task, it is the log odds of each class.
    """

    def __init__(self, context: ModelContext) -> None:
        """Compute the prior from ``context.class_counts``; it is not saved with the weights."""
        super().__init__()
        self.tasks = tuple(task.name for task in context.tasks)
        for number, task in enumerate(context.tasks):
            if task.multilabel:
                log_prior = torch.tensor(context.shares(task.name)).clamp(1e-6, 1 - 1e-6).logit()
            else:
                counts = torch.tensor(context.class_counts[task.name], dtype=torch.float32)
                log_prior = (counts.clamp(min=1e-6) / counts.sum().clamp(min=1)).log()
            self.register_buffer(f"log_prior_{number}", log_prior, persistent=False)

    def forward(self, logits: Mapping[str, Tensor], present: Tensor) -> dict[str, Tensor]:
        """Replace the logits of examples for which ``present`` (bool ``[B]``) is False by the log prior."""
        priors = {task: self.get_buffer(f"log_prior_{number}") for number, task in enumerate(self.tasks)}
        return {task: torch.where(present[:, None], x, priors[task].to(x.dtype)) for task, x in logits.items()}
