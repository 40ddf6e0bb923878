"""Perceiver IO: latents read image and text as one array of tokens of any kind (Jaegle et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_perceiver.config import PerceiverConfig

if TYPE_CHECKING:
    from mmeval_perceiver.model import Perceiver

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@misc{jaegle2021perceiverio,
  title = {{Perceiver IO}: A General Architecture for Structured Inputs \\& Outputs},
  author = {Jaegle, Andrew and others},
  eprint = {2107.14795},
  archiveprefix = {arXiv},
  year = {2021}
}"""
"""The paper as README.md names it, which gives its first author only."""


def build(config: PerceiverConfig, context: ModelContext) -> Perceiver:
    """Return an untrained Perceiver IO."""
    from mmeval_perceiver.model import Perceiver

    return Perceiver(config, context)


_AS_PUBLISHED = {
    "input_width": 0,
    "dropout": 0.0,
    "modality_dropout": 0.0,
    "heads": 8,
    "recipe.warmup_ratio": 0.05,
    "recipe.weight_decay": 0.1,
    "recipe.max_grad_norm": 10.0,
}


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register Perceiver IO."""
    register(
        ModelSpec(
            name="perceiver",
            summary="Perceiver IO: latents read pixels, bytes or tokens as one array; queries read the latents",
            config=PerceiverConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="Perceiver IO: A General Architecture for Structured Inputs & Outputs, arXiv 2107.14795",
            licence="Apache-2.0; weights of efficientnet-lite0 Apache-2.0, of multilingual-e5 MIT",
            presets={
                # The 48.4M ImageNet model on pixels; text as in the language model, 2048 bytes of width 768.
                "paper": {
                    **_AS_PUBLISHED,
                    "image_input": "pixels",
                    "text_input": "bytes",
                    "bands": 64,
                    "max_resolution": 224,
                    "latents": 512,
                    "latent_width": 1024,
                    "blocks": 8,
                    "layers": 6,
                    "cross_heads": 1,
                    "recipe.epochs": 110,
                    "recipe.patience": 20,
                    "recipe.batch_size": 16,
                    "recipe.gradient_accumulation_steps": 64,
                    "recipe.learning_rate": 5e-4,
                },
                "base": {
                    **_AS_PUBLISHED,
                    # Without SigLIP's pooling head: the Perceiver reads only tokens, so that the head would not learn.
                    "image_encoder": "timm:vit_base_patch16_siglip_gap_224.v2_webli",
                    "image_tuning.frozen": False,
                    "image_tuning.lr_multiplier": 0.1,
                    "text_encoder": "hf:intfloat/multilingual-e5-base",
                    "text_tuning.frozen": False,
                    "text_tuning.lr_multiplier": 0.1,
                    "dropout": 0.1,
                    "modality_dropout": 0.1,
                    "bands": 16,
                    "latents": 64,
                    "latent_width": 768,
                    "layers": 4,
                    "cross_heads": 8,
                    "recipe.epochs": 10,
                    "recipe.patience": 3,
                    "recipe.batch_size": 64,
                    "recipe.gradient_accumulation_steps": 2,
                    "recipe.learning_rate": 2e-4,
                    "recipe.max_grad_norm": 1.0,
                },
                # Sized for two CPU cores; see README.md.
                "tiny": {},
            },
            references=("https://arxiv.org/abs/2107.14795", "https://arxiv.org/abs/2103.03206"),
            citation=CITATION,
        )
    )
