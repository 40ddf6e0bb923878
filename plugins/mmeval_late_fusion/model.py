"""Late fusion in PyTorch: two encoders, and a head on their concatenated vectors or one head for each."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext
from mmeval.nn import (
    ClassPrior,
    EnsembleHeads,
    NestedTasks,
    Output,
    RunningStandardizer,
    TorchModel,
    average_log_probabilities,
    drop_modality,
    ensemble_output,
    image_encoder,
    text_encoder,
)
from mmeval_late_fusion.config import LateFusionConfig


class LateFusion(TorchModel):
    """Two encoders whose vectors are concatenated under one head, or whose heads' predictions are averaged."""

    config: LateFusionConfig

    def __init__(self, config: LateFusionConfig, context: ModelContext) -> None:
        """Create the encoders and heads that ``config`` names."""
        super().__init__(config, context)
        self.image_encoder = image_encoder(config.image_encoder, config.image_tuning)
        self.text_encoder = text_encoder(config.text_encoder, config.text_tuning)
        widths = [self.image_encoder.width, self.text_encoder.width]
        self.standardizers = nn.ModuleList(RunningStandardizer(w) for w in widths if config.normalise == "standard")
        self.heads = nn.ModuleList(
            EnsembleHeads(
                width,
                context,
                members=config.members,
                hidden=config.width if config.head == "mlp" else None,
                input_dropout=config.input_dropout,
                hidden_dropout=config.dropout,
            )
            for width in ([sum(widths)] if config.fusion == "concat" else widths)
        )
        self.nested_tasks = NestedTasks(context, enabled=config.from_finer)
        self.prior = ClassPrior(context)
        self.multilabel = context.multilabel

    def forward(self, batch: Batch) -> Output:
        """Return the logits of every task; in training an ensemble adds the losses of its members."""
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        present = torch.stack([batch.has_image, batch.has_text], 1)  # [B, 2]
        if self.training:
            present = drop_modality(present, self.config.modality_dropout)
        vectors = [self.image_encoder.pool(batch), self.text_encoder.pool(batch)]  # [B, D] each
        vectors = [self._normalise(number, x, present[:, number]) for number, x in enumerate(vectors)]
        if self.config.fusion == "concat":
            vectors, present = [torch.cat(vectors, 1)], present.any(1, keepdim=True)
        embedding = torch.cat(vectors, 1)  # with either fusion
        outputs = [head(x) for head, x in zip(self.heads, vectors, strict=True)]
        logits = self.nested_tasks(average_log_probabilities(outputs, present, self.multilabel), batch.labels)
        logits = self.prior(logits, present.any(1))
        labels = batch.labels if self.training else {}
        smoothing = self.config.recipe.label_smoothing
        output = ensemble_output(logits, outputs, present, labels, label_smoothing=smoothing)
        return replace(output, embedding=embedding)

    def _normalise(self, modality: int, x: Tensor, present: Tensor) -> Tensor:
        """Normalise the vectors ``[B, D]`` of a modality; they are 0 where it is missing."""
        x = torch.where(present[:, None], x, 0)  # before any arithmetic, because NaN times 0 is NaN
        if self.config.normalise == "standard":
            x = self.standardizers[modality](x, present)
        elif self.config.normalise == "layer":
            x = F.layer_norm(x, x.shape[1:])
        return torch.where(present[:, None], x, 0)
