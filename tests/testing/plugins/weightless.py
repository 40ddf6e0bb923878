"""Presets without their weights: one small enough for a training step, one too large."""

from __future__ import annotations

import sound

MMEVAL_API = "1.0"

SMALL = {"image_encoder": "timm:test_vit.r160_in1k"}
LARGE = {"text_encoder": "hf:FacebookAI/xlm-roberta-base"}

register_models = sound.offers(sound.Sound, presets={"tiny": {}, "small": SMALL, "large": LARGE})
