"""Optimizer, gradient clipping and learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR

from mmeval.api.recipe import Recipe
from mmeval.nn.tuning import encoders, lr_multipliers

BETAS = (0.9, 0.999)


class BertAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay and without bias correction, the optimizer that BERT was released with.

    ``p <- p - lr * (m / (sqrt(v) + eps) + weight_decay * p)``, where m and v are Adam's moments. Without the correction
    the first step is (1 - beta1) / sqrt(1 - beta2) = 3.2 times as long as AdamW's; see Mosbach et al. 2021 (arXiv
    2006.04884). The released optimizer also clips each tensor by itself and counts the steps of each tensor by itself;
    here these are options of the recipe (``grad_clip``, ``schedule_steps``).
    """

    def __init__(self, groups: list[dict[str, Any]], eps: float = 1e-6) -> None:
        """``groups`` are parameter groups with ``params``, ``lr`` and ``weight_decay``."""
        super().__init__(groups, {"eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; ``closure`` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
                state["mean"].lerp_(p.grad, 1 - BETAS[0])
                state["square"].mul_(BETAS[1]).addcmul_(p.grad, p.grad, value=1 - BETAS[1])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-group["lr"])


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over all parameters that require a gradient.

    Weight decay applies to matrices only, and encoders have the learning rates of their tuning. With
    ``schedule_steps=per-parameter`` each tensor is a group by itself, because its learning rate follows its own steps.
    """
    multipliers = {p: factor for encoder in encoders(model) for p, factor in lr_multipliers(encoder).items()}
    # torch refuses an optimizer without a group, and a model without parameters to train gets one too.
    groups: dict[tuple[float, float, int], list[nn.Parameter]] = {(1.0, 0.0, 0): []}
    per_parameter = recipe.schedule_steps == "per-parameter"
    for number, p in enumerate(model.parameters()):
        if p.requires_grad:
            decay = recipe.weight_decay if p.ndim > 1 else 0.0
            key = (multipliers.get(p, 1.0), decay, number if per_parameter else 0)
            groups.setdefault(key, []).append(p)
    options = [
        {"params": params, "lr": recipe.learning_rate * multiplier, "weight_decay": decay}
        for (multiplier, decay, _), params in groups.items()
    ]
    if recipe.optimizer == "bertadam":
        return BertAdam(options, recipe.epsilon)
    optimizer_class = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return optimizer_class(options, betas=BETAS, eps=recipe.epsilon, fused=True)


def clip_each_gradient(model: nn.Module, max_norm: float) -> None:
    """Scale the gradient of each parameter tensor down to the norm ``max_norm``, as BertAdam does."""
    for p in model.parameters():
        if p.grad is not None:
            clip_grad_norm_(p, max_norm)


def build_scheduler(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """Return the recipe's learning-rate schedule over ``steps`` steps of the optimizer.

    After a linear warm-up the rate is constant, or falls to zero at the last step along a line or half a cosine.
    """
    warmup_steps = int(recipe.warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "linear":
            return (steps - step) / max(1, steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))

    return (PerGroupLambdaLR if recipe.schedule_steps == "per-parameter" else LambdaLR)(optimizer, factor)


class PerGroupLambdaLR(LambdaLR):
    """A schedule in which every parameter group counts only the steps in which it had a gradient.

    Call :meth:`step` after the optimizer's step and before ``zero_grad``, while the gradients are still there.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> None:
        """``factor`` gives the multiple of the base learning rate after a number of steps."""
        self.group_steps = [0] * len(optimizer.param_groups)
        super().__init__(optimizer, factor)

    def step(self, epoch: int | None = None) -> None:
        """Count a step for each group that has a gradient, and set all learning rates."""
        for number, group in enumerate(self.optimizer.param_groups):
            self.group_steps[number] += any(p.grad is not None for p in group["params"])
        super().step(epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each group."""
        groups = zip(self.base_lrs, self.lr_lambdas, self.group_steps, strict=True)
        return [base * factor(steps) for base, factor, steps in groups]
