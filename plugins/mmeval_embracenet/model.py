"""EmbraceNet (Choi and Lee 2019, arXiv 1904.09078): docking layers, embracement layer and terminal layers."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext
from mmeval.nn import (
    ClassPrior,
    Encoded,
    Heads,
    ImageInput,
    Output,
    TextEncoder,
    TorchModel,
    image_encoder,
    text_encoder,
    uniform,
)
from mmeval_embracenet.config import EmbraceNetConfig

IMAGE, TEXT = 0, 1


def selection(probabilities: Tensor, available: Tensor) -> Tensor:
    """Set the selection probabilities ``[B, m]`` of missing modalities to 0 and normalise each row (section 3.3).

    A row without any modality is all zero.
    """
    p = probabilities * available
    return p / p.sum(1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)


def embrace(docked: Tensor, chosen: Tensor) -> Tensor:
    """Return a vector that takes each feature from its chosen modality (equation 4).

    Args:
        docked: ``[B, m, c]``, docking outputs d_k.
        chosen: int64 ``[B, c]``, the modality of each feature.

    Returns:
        ``[B, c]``: e_j = d_{chosen_j, j}.
    """
    return docked.gather(1, chosen[:, None]).squeeze(1)


def choose(p: Tensor, u: Tensor) -> Tensor:
    """Choose modality k where the uniform number lies between the cumulative sums k - 1 and k of ``p``.

    A float32 sum may end below 1, and a number above it would choose a missing modality. So the interval of the last
    available modality reaches to 1.

    Args:
        p: ``[B, m]``, selection probabilities.
        u: ``[B, c]``, in [0, 1).

    Returns:
        int64 ``[B, c]``, modalities with ``p > 0`` unless the whole row is 0.
    """
    left = p.flip(1).cumsum(1).flip(1)[:, 1:]  # [B, m - 1], probability behind each edge
    edges = torch.where(left > 0, p.cumsum(1)[:, :-1], 1.0)
    return (u[:, :, None] >= edges[:, None]).sum(2)


class EmbraceNet(TorchModel):
    """Encoders, docking layers, embracement layer, and one linear terminal layer per task."""

    config: EmbraceNetConfig

    def __init__(self, config: EmbraceNetConfig, context: ModelContext) -> None:
        """Build the encoders by name and the layers on top of them."""
        super().__init__(config, context)
        self.image_encoder = image_encoder(config.image_encoder, config.image_tuning)
        self.image_encoder.input = _image_input(self.image_encoder.input, config)
        self.text_encoder = text_encoder(config.text_encoder, config.text_tuning, tokens=config.text_flat)
        text_width = self.text_encoder.width * (self.text_encoder.input.length if config.text_flat else 1)
        # Each further input is a modality of its own; few data sets have any (glami1m:paper).
        self.attributes = {name: len(values) for name, values in context.attributes.items()}
        widths = (self.image_encoder.width, text_width, *self.attributes.values())
        self.docking = nn.ModuleList(nn.Linear(width, config.width) for width in widths)
        self.terminal = Heads(config.width, context)
        self.dropout = nn.Dropout(config.dropout)
        self.prior = ClassPrior(context)
        self.multilabel = context.multilabel

    def forward(self, batch: Batch) -> Output:
        """Return logits of every task.

        ``modality_weights`` are the selection probabilities; ``embedding`` is the embraced vector, averaged over draws.
        """
        known = [batch.attributes[name] >= 0 for name in self.attributes]
        available = torch.stack([batch.has_image, batch.has_text, *known], 1)  # [B, m]
        docked = self._dock(batch, available)  # [B, m, c]
        if self.training:
            available = self._drop_modalities(available)
        p = selection(self._shares(docked.device).expand(available.shape), available)
        logits, embedding = self._classify(docked, p, batch.seeds)
        # An example without any modality gets the class prior.
        return Output(self.prior(logits, p.sum(1) > 0), modality_weights=p, embedding=embedding)

    def _dock(self, batch: Batch, available: Tensor) -> Tensor:
        """Return ``[B, m, c]``, d_k = ReLU(W_k x_k + b_k) (equation 1).

        Missing inputs become 0 first, since NaN times a selection probability of 0 is NaN.
        """
        assert self.image_encoder is not None
        assert self.text_encoder is not None
        inputs = [self.image_encoder(batch).pooled, self._text(self.text_encoder, batch)]
        for name, size in self.attributes.items():
            inputs.append(F.one_hot(batch.attributes[name].clamp(min=0), size).to(inputs[0].dtype))
        return torch.stack(
            [
                F.relu(layer(self.dropout(torch.where(present[:, None], x, 0))))
                for layer, x, present in zip(self.docking, inputs, available.unbind(1), strict=True)
            ],
            1,
        )

    def _text(self, encoder: TextEncoder, batch: Batch) -> Tensor:
        """Return the pooled text ``[B, D]``, or all token states ``[B, T * D]``, where ``T`` is the maximum length."""
        if not self.config.text_flat:
            return encoder.pool(batch)
        encoded: Encoded = encoder(batch)
        states = torch.where(encoded.mask[:, :, None], encoded.tokens, 0)
        return F.pad(states, (0, 0, 0, encoder.input.length - states.shape[1])).flatten(1)

    def _shares(self, device: torch.device) -> Tensor:
        """Return selection probabilities ``[m]``: 1 / m per attribute; image and text share the rest as configured."""
        m, image = len(self.docking), self.config.image_probability
        return torch.tensor([2 * image / m, 2 * (1 - image) / m, *[1 / m] * (m - 2)], device=device)

    def _drop_modalities(self, available: Tensor) -> Tensor:
        """Modality dropout (section 5.1): in some batches each sample keeps exactly one of its modalities."""
        if torch.rand(()) >= self.config.modality_dropout:
            return available
        score = torch.rand(available.shape, device=available.device).masked_fill(~available, -1)
        return available & F.one_hot(score.argmax(1), available.shape[1]).bool()

    def _classify(self, docked: Tensor, p: Tensor, seeds: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return logits ``[B, classes]`` by task, and the embraced vector ``[B, c]``."""
        if self.training:
            # multinomial rejects a row of zeros; the prior replaces the output of such a row later.
            rows = torch.where(p.sum(1, keepdim=True) > 0, p, 1.0)
            embraced = embrace(docked, torch.multinomial(rows, docked.shape[2], True))
            return self.terminal(embraced), embraced
        if self.config.eval_mode == "expectation":
            embraced = (p[:, :, None] * docked).sum(1)
            return self.terminal(embraced), embraced
        draws = 1 if self.config.eval_mode == "sample" else self.config.ensemble_size
        total: dict[str, Tensor] = {}
        mean = torch.zeros_like(docked[:, 0])
        for draw in range(draws):
            u = uniform(seeds, docked.shape[2], stream=draw)  # [B, c]
            embraced = embrace(docked, choose(p, u))
            mean = mean + embraced / draws
            for name, logits in self.terminal(embraced).items():
                # The log odds of each class, or the log-probabilities of all classes together.
                logs = logits.float() if name in self.multilabel else F.log_softmax(logits.float(), -1)
                total[name] = total.get(name, torch.zeros_like(logits)) + logs / draws
        return total, mean


def _image_input(published: ImageInput, config: EmbraceNetConfig) -> ImageInput:
    """Return the preprocessing of the encoder, with the size and normalisation of the options."""
    if config.image_size:
        height, width = map(int, config.image_size.split("x"))
        published = replace(published, height=height, width=width, crop=0.0)
    return published if config.image_normalised else replace(published, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
