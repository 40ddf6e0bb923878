"""A linear head on CLIP's towers, frozen or fine-tuned (Radford et al. 2021, arXiv 2103.00020, section 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, Tuning, UserError
from mmeval.nn import ClassPrior, Heads, Output, TorchModel, image_encoder, text_encoder
from mmeval_clip.config import ClipConfig
from mmeval_clip.prompts import ENGLISH, prompt_language, sentences
from mmeval_clip.zero_shot import class_vectors, prompt_encoder, require_joint, require_prompts, scale_of

START, LARGEST = math.log(1 / 0.07), math.log(100)
"""Initial and largest value of the log scale in the contrastive loss (section 2.5)."""


class ClipClassifier(TorchModel):
    """Concatenates the normalised embeddings of image and text and classifies them with one linear layer per task."""

    config: ClipConfig

    def __init__(self, config: ClipConfig, context: ModelContext) -> None:
        """Build the towers by name and the layers on top of them.

        Raises:
            UserError: the options contradict each other.
        """
        super().__init__(config, context)
        image, text = (_tuning(config, tuning) for tuning in (config.image_tuning, config.text_tuning))
        _check(config, context, image.frozen and text.frozen)
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
        """Return logits of every task; in training also the contrastive loss."""
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        present = torch.stack([batch.has_image, batch.has_text], 1)  # [B, 2]
        pooled = [self.image_encoder.pool(batch), self.text_encoder.pool(batch)]  # [B, D_I], [B, D_T]
        joint = [self._unit(number, x, present[:, number]) for number, x in enumerate(pooled)]  # 2 x [B, D]
        losses = {}
        if self.training and self.config.contrastive_weight:
            loss = self._contrast(joint[0], joint[1], present.all(1), batch.same_image())
            losses["contrastive"] = self.config.contrastive_weight * loss
        shown = self._drop_modality(present) if self.training else present
        parts = [torch.where(column[:, None], x, 0) for column, x in zip(shown.unbind(1), joint, strict=True)]
        # The root of the width gives features of variance 1, as a linear layer's initial weights expect.
        features = torch.cat([x * x.shape[1] ** 0.5 for x in parts], 1)  # [B, 2 D]
        logits = self.prior(self.heads(self.dropout(features)), present.any(1))
        return Output(logits, losses, embedding=features)

    def _unit(self, number: int, x: Tensor, present: Tensor) -> Tensor:
        """Project a tower's output ``[B, D]`` to the joint space and normalise it; 0 for a missing input.

        Missing inputs become 0 before the projection too, since NaN times 0 is NaN.
        """
        x = torch.where(present[:, None], x, 0)
        if self.projections:
            x = self.projections[number](x)
        return torch.where(present[:, None], F.normalize(x.float(), dim=1), 0)

    def _drop_modality(self, present: Tensor) -> Tensor:
        """Hide image or text, each with the same probability, in some of the examples ``[B, 2]`` that have both."""
        drop = torch.rand(len(present), device=present.device) < self.config.modality_dropout
        kept = F.one_hot(torch.randint(2, (len(present),), device=present.device), 2).bool()
        return torch.where((drop & present.all(1))[:, None], kept, present)

    def _contrast(self, image: Tensor, text: Tensor, both: Tensor, same: Tensor) -> Tensor:
        """Return CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3), a scalar; 0 if no row has both inputs.

        Args:
            image: unit vectors ``[B, D]``.
            text: unit vectors ``[B, D]``.
            both: bool ``[B]``, the rows with image and text, which alone are used.
            same: bool ``[B, B]``, True for rows with the same image, such as its names in several languages; they are
                not each other's negatives.
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
        """Initialise the head so that logits are ``scale * (cos(image, class) + cos(text, class)) / 2``.

        The vector of a class is the mean over its prompts in the training languages.
        """
        require_joint(self.config, *self.widths, "head_init=prompts")
        require_prompts(self.config, self.widths[0])
        scale = scale_of(self.config, self.image_encoder, self.text_encoder)
        prompts, width = sentences(self.config, self.context), self.widths[0]
        languages = self.context.languages or (ENGLISH,)
        keys = {(task, prompt_language(own, language)) for task, own in prompts.items() for language in languages}
        ensembles = {(task, language): prompts[task][language] for task, language in sorted(keys)}
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


def _check(config: ClipConfig, context: ModelContext, frozen: bool) -> None:
    if config.mode == "fine-tune" and frozen:
        raise UserError("mode=fine-tune with both towers frozen is the same as mode=linear; set that.")
    if config.head_init == "prompts" and config.projection:
        raise UserError("head_init=prompts needs the towers' own joint space; add projection=0.")
    if config.head_init == "prompts" and context.multilabel:
        raise UserError(
            f"head_init=prompts gives logits for a softmax over the classes, and {min(context.multilabel)} is a "
            "multi-label task; add head_init=random."
        )
    if config.contrastive_weight and frozen and not config.projection:
        raise UserError("contrastive_weight has no effect on frozen towers without a projection; add projection=256.")
