"""Standardization of features with running statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 1e6
"""Number of examples that the statistics remember. Up to it they are exact; later ones follow an encoder that changes
in training."""
MAX_DEVIATIONS = 5.0
"""Standardized features are clipped here: features that are almost always 0, as after a ReLU, have huge outliers."""


class RunningStandardizer(nn.Module):
    """Scales each feature to mean 0 and variance 1 over the training examples seen so far.

    Unlike batch normalization, training and evaluation use the same statistics, and missing examples don't count.
    """

    mean: Tensor
    square: Tensor
    """Mean of the squares."""
    count: Tensor

    def __init__(self, width: int) -> None:
        """Start with mean 0 and variance 1 for ``width`` features."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("square", torch.ones(width))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Standardize ``[B, width]`` in float32; in training, first update the statistics.

        Only the rows where bool ``present`` ``[B]`` is True count for the statistics.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.training and bool(present.any()):
                self._update(x[present].detach())
            deviation = (self.square - self.mean.square()).clamp(min=1e-8).sqrt()
            return ((x - self.mean) / deviation).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)

    def _update(self, rows: Tensor) -> None:
        self.count.add_(len(rows)).clamp_(max=MEMORY)
        weight = len(rows) / self.count
        self.mean.lerp_(rows.mean(0), weight)
        self.square.lerp_(rows.square().mean(0), weight)
