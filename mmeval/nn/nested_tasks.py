"""Nested tasks: the probabilities of a coarse task as sums of those of a finer task."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn

from mmeval.api.task import ModelContext

MIN_NESTED = 0.999
"""Two tasks are nested if at least this share of the training examples fits: each fine class is assigned to the coarse
class that it occurs with most often. Below 1, to tolerate a few wrong labels."""


class NestedTasks(nn.Module):
    """Derives the predictions of a coarse task from a finer task whose classes each lie within one coarse class.

    In training, the module counts which classes occur together and leaves the logits unchanged, so that each task
    learns from its own labels. In evaluation, the logits of a coarse task become the log of summed fine probabilities
    if the counts show that the tasks are nested. For example, each of emoji14's 98 subgroups lies within one of its
    nine groups. The counts are saved with the weights. A multi-label task is never nested: the probabilities of its
    classes do not add up to those of a coarser class.
    """

    def __init__(self, context: ModelContext, *, enabled: bool = True) -> None:
        """Prepare a table of counts for every pair of tasks of which one has more classes than the other.

        Args:
            context: gives the tasks and their classes.
            enabled: False for a module that returns all logits unchanged and counts nothing.
        """
        super().__init__()
        single = [task for task in context.tasks if not task.multilabel]
        sizes = {task.name: len(task.classes) for task in single} if enabled else {}
        self.pairs = [(fine, coarse) for fine, coarse in permutations(sizes, 2) if sizes[fine] > sizes[coarse] > 1]
        for number, (fine, coarse) in enumerate(self.pairs):
            self.register_buffer(f"counts_{number}", torch.zeros(sizes[fine], sizes[coarse]))

    def forward(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits ``[B, classes]`` by task.

        Args:
            logits: ``[B, classes]`` by task.
            labels: int64 ``[B]`` by task, -1 for a missing label; read in training only.
        """
        if self.training:
            self._count(labels)
            return dict(logits)
        derived = dict(logits)
        for number, (fine, coarse) in enumerate(self.pairs):
            counts = self.get_buffer(f"counts_{number}")  # [fine classes, coarse classes]
            probabilities = logits[fine].float().softmax(-1) @ _coarse_shares(counts)
            # A choice of tensors, not a branch, so that the model can be exported.
            derived[coarse] = torch.where(_nested(counts), probabilities.clamp(min=1e-9).log(), derived[coarse])
        return derived

    @torch.no_grad()
    def _count(self, labels: Mapping[str, Tensor]) -> None:
        for number, (fine, coarse) in enumerate(self.pairs):
            if fine in labels and coarse in labels:
                known = (labels[fine] >= 0) & (labels[coarse] >= 0)
                counts = self.get_buffer(f"counts_{number}")
                ones = torch.ones_like(labels[fine][known], dtype=counts.dtype)
                counts.index_put_((labels[fine][known], labels[coarse][known]), ones, accumulate=True)


def _nested(counts: Tensor) -> Tensor:
    """Return a bool scalar: whether nearly all examples of each fine class have the same coarse class."""
    total = counts.sum()
    return (total > 0) & (counts.amax(1).sum() >= MIN_NESTED * total)


def _coarse_shares(counts: Tensor) -> Tensor:
    """Return the distribution over coarse classes of each fine class; of all examples if training lacked the class."""
    of_class = counts.sum(1, keepdim=True)
    return torch.where(of_class > 0, counts / of_class.clamp(min=1), counts.sum(0) / counts.sum().clamp(min=1))
