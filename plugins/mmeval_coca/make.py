"""The encoders that a config names, and where they are learned from nothing or come whole from another CoCa."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval import Tuning, UserError
from mmeval.nn import Encoder, ImageEncoder, TextEncoder, image_encoder, text_encoder
from mmeval_coca.config import CoCaConfig
from mmeval_coca.towers import WORDS, TextDecoder, ViT

if TYPE_CHECKING:
    from mmeval_coca.published import Published


def encoders(config: CoCaConfig, whole: Published | None = None) -> tuple[ImageEncoder, TextEncoder]:
    """Image and text encoder as the config names them; ``whole``: a published CoCa, of which they are to be filled.

    Raises:
        UserError: no such encoder, one that starts from nothing is to be frozen, or captioning has no words to predict.
        MissingExtraError: a package is not installed.
        MissingWeightsError: the weights of a named encoder can't be had.
    """
    image: ImageEncoder
    text: TextEncoder
    if config.image_encoder.startswith("vit:"):
        image = ViT(config.image_encoder, whole.read if whole else None)
        _learn(image, config.image_tuning, f"image encoder {config.image_encoder}", published=whole is not None)
    else:
        image = image_encoder(config.image_encoder, config.image_tuning, tokens=True)
    if config.text_encoder in WORDS:
        tokenizer = WORDS[config.text_encoder]()
        text = TextDecoder(config, tokenizer, whole.vocabulary if whole else tokenizer.vocabulary)
        _learn(text, config.text_tuning, f"text encoder {config.text_encoder}", published=whole is not None)
    else:
        text = text_encoder(config.text_encoder, config.text_tuning, tokens=True)
    if whole and whole.random:
        image.published = text.published = False
    if config.caption_weight and not isinstance(text, TextDecoder):
        raise UserError(
            f"coca: captioning predicts words, and the states of {config.text_encoder} have seen those to come; set "
            "caption_weight=0, or text_encoder to bytes or clip-bpe."
        )
    if config.caption_weight and text.frozen:
        raise UserError(
            "coca: captioning needs the words, which the cache of a frozen text encoder leaves out; set "
            "caption_weight=0 or text_tuning.frozen=false."
        )
    return image, text


def _learn(encoder: Encoder, tuning: Tuning, what: str, *, published: bool) -> None:
    """What ``mmeval.nn.image_encoder`` does for encoders of its own: learn as ``tuning`` says."""
    if tuning.lora_rank:
        raise UserError(f"coca: the {what} takes no adapters; leave lora_rank out.")
    if tuning.frozen and not published:
        raise UserError(f"coca: the {what} starts from nothing: frozen, it would say nothing.")
    if tuning.frozen_layers > len(encoder.blocks()):
        raise UserError(f"coca: the {what} has {len(encoder.blocks())} blocks, not {tuning.frozen_layers} to freeze.")
    encoder.tuning, encoder.published, encoder.keeps_tokens = tuning, published, True
    if tuning.frozen:
        encoder.freeze()
    else:
        encoder.freeze_blocks(tuning.frozen_layers)
        if tuning.checkpointing:
            encoder.enable_gradient_checkpointing()
    encoder.record_frozen_parameters()
