"""CLIP's towers under a linear head (Radford et al. 2021, arXiv 2103.00020, section 3.2), frozen or fine-tuned."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Tuning, UserError
from mmeval.nn import ClassPrior, Heads, Output, TorchModel, image_encoder, text_encoder
from mmeval_clip.config import ClipConfig
from mmeval_clip.prompts import ENGLISH, sentences, spoken
from mmeval_clip.zero_shot import class_vectors, prompt_encoder, require_joint, require_prompts, scale_of

START, LARGEST = math.log(1 / 0.07), math.log(100)
"""The contrastive loss's log scale: where it starts, and where it is clipped (section 2.5)."""


class ClipClassifier(TorchModel):
    """Embeddings of length 1 side by side, and one linear layer per task."""

    config: ClipConfig

    def __init__(self, config: ClipConfig, context: ModelContext) -> None:
        """Build the towers by name and the layers on top of them.

        Raises:
            UserError: options that don't go together.
        """
        super().__init__(config, context)
        image, text = (_tuning(config, one) for one in (config.image_tuning, config.text_tuning))
        _check(config, image.frozen and text.frozen)
        self.image_encoder = image_encoder(config.image_encoder, image)
        self.text_encoder = text_encoder(config.text_encoder, text)
        widths = (self.image_encoder.width, self.text_encoder.width)
        self.projections = nn.ModuleList(_projection(width, config) for width in widths if config.projection)
        if config.projection:
            widths = (config.projection, config.projection)
        self.heads = Heads(sum(widths), context)
        self.widths, self.dropout, self.prior = widths, nn.Dropout(config.dropout), ClassPrior(context)
        if config.head_init == "prompts":
            self._start_from_prompts()
        if config.contrastive_weight:
            require_joint(config, *widths, "contrastive_weight")
            self.log_scale = nn.Parameter(torch.tensor(START))

    def forward(self, batch: Batch) -> Output:
        """Logits of every task; in training also the contrastive loss."""
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        seen = torch.stack([batch.has_image, batch.has_text], 1)  # [B, 2]
        pooled = [self.image_encoder.pool(batch), self.text_encoder.pool(batch)]  # [B, D_I], [B, D_T]
        joint = [self._unit(number, x, seen[:, number]) for number, x in enumerate(pooled)]  # 2 x [B, D]
        losses = {}
        if self.training and self.config.contrastive_weight:
            loss = self._contrast(joint[0], joint[1], seen.all(1), batch.same_image())
            losses["contrastive"] = self.config.contrastive_weight * loss
        shown = self._drop_modality(seen) if self.training else seen
        parts = [torch.where(one[:, None], x, 0) for one, x in zip(shown.unbind(1), joint, strict=True)]
        # Times the root of the width: features of variance 1, which is what a linear layer's start and step suit.
        features = torch.cat([x * x.shape[1] ** 0.5 for x in parts], 1)  # [B, 2 D]
        return Output(self.prior(self.heads(self.dropout(features)), seen.any(1)), losses)

    def _unit(self, number: int, x: Tensor, seen: Tensor) -> Tensor:
        """A tower's ``[B, D]`` in the joint space, of length 1; zero where nothing is seen. What is missing goes first:
        NaN times zero is NaN."""
        x = torch.where(seen[:, None], x, 0)
        if self.projections:
            x = self.projections[number](x)
        return torch.where(seen[:, None], F.normalize(x.float(), dim=1), 0)

    def _drop_modality(self, seen: Tensor) -> Tensor:
        """For a share of the examples that have both, one of them, each as likely."""
        one = torch.rand(len(seen), device=seen.device) < self.config.modality_dropout
        kept = F.one_hot(torch.randint(2, (len(seen),), device=seen.device), 2).bool()
        return torch.where((one & seen.all(1))[:, None], kept, seen)

    def _contrast(self, image: Tensor, text: Tensor, both: Tensor, same: Tensor) -> Tensor:
        """CLIP's symmetric cross-entropy (figure 3) over the rows that have both.

        ``same`` ``[B, B]``: rows that show one image, as the names of it in several languages do. They are left out
        of each other's comparison, in which CLIP would hold that only one of the texts is the image's.
        """
        if not both.any():
            return self.log_scale * 0
        scale = self.log_scale.clamp(max=LARGEST).exp()
        logits = scale * image[both] @ text[both].T  # [b, b]
        others = same[both][:, both].fill_diagonal_(False)
        logits = logits.masked_fill(others, torch.finfo(logits.dtype).min)
        own = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    @torch.no_grad()
    def _start_from_prompts(self) -> None:
        """Weights with which the logits are ``scale * (cos(image, class) + cos(text, class)) / 2``; no bias.

        A class is the mean of its prompts over the training languages.
        """
        require_joint(self.config, *self.widths, "head_init=prompts")
        require_prompts(self.config, self.widths[0])
        scale = scale_of(self.config, self.image_encoder, self.text_encoder)
        prompts, width = sentences(self.config, self.context), self.widths[0]
        learned = self.context.languages or (ENGLISH,)
        asked = {(task, spoken(own, language)) for task, own in prompts.items() for language in learned}
        ensembles = {key: prompts[key[0]][key[1]] for key in sorted(asked)}
        vectors, _ = class_vectors(ensembles, prompt_encoder(self.config))
        for layer, task in zip(self.heads.layers, self.heads.tasks, strict=True):
            each = torch.stack([torch.from_numpy(own) for (of, _), own in vectors.items() if of == task])
            classes = F.normalize(each.mean(0), dim=1)  # [C, D]
            layer.weight.copy_(scale / 2 / width**0.5 * torch.cat([classes, classes], 1))  # type: ignore[operator]
            layer.bias.zero_()  # type: ignore[operator]


def _projection(width: int, config: ClipConfig) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Dropout(config.dropout), nn.Linear(width, config.projection, bias=False)
    )


def _tuning(config: ClipConfig, tuning: Tuning) -> Tuning:
    return Tuning(frozen=True) if config.mode == "linear" else tuning


def _check(config: ClipConfig, frozen: bool) -> None:
    if config.mode == "fine-tune" and frozen:
        raise UserError("mode=fine-tune with both towers frozen is mode=linear; write that.")
    if config.head_init == "prompts" and config.projection:
        raise UserError("head_init=prompts needs the towers' own joint space; add projection=0.")
    if config.contrastive_weight and frozen and not config.projection:
        raise UserError("contrastive_weight with frozen towers has nothing to teach; add projection=256.")
