"""Dropout of whole features."""

from __future__ import annotations

from torch import Tensor, nn


class FeatureDropout(nn.Dropout):
    """Dropout that removes a feature from all tokens ``[B, T, D]`` of an example at once.

    Neighbouring tokens are similar: plain dropout would let them reveal the feature that one token lost.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with dropped features, in the same shape."""
        return x * super().forward(x.new_ones(len(x), 1, x.shape[2])) if self.training and self.p else x
