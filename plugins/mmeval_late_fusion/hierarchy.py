"""Tasks of which one is finer than the other: what the finer one says, said for the coarser one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn

from mmeval import ModelContext

NESTED = 0.999
"""Share of a fine class's examples that must be of one coarse class, for the tasks to be called nested."""


class Hierarchy(nn.Module):
    """Counts in training which classes occur together; a coarse class is then as likely as all the fine ones in it.

    The finer task has more to learn from: of emoji14's 98 subgroups each lies within one of its nine groups.
    """

    def __init__(self, context: ModelContext) -> None:
        """Which tasks are nested is seen in training, so there may be any."""
        super().__init__()
        sizes = {task.name: len(task.classes) for task in context.tasks}
        self.pairs = [(fine, coarse) for fine, coarse in permutations(sizes, 2) if sizes[fine] > sizes[coarse] > 1]
        for number, (fine, coarse) in enumerate(self.pairs):
            self.register_buffer(f"met_{number}", torch.zeros(sizes[fine], sizes[coarse]))

    @torch.no_grad()
    def meet(self, labels: Mapping[str, Tensor]) -> None:
        """Count the labels of a training batch, int64 ``[B]`` by task, -1 where there is none."""
        for number, (fine, coarse) in enumerate(self.pairs):
            if fine in labels and coarse in labels:
                known = (labels[fine] >= 0) & (labels[coarse] >= 0)
                met = self.get_buffer(f"met_{number}")
                ones = torch.ones_like(labels[fine][known], dtype=met.dtype)
                met.index_put_((labels[fine][known], labels[coarse][known]), ones, accumulate=True)

    def forward(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits by task; those of a task that a finer one decides become the log of the finer one's sums."""
        said = dict(logits)
        for number, (fine, coarse) in enumerate(self.pairs):
            met = self.get_buffer(f"met_{number}")
            own = met.sum(1, keepdim=True)
            if float(met.sum()) == 0 or float(met.amax(1).sum()) < NESTED * float(met.sum()):
                continue
            # A fine class that training never had says as much as the training split does.
            shares = torch.where(own > 0, met / own.clamp(min=1), met.sum(0) / met.sum())
            probabilities = logits[fine].float().softmax(-1) @ shares
            said[coarse] = probabilities.clamp(min=1e-9).log()
        return said
