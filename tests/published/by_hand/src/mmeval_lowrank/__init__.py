"""Low-rank Multimodal Fusion: the product of one low-rank factor per modality (Liu et al. 2018)."""

from typing import Any

from pydantic import Field

import mmeval

MMEVAL_API = "1.0"


class LowrankConfig(mmeval.TorchConfig):
    """Options of lowrank."""

    image_encoder: str = "efficientnet-lite0:192"
    """Image encoder, by name."""

    text_encoder: str = "char-ngrams:131072x64"
    """Text encoder, by name."""

    freeze_image: bool = True
    """Freeze the image encoder and cache its embeddings."""

    freeze_text: bool = False
    """Freeze the text encoder."""

    rank: int = Field(default=4, ge=1)
    """Rank r of the factors (paper, equation 6)."""

    width: int = Field(default=128, ge=1)
    """Features of the fused vector, d_h in the paper."""

    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of each encoder's output, before its factor."""


def _build(config: LowrankConfig, context: mmeval.ModelContext) -> Any:
    from mmeval_lowrank.model import Lowrank

    return Lowrank(config, context)


@mmeval.hookimpl
def register_models(register):
    register(
        mmeval.ModelSpec(
            name="lowrank",
            summary="elementwise product of a low-rank factor per modality, summed over the rank",
            config=LowrankConfig,
            build=_build,
            version="0.1.0",
            inputs=("image", "text"),
            paper="Efficient Low-rank Multimodal Fusion with Modality-Specific Factors, arXiv 1806.00064",
            licence="Apache-2.0; the weights of efficientnet-lite0 are Apache-2.0",
            presets={
                "tiny": {
                    "recipe.epochs": 12,
                    "recipe.patience": 6,
                    "recipe.batch_size": 256,
                    "recipe.learning_rate": 0.002,
                    "recipe.weight_decay": 0.0001,
                    "recipe.warmup_ratio": 0.1,
                },
            },
            references=("https://arxiv.org/abs/1806.00064",),
        )
    )
