"""Late fusion in torch: two vectors, normalised, under heads that learn side by side."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext
from mmeval.nn import ClassPrior, Output, TorchModel, image_encoder, text_encoder
from mmeval_late_fusion.config import LateFusionConfig
from mmeval_late_fusion.hierarchy import Hierarchy

LONGEST = 1e6
"""Examples after which the running mean forgets: it then follows an encoder that still learns."""
FARTHEST = 5.0
"""Standard deviations at which a feature is cut off; some of a ReLU's are nearly always 0."""


class Standard(nn.Module):
    """Each feature minus its mean, over its standard deviation, among the training examples met so far."""

    mean: Tensor
    square: Tensor
    count: Tensor

    def __init__(self, width: int) -> None:
        """``width`` features."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("square", torch.ones(width))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """``[B, D]`` -> the same; in training, rows that are ``present`` move the statistics first."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.training and bool(present.any()):
                self._meet(x[present].detach())
            deviation = (self.square - self.mean.square()).clamp(min=1e-8).sqrt()
            return ((x - self.mean) / deviation).clamp(-FARTHEST, FARTHEST)

    def _meet(self, rows: Tensor) -> None:
        self.count.add_(len(rows)).clamp_(max=LONGEST)
        share = len(rows) / self.count
        self.mean.lerp_(rows.mean(0), share)
        self.square.lerp_(rows.square().mean(0), share)


class MemberLinear(nn.Module):
    """A linear layer for each of ``K`` members: ``[K, B, in]`` -> ``[K, B, out]``."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        """Starts as ``nn.Linear`` does, each member anew."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-1, 1) / inputs**0.5)
        # Flat, so that it counts as a vector and has no weight decay.
        self.bias = nn.Parameter(torch.zeros(members * outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add."""
        members, _, outputs = self.weight.shape
        return torch.baddbmm(self.bias.to(x.dtype).view(members, 1, outputs), x, self.weight.to(x.dtype))


class Head(nn.Module):
    """``K`` linear classifiers or MLPs over the same vector."""

    def __init__(self, config: LateFusionConfig, inputs: int, outputs: int) -> None:
        """``outputs`` are the classes of all tasks."""
        super().__init__()
        self.members = config.members
        layers: list[nn.Module] = [nn.Dropout(config.input_dropout)]
        if config.head == "mlp":
            layers += [MemberLinear(self.members, inputs, config.width), nn.GELU(), nn.Dropout(config.dropout)]
            inputs = config.width
        self.layers = nn.Sequential(*layers, MemberLinear(self.members, inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs]`` -> ``[K, B, outputs]``; in training each member drops other features."""
        logits: Tensor = self.layers(x.expand(self.members, *x.shape))
        return logits


class LateFusion(TorchModel):
    """Two encoders; their vectors side by side under one head, or each under its own."""

    config: LateFusionConfig

    def __init__(self, config: LateFusionConfig, context: ModelContext) -> None:
        """Build the encoders by name and the heads on top of them."""
        super().__init__(config, context)
        self.image_encoder = image_encoder(config.image_encoder, config.image_tuning)
        self.text_encoder = text_encoder(config.text_encoder, config.text_tuning)
        widths = (self.image_encoder.width, self.text_encoder.width)
        self.norms = nn.ModuleList(Standard(width) for width in widths if config.normalise == "standard")
        self.sizes = [len(task.classes) for task in context.tasks]
        make = partial(Head, config, outputs=sum(self.sizes))
        self.heads = nn.ModuleList(map(make, [sum(widths)] if config.fusion == "concat" else widths))
        self.prior = ClassPrior(context)
        self.hierarchy = Hierarchy(context) if config.from_finer else None

    def forward(self, batch: Batch) -> Output:
        """Logits of every task."""
        shown = torch.stack([batch.has_image, batch.has_text], 1)  # [B, 2]
        if self.training:
            shown = self._drop_modalities(shown)
        votes, counted = self._votes(self._vectors(batch, shown), shown)  # [V, B, outputs], [V, B]
        parts = dict(zip((task.name for task in self.context.tasks), torch.split(votes, self.sizes, 2), strict=True))
        if len(votes) == 1:
            return Output(self._said({task: part[0] for task, part in parts.items()}, counted[0], batch))
        logs = {task: part.float().log_softmax(2) for task, part in parts.items()}
        share = counted / counted.sum(0).clamp(min=1)  # [V, B]
        mean = {task: (part * share[:, :, None]).sum(0) for task, part in logs.items()}
        logits = self._said(mean, counted.any(0), batch)
        if not (self.training and batch.labels):
            return Output(logits)
        # Each learns by itself, as if it were alone; what all say together is only asked for.
        losses = self._losses(parts, counted, batch.labels)
        return Output({task: one.detach() for task, one in logits.items()}, losses)

    def _said(self, logits: Mapping[str, Tensor], known: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What is answered in the end: a coarser task follows a finer one, and nothing known is the prior."""
        if self.hierarchy is not None and self.training:
            # While it learns, each task answers for itself: else the coarser one would teach the finer one alone.
            self.hierarchy.meet(batch.labels)
        elif self.hierarchy is not None:
            logits = self.hierarchy(logits)
        said: dict[str, Tensor] = self.prior(logits, known)
        return said

    def _vectors(self, batch: Batch, shown: Tensor) -> list[Tensor]:
        """Normalised vectors of image and text; 0, which is the mean, where there is none."""
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        found = []
        pooled = (self.image_encoder.pool(batch), self.text_encoder.pool(batch))
        for number, (x, present) in enumerate(zip(pooled, shown.unbind(1), strict=True)):
            x = torch.where(present[:, None], x, 0)  # NaN times zero is NaN
            if self.config.normalise == "standard":
                x = self.norms[number](x, present)
            elif self.config.normalise == "layer":
                x = F.layer_norm(x, x.shape[1:])
            found.append(torch.where(present[:, None], x, 0))
        return found

    def _votes(self, vectors: list[Tensor], shown: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each that votes ``[V, B, outputs]``, and bool ``[V, B]`` whether it has something to go by."""
        if self.config.fusion == "concat":
            votes = self.heads[0](torch.cat(vectors, 1))
            return votes, shown.any(1).expand(len(votes), -1)
        each = [head(x) for head, x in zip(self.heads, vectors, strict=True)]
        return torch.cat(each), shown.t().repeat_interleave(self.config.members, 0)

    def _losses(self, parts: Mapping[str, Tensor], counted: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy by task: mean over examples, summed over members, averaged over modalities."""
        losses = {}
        smoothing = self.config.recipe.label_smoothing
        for task, own in labels.items():
            target = torch.where(counted, own, -1)  # [V, B]
            if (target >= 0).any():
                loss = F.cross_entropy(
                    parts[task].float().flatten(0, 1), target.flatten(), ignore_index=-1, label_smoothing=smoothing
                )
                # Summed over members, so that neither their number nor company moves what one of them learns.
                losses[f"members of {task}"] = loss * self.config.members
        return losses

    def _drop_modalities(self, shown: Tensor) -> Tensor:
        """For a share of the examples that have both, keep one, each as likely."""
        first = torch.rand(len(shown), device=shown.device) < 0.5
        dropped = torch.rand(len(shown), device=shown.device) < self.config.modality_dropout
        keep = torch.stack([first, ~first], 1) | ~(dropped & shown.all(1))[:, None]
        return shown & keep
