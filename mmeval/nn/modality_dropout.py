"""Modality dropout: hide a modality of some training examples, so that a model copes with a missing one."""

from __future__ import annotations

import torch
from torch import Tensor


def drop_modality(present: Tensor, probability: float) -> Tensor:
    """Hide one of the two modalities of randomly chosen examples; call it in training only.

    Modality dropout as in Neverova et al. 2016 (ModDrop). An example with one modality keeps it.

    Args:
        present: bool ``[B, 2]``, whether an example has each modality.
        probability: of hiding a modality; either is hidden equally often.

    Returns:
        Bool ``[B, 2]``: the modalities that remain.
    """
    keep_first = torch.rand(len(present), device=present.device) < 0.5
    chosen = torch.rand(len(present), device=present.device) < probability
    kept = torch.stack([keep_first, ~keep_first], 1)
    return present & (kept | ~(chosen & present.all(1))[:, None])
