"""Options that all torch models share: the training recipe, and the tuning of encoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval.api.config import Config, ModelConfig


class Recipe(Config):
    """Training of a torch model."""

    epochs: int = Field(default=10, ge=1)
    """Largest number of passes over the training split."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better validation score before training stops."""
    batch_size: int = Field(default=64, ge=1)
    """Examples per forward pass, over all devices."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged for one step of the optimizer."""
    optimizer: Literal["adam", "adamw", "bertadam"] = "adamw"
    """Adam, AdamW (decoupled weight decay), or BertAdam (AdamW without bias correction, as in the release of BERT)."""
    epsilon: float = Field(default=1e-8, gt=0, lt=1)
    """Constant in the denominator of Adam's update; BertAdam uses 1e-6."""
    learning_rate: float = Field(default=1e-3, gt=0, lt=10)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of matrices; biases and norms have none."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Learning rate after the warm-up: constant, or falling to zero at the last epoch, linearly or as a cosine."""
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of all steps during which the learning rate rises linearly from zero."""
    schedule_steps: Literal["global", "per-parameter"] = "global"
    """Steps that warm-up and schedule count: all steps, or for each parameter tensor those in which it had a gradient
    (BertAdam), so that an encoder frozen by `frozen_epochs` starts with its own warm-up."""
    plateau_patience: int = Field(default=0, ge=0)
    """Epochs without a better validation score before the learning rate is also halved; 0 means never."""
    modality_dropout: float = Field(default=0.0, ge=0, le=1)
    """Probability that a training example with image and text loses one of them, each equally likely."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing of the cross-entropy."""
    max_grad_norm: float = Field(default=0.0, ge=0)
    """Largest gradient norm; 0 means no clipping."""
    grad_clip: Literal["global", "per-parameter"] = "global"
    """Norm that `max_grad_norm` limits: of all gradients together, or of each parameter tensor alone (BertAdam)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numeric precision; `auto` is bf16 on a GPU that supports it, else fp32."""


class Tuning(Config):
    """Training of an encoder within a model."""

    frozen: bool = False
    """Do not train the encoder; its embeddings are then computed once and cached."""
    frozen_layers: int = Field(default=0, ge=0)
    """Do not train the first N blocks, counted from the input; the embedding layer is the first block."""
    frozen_epochs: int = Field(default=0, ge=0)
    """Do not train the encoder in the first N epochs."""
    lr_multiplier: float = Field(default=1.0, gt=0)
    """Learning rate of the encoder as a multiple of the recipe's."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor of the learning rate from each block to the block below."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of low-rank adapters (LoRA, arXiv 2106.09685), which are trained instead of the encoder; 0 means none."""
    lora_alpha: int = Field(default=16, ge=1)
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the adapters' input."""
    checkpointing: bool = False
    """Recompute activations in the backward pass (gradient checkpointing): less memory, more time."""


class TorchConfig(ModelConfig):
    """Base of the configs of torch models."""

    recipe: Recipe = Recipe()
    """Training of the model."""
