"""Optimiser, gradient clipping and learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR

from mmeval.api.recipe import Recipe
from mmeval.nn.tuning import encoders, rates

BETAS = (0.9, 0.999)


class BertAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay and without bias correction, as BERT was released with.

    ``p <- p - lr * (m / (sqrt(v) + eps) + weight_decay * p)``, where m and v are Adam's moments. Without the correction
    the first step is (1 - beta1) / sqrt(1 - beta2) = 3.2 times as long as AdamW's; see Mosbach et al. 2021 (arXiv
    2006.04884). The released optimiser also clips each tensor and lets it count its own steps; here these are options
    of the recipe (``grad_clip``, ``schedule_steps``).
    """

    def __init__(self, groups: list[dict[str, Any]], eps: float = 1e-6) -> None:
        """``groups`` hold ``params``, ``lr`` and ``weight_decay``."""
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


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser of all parameters that learn.

    Weight decay is for matrices only; encoders have the learning rates of their tuning. With
    ``schedule_steps=per-parameter`` each tensor is a group of its own, since it has a learning rate of its own.
    """
    factors = {p: factor for encoder in encoders(model) for p, factor in rates(encoder).items()}
    # One at least: what has nothing to learn gets an optimiser all the same.
    groups: dict[tuple[float, float, int], list[nn.Parameter]] = {(1.0, 0.0, 0): []}
    apart = recipe.schedule_steps == "per-parameter"
    for number, p in enumerate(model.parameters()):
        if p.requires_grad:
            key = (factors.get(p, 1.0), recipe.weight_decay if p.ndim > 1 else 0.0, number if apart else 0)
            groups.setdefault(key, []).append(p)
    options = [
        {"params": params, "lr": recipe.learning_rate * factor, "weight_decay": decay}
        for (factor, decay, _), params in groups.items()
    ]
    if recipe.optimizer == "bertadam":
        return BertAdam(options, recipe.epsilon)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(options, betas=BETAS, eps=recipe.epsilon, fused=True)


def clip_each(model: nn.Module, largest: float) -> None:
    """Scale the gradient of each parameter tensor down to the norm ``largest``, as BertAdam does."""
    for p in model.parameters():
        if p.grad is not None:
            clip_grad_norm_(p, largest)


def schedule(optim: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """Linear warm-up, then constant, or down to zero at step ``steps`` in a line or half a cosine."""
    warm = int(recipe.warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "linear":
            return (steps - step) / max(1, steps - warm)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return (OwnSteps if recipe.schedule_steps == "per-parameter" else LambdaLR)(optim, factor)


class OwnSteps(LambdaLR):
    """A schedule in which every group of parameters counts the steps in which it had a gradient.

    Call ``step`` behind the optimiser's, while the gradients are still there.
    """

    def __init__(self, optim: torch.optim.Optimizer, factor: Callable[[int], float]) -> None:
        """``factor`` on the learning rate, by the steps that a group has taken."""
        self.taken = [0] * len(optim.param_groups)
        super().__init__(optim, factor)

    def step(self, epoch: int | None = None) -> None:
        """Count a step of each group that has a gradient, and set all learning rates."""
        for number, group in enumerate(self.optimizer.param_groups):
            self.taken[number] += any(p.grad is not None for p in group["params"])
        super().step(epoch)

    def get_lr(self) -> list[Any]:
        """Learning rate of each group."""
        return [
            base * factor(taken) for base, factor, taken in zip(self.base_lrs, self.lr_lambdas, self.taken, strict=True)
        ]
