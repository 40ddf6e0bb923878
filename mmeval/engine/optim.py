"""Optimiser and learning-rate schedule of a recipe."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mmeval.nn.tuning import encoders, rates
from mmeval.plugin.recipe import Recipe


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or AdamW over what learns; weight decay on matrices only, learning rates as the encoders' tuning says."""
    factors = {p: factor for encoder in encoders(model) for p, factor in rates(encoder).items()}
    # One at least: what has nothing to learn gets an optimiser all the same.
    groups: dict[tuple[float, float], list[nn.Parameter]] = {(1.0, 0.0): []}
    for p in model.parameters():
        if p.requires_grad:
            key = (factors.get(p, 1.0), recipe.weight_decay if p.ndim > 1 else 0.0)
            groups.setdefault(key, []).append(p)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(
        [
            {"params": params, "lr": recipe.learning_rate * factor, "weight_decay": decay}
            for (factor, decay), params in groups.items()
        ],
        fused=True,
    )


def schedule(optim: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """Linear warm-up, then constant, or down to zero at step ``steps`` in a line or half a cosine."""
    warm = int(recipe.warmup * steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "linear":
            return (steps - step) / max(1, steps - warm)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return LambdaLR(optim, factor)
