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
    """HEIGHTxWIDTH in pixels, to which the whole image is stretched; empty: as the encoder was published."""
    image_normalised: bool = True
    """Normalise pixels as the encoder was published; False: only divide them by 255, as GLAMI-1M's authors do."""
    text_flat: bool = False
    """Read all token states of the text side by side, zeros behind its end, as GLAMI-1M's authors do; else `pooled`."""
    width: int = Field(default=256, ge=1, le=65536)
    """Embracement size c: features of the fused vector (paper, section 3.2)."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of each encoder's output, before its docking layer; not in the paper (0 there)."""
    image_probability: float = Field(default=0.5, gt=0, lt=1)
    """Selection probability of the image; the text has the rest (paper: equal)."""
    modality_dropout: float = Field(default=0.5, ge=0, le=1)
    """Probability, per training batch, that each of its samples keeps just one modality (paper, section 5.1)."""
    eval_mode: Literal["sample", "ensemble", "expectation"] = "ensemble"
    """In evaluation: one draw as in the paper, seeded per example; the mean log-probability over draws, as the
    authors do in arXiv 2004.13918; or the expected fused vector, which is not the paper's."""
    ensemble_size: int = Field(default=16, ge=1, le=1000)
    """Draws of the mode `ensemble`."""
    recipe: Recipe = Recipe(
        epochs=12,
        patience=6,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=1e-4,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
