"""How a torch model is trained, and how its encoders learn: the options that all torch models share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval.api.config import Config, ModelConfig


class Recipe(Config):
    """How a torch model is trained."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the training split, at most."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better validation score after which training stops."""
    batch_size: int = Field(default=64, ge=1)
    """Examples per forward pass, over all devices."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged before the optimiser steps once."""
    optimizer: Literal["adam", "adamw", "bertadam"] = "adamw"
    """Adam, Adam with decoupled weight decay, or the latter without bias correction, as BERT was released with."""
    epsilon: float = Field(default=1e-8, gt=0, lt=1)
    """Added to the denominator of Adam's update; 1e-6 in BertAdam."""
    learning_rate: float = Field(default=1e-3, gt=0, lt=10)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of matrices; vectors (biases, norms) have none."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Learning rate after the warm-up: held, or down to zero at the last epoch in a line or half a cosine."""
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of all steps in which the learning rate rises linearly from zero."""
    schedule_steps: Literal["global", "per-parameter"] = "global"
    """Which steps warm-up and schedule count: those of the training, or, as in BertAdam, those in which a parameter
    tensor had a gradient, so that an encoder that `frozen_epochs` releases later begins with a warm-up of its own."""
    plateau_patience: int = Field(default=0, ge=0)
    """Epochs without a better validation score after which the learning rate is halved on top; 0 means never."""
    modality_dropout: float = Field(default=0.0, ge=0, le=1)
    """Probability that a training example which has image and text is shown just one of them, either as likely."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing of the cross-entropy."""
    max_grad_norm: float = Field(default=0.0, ge=0)
    """Largest gradient norm; 0 means unclipped."""
    grad_clip: Literal["global", "per-parameter"] = "global"
    """Which norm `max_grad_norm` limits: the norm of all gradients together, or of each parameter tensor by itself
    (BertAdam)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 on a GPU that has it, else fp32."""


class Tuning(Config):
    """How an encoder learns within a model."""

    frozen: bool = False
    """Keep all of it as it is; what it makes of each image or text is then computed once and cached."""
    frozen_layers: int = Field(default=0, ge=0)
    """Keep the first N of its blocks as they are, counted from the input; embeddings are the first."""
    frozen_epochs: int = Field(default=0, ge=0)
    """Give its layers no gradient in the first N epochs."""
    lr_multiplier: float = Field(default=1.0, gt=0)
    """Its learning rate as a multiple of the recipe's."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor on the learning rate from each block to the one below it."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of low-rank adapters (LoRA, arXiv 2106.09685) that learn in its place; 0 means none."""
    lora_alpha: int = Field(default=16, ge=1)
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the adapters' input."""
    checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time."""


class TorchConfig(ModelConfig):
    """Base of the configuration of a torch model, which the engine trains."""

    recipe: Recipe = Recipe()
    """How the model is trained."""
