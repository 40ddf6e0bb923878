"""Options of EmbraceNet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class EmbraceNetConfig(TorchConfig):
    """Options of EmbraceNet; defaults are the preset ``tiny``."""

    image_encoder: str = "efficientnet-lite0:192"
    """Image encoder, by name."""
    text_encoder: str = "char-ngrams:131072x64"
    """Text encoder, by name."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    text_tuning: Tuning = Tuning()
    """How the text encoder learns."""
    image_size: str = Field(default="", pattern=r"^([1-9][0-9]{1,3}x[1-9][0-9]{1,3})?$")
    """HEIGHTxWIDTH in pixels, to which the whole image is stretched; empty: the encoder's own size."""
    image_normalised: bool = True
    """Normalise pixels with the encoder's mean and standard deviation; false: only divide them by 255, as GLAMI-1M's
    authors do."""
    text_flat: bool = False
    """Concatenate all token states of the text, padded with zeros, as GLAMI-1M's authors do; false: use the encoder's
    pooled vector."""
    width: int = Field(default=256, ge=1, le=65536)
    """Embracement size c: width of the fused vector (paper, section 3.2)."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout between each encoder and its docking layer; not in the paper (0 there)."""
    image_probability: float = Field(default=0.5, gt=0, lt=1)
    """Selection probability of the image; the text has the rest (paper: 0.5)."""
    modality_dropout: float = Field(default=0.5, ge=0, le=1)
    """Probability that each sample of a training batch keeps only one modality (paper, section 5.1)."""
    eval_mode: Literal["sample", "ensemble", "expectation"] = "ensemble"
    """Fusion in evaluation. `sample`: one draw as in the paper, seeded per example. `ensemble`: the mean
    log-probability over several draws, as the authors do in arXiv 2004.13918. `expectation`: the expected fused vector,
    which is not in the paper."""
    ensemble_size: int = Field(default=16, ge=1, le=1000)
    """Number of draws of `eval_mode=ensemble`."""
    recipe: Recipe = Recipe(
        epochs=12,
        patience=6,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=1e-4,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
