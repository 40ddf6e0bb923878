"""Ensembles: classifiers that are trained side by side, the average of their predictions, and their losses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmeval.api.task import ModelContext
from mmeval.nn.heads import classification_loss
from mmeval.nn.model import Output


class EnsembleLinear(nn.Module):
    """``K`` independent linear layers as one batched product: ``[K, B, inputs]`` -> ``[K, B, outputs]``."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        """Draw the weights of each member as ``nn.Linear`` does; the biases start at 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-1, 1) / inputs**0.5)
        # One-dimensional, because the optimizer excludes vectors from weight decay.
        self.bias = nn.Parameter(torch.zeros(members * outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply layer ``k`` to ``x[k]``."""
        members, _, outputs = self.weight.shape
        return torch.baddbmm(self.bias.to(x.dtype).view(members, 1, outputs), x, self.weight.to(x.dtype))


class EnsembleHeads(nn.Module):
    """``K`` independent classifiers (the members) on the same features.

    Each member has its own initial weights and its own dropout masks. It is a linear layer, or an MLP with one hidden
    layer, and predicts all tasks. Train the members with :func:`member_losses`; predict with
    :func:`average_log_probabilities`. With one member and no dropout this is :class:`Heads`.
    """

    def __init__(
        self,
        width: int,
        context: ModelContext,
        *,
        members: int,
        hidden: int | None = None,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
    ) -> None:
        """Create the members.

        Args:
            width: number of input features.
            context: gives the tasks and their classes.
            members: ``K``.
            hidden: number of hidden units of the MLPs; None for linear layers.
            input_dropout: dropout of the input features.
            hidden_dropout: dropout of the hidden units.
        """
        super().__init__()
        self.members = members
        self.classes = {task.name: len(task.classes) for task in context.tasks}
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        if hidden is not None:
            layers += [EnsembleLinear(members, width, hidden), nn.GELU(), nn.Dropout(hidden_dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, EnsembleLinear(members, width, sum(self.classes.values())))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """``[B, width]`` -> logits ``[K, B, classes]`` by task."""
        logits = self.layers(features.expand(self.members, *features.shape))
        return dict(zip(self.classes, logits.split(list(self.classes.values()), 2), strict=True))


def average_log_probabilities(
    outputs: Sequence[Mapping[str, Tensor]], present: Tensor, multilabel: Collection[str] = ()
) -> dict[str, Tensor]:
    """Average the log-probabilities of all members of all heads; for multi-label tasks, their log odds.

    Args:
        outputs: the logits of each of ``M`` :class:`EnsembleHeads`, ``[K, B, classes]`` by task.
        present: bool ``[B, M]``, whether the input of a head is present; only then its members count.
        multilabel: names of the multi-label tasks (``context.multilabel``).

    Returns:
        Logits ``[B, classes]`` by task. Their softmax (sigmoid, if multi-label) is the normalized geometric mean of the
        members' probabilities. The logits of a single member are returned as they are.
    """
    logits, counted = _all_members(outputs, present)
    if len(counted) == 1:
        return {task: x[0] for task, x in logits.items()}
    weights = counted / counted.sum(0).clamp(min=1)  # [M K, B]
    return {
        task: ((x.float() if task in multilabel else x.float().log_softmax(2)) * weights[:, :, None]).sum(0)
        for task, x in logits.items()
    }


def member_losses(
    outputs: Sequence[Mapping[str, Tensor]],
    present: Tensor,
    labels: Mapping[str, Tensor],
    *,
    label_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """Return the (binary) cross-entropy of the members by task: summed over members, averaged over examples and heads.

    The sum makes the gradient of a member independent of how many others there are. Detach the averaged logits when
    these losses are used; otherwise the engine's own loss would train the members on their average too.

    Args:
        outputs: as for :func:`average_log_probabilities`.
        present: as for :func:`average_log_probabilities`.
        labels: by task as in :class:`Batch`, -1 for a missing label; a task without any label has no loss.
        label_smoothing: label smoothing of the cross-entropy.
    """
    logits, counted = _all_members(outputs, present)
    members = len(counted) // len(outputs)
    losses = {}
    for task, label in labels.items():
        counts = counted if label.ndim == 1 else counted[:, :, None]
        target = torch.where(counts, label, -1)  # [M K, B], of a multi-label task [M K, B, classes]
        loss = classification_loss(logits[task].flatten(0, 1), target.flatten(0, 1), label_smoothing)
        if loss is not None:
            losses[f"members of {task}"] = loss * members
    return losses


def ensemble_output(
    logits: Mapping[str, Tensor],
    outputs: Sequence[Mapping[str, Tensor]],
    present: Tensor,
    labels: Mapping[str, Tensor],
    *,
    label_smoothing: float = 0.0,
) -> Output:
    """Return the output of an ensemble: its averaged logits and, with labels and several members, the members' losses.

    Args:
        logits: the averaged logits ``[B, classes]`` by task, of which nothing is trained if the members have losses.
        outputs: as for :func:`average_log_probabilities`.
        present: as for :func:`average_log_probabilities`.
        labels: as for :func:`member_losses`; empty outside training.
        label_smoothing: label smoothing of the cross-entropy.
    """
    members = sum(len(next(iter(output.values()))) for output in outputs)
    if members == 1 or not labels:
        return Output(dict(logits))
    losses = member_losses(outputs, present, labels, label_smoothing=label_smoothing)
    return Output({task: x.detach() for task, x in logits.items()}, losses)


def _all_members(outputs: Sequence[Mapping[str, Tensor]], present: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Concatenate the members of all heads: logits ``[M K, B, classes]`` by task, bool ``[M K, B]`` who counts."""
    logits = {task: torch.cat([output[task] for output in outputs]) for task in outputs[0]}
    members = len(next(iter(logits.values()))) // len(outputs)
    return logits, present.t().repeat_interleave(members, 0)
