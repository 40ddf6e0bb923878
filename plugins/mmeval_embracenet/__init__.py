"""EmbraceNet: each feature of the fused vector comes from a randomly drawn modality (Choi and Lee 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_embracenet.config import EmbraceNetConfig

if TYPE_CHECKING:
    from mmeval_embracenet.model import EmbraceNet

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@article{choi2019embracenet,
  title = {{EmbraceNet}: A robust deep learning architecture for multimodal classification},
  author = {Choi, Jun-Ho and Lee, Jong-Seok},
  journal = {Information Fusion},
  volume = {51},
  year = {2019},
  note = {arXiv:1904.09078}
}"""

GLAMI = {
    "image_encoder": "timm:resnext50_32x4d.tv_in1k",
    "image_tuning.frozen": False,
    "image_size": "298x228",
    "image_normalised": False,
    "text_encoder": "hf:google/mt5-small?length=32",
    "text_tuning.frozen": True,
    "text_flat": True,
    "width": 512,
    "dropout": 0.0,
    "modality_dropout": 0.0,
    "eval_mode": "sample",
    "recipe.optimizer": "adam",
    "recipe.learning_rate": 1e-3,
    "recipe.weight_decay": 0.0,
    "recipe.schedule": "constant",
    "recipe.warmup_ratio": 0.0,
    "recipe.batch_size": 64,
    "recipe.epochs": 2,
}
"""The model of GLAMI-1M's authors, after their code. The data set `glami1m:paper` adds their third modality."""
BASE = {
    "image_encoder": "open_clip:ViT-B-16-SigLIP2/webli",
    "text_encoder": "hf:intfloat/multilingual-e5-base?length=64",
    "text_tuning.frozen": True,
    "width": 512,
    "recipe.batch_size": 256,
}


def build(config: EmbraceNetConfig, context: ModelContext) -> EmbraceNet:
    """Build an untrained EmbraceNet."""
    from mmeval_embracenet.model import EmbraceNet

    return EmbraceNet(config, context)


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the model with mmeval."""
    register(
        ModelSpec(
            name="embracenet",
            summary="docking layers, then one modality drawn per sample and feature; robust to missing modalities",
            config=EmbraceNetConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="EmbraceNet: A robust deep learning architecture for multimodal classification, arXiv 1904.09078",
            licence="Apache-2.0; the weights of efficientnet-lite0 are Apache-2.0",
            presets={
                # Chosen by cross-validation on train + validation of emoji14: see README.md.
                "tiny": {},
                "paper": GLAMI,
                "base": BASE,
            },
            references=("https://arxiv.org/abs/1904.09078", "https://arxiv.org/abs/2004.13918"),
            citation=CITATION,
        )
    )
