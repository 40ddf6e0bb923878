"""Loading of ``open_clip`` models, whose two towers become separate encoders: CLIP, SigLIP, CoCa and others."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmeval.errors import MissingExtraError, MissingWeightsError, UnknownNameError, UserError
from mmeval.fetch.hub import client_errors
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import TOKENIZERS, TRANSFORMERS
from mmeval.nn.encoders.huggingface import pretrained
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.open_clip.image import OpenClipImage, image_tower
from mmeval.nn.encoders.open_clip.text import OpenClipText, text_tower
from mmeval.nn.encoders.weights import WeightsSource, failure_reason, fetching

HUB, FOLDER, CONFIG = "hf-hub:", "local-dir:", "open_clip_config.json"
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
"""Preprocessing that belongs to a tag; the image size belongs to the model."""
LISTING = "python -c 'import open_clip; print(open_clip.list_models())'"


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - built alike either way
    """Build the image tower of ``open_clip:MODEL/TAG``, with the options ``space`` and ``weights``.

    Raises:
        UserError: the model, its weights or an option do not exist, the weights do not fit the model, or its way to
            resize images is not supported.
        MissingWeightsError: the weights could not be loaded.
        MissingExtraError: the package is not installed.
    """
    spec = _parse(name)
    tower = _load_tower(spec, "visual")
    encoder = image_tower(name.full, tower.module, tower.width, spec.hidden)
    _set_facts(encoder, tower, spec)
    return encoder


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:  # noqa: ARG001 - built alike either way
    """Build the text tower of ``open_clip:MODEL/TAG``; options and errors are those of :func:`build_image`."""
    open_clip, spec = _library(name), _parse(name)
    tower = _load_tower(spec, "text")
    if substitute := _stand_in_tokenizer(spec):
        encoder = text_tower(name.full, tower.module, substitute, tower.width, spec.hidden)
        encoder.input = replace(encoder.input, tokenizer=type(substitute.tokenizer).__name__)
    else:
        with fetching(spec.source), _without_logging():
            tokenizer = open_clip.get_tokenizer(spec.model)
        encoder = text_tower(name.full, tower.module, tokenizer, tower.width, spec.hidden)
    _set_facts(encoder, tower, spec)
    return encoder


@dataclass(frozen=True)
class _Spec:
    """A parsed name."""

    model: str
    """The first argument of ``open_clip.create_model``."""
    tag: str | None
    hidden: bool
    """Whether encoders return the states before the projection."""
    source: WeightsSource


@dataclass(frozen=True)
class _Tower:
    """One tower of a model, and facts of the model."""

    module: nn.Module
    width: int
    """The width of the joint space."""
    scale: float
    bias: float | None
    architecture: str
    """The model's configuration as JSON."""


_other_tower: dict[tuple[str, str | None, str], _Tower] = {}
"""The unused tower of the published model that was loaded last, so that its encoder need not load the model again."""


def _set_facts(encoder: OpenClipImage | OpenClipText, tower: _Tower, spec: _Spec) -> None:
    encoder.logit_scale, encoder.logit_bias, encoder.architecture = tower.scale, tower.bias, tower.architecture
    encoder.published = spec.source.published


def _parse(name: EncoderName) -> _Spec:
    """Return the model, weights and options that a name describes.

    Raises:
        UserError: as in :func:`build_image`.
    """
    name.check_options("space", "weights")
    hidden = name.choice("space", "joint", "hidden") == "hidden"
    random, argument = name.has_random_weights, name.argument
    if not argument:
        raise UserError(f'"{name.full}": write open_clip:MODEL/TAG.')
    if argument.startswith(HUB):
        return _Spec(argument, None, hidden, WeightsSource(name.full, argument.removeprefix(HUB), None, False, random))
    folder = Path(argument.removeprefix(FOLDER)).expanduser()
    if name.kind == "local" or argument.startswith(FOLDER) or (folder / CONFIG).is_file():
        if not (folder / CONFIG).is_file():
            raise UserError(f'"{name.full}": there is no {CONFIG} in {folder}.')
        return _Spec(f"{FOLDER}{folder}", None, hidden, WeightsSource(name.full, str(folder), None, True, random))
    model, _, tag = argument.partition("/")
    _check_weights(name, model, tag)
    return _Spec(model, tag or None, hidden, WeightsSource(name.full, model, None, False, random or not tag))


def _check_weights(name: EncoderName, model: str, tag: str) -> None:
    """Check that model and weights exist, and that the weights were trained with the model's activation.

    Raises:
        UserError: the model or its weights do not exist, or the weights were trained with the other activation.
    """
    open_clip = _library(name)
    if model not in open_clip.list_models():
        raise UnknownNameError("model of open_clip", model, open_clip.list_models(), LISTING)
    if not tag:
        return
    weights_config = open_clip.get_pretrained_cfg(model, tag)
    if not weights_config:
        tags = open_clip.list_pretrained_tags_by_model(model)
        names = f"it has {', '.join(tags)}" if tags else "it has none"
        raise UserError(f'"{name.full}": {model} has no weights named "{tag}"; {names}.')
    trained_quick = bool(weights_config.get("quick_gelu"))
    model_quick = bool(open_clip.get_model_config(model).get("quick_gelu"))
    other = model.removesuffix("-quickgelu") + ("-quickgelu" if trained_quick else "")
    # open_clip only warns, and the embeddings are silently worse.
    if trained_quick != model_quick and other != model and open_clip.get_pretrained_cfg(other, tag):
        trained, own = ("QuickGELU", "GELU") if trained_quick else ("GELU", "QuickGELU")
        raise UserError(
            f'"{name.full}": these weights were trained with {trained}, and {model} has {own}; '
            f"write open_clip:{other}/{tag}."
        )


def _load_tower(spec: _Spec, tower: str) -> _Tower:
    """Return one tower (``visual`` or ``text``) of a model, so that an encoder holds no weights of the other."""
    loaded = _other_tower.pop((spec.model, spec.tag, tower), None)
    _other_tower.clear()
    if loaded and spec.source.published:
        return loaded
    open_clip = _library(spec.source)
    with fetching(spec.source), _without_logging(), torch.random.fork_rng(devices=[], enabled=not spec.source.random):
        try:
            config = open_clip.get_model_config(spec.model)
            with tempfile.TemporaryDirectory() as folder:
                model = open_clip.create_model(
                    spec.model,
                    None if spec.source.random else spec.tag,  # open_clip downloads even weights that it does not load
                    load_weights=not spec.source.random,
                    require_pretrained=not spec.source.random,
                    pretrained_text=False,  # the checkpoint holds both towers
                    force_custom_text=True,  # the text tower as a module of its own
                    device=torch.get_default_device(),  # the meta device, where only parameters are counted
                    **(_without_hub(spec, config, Path(folder)) if spec.source.random else {}),
                )
        except (RuntimeError, ValueError, KeyError) as error:
            raise MissingWeightsError(spec.source.name, _reason(error, spec.source)) from error
    bias, scale = pretrained.scaling(model)
    architecture = json.dumps(config, sort_keys=True)
    towers = {
        name: _Tower(getattr(model, name), config["embed_dim"], scale, bias, architecture)
        for name in ("visual", "text")
    }
    if spec.source.published:
        (other,) = towers.keys() - {tower}
        _other_tower[spec.model, spec.tag, other] = towers[other]
    return towers[tower]


def _without_hub(spec: _Spec, config: Any, folder: Path) -> dict[str, Any]:  # noqa: ANN401 - open_clip's
    """Return arguments by which ``create_model`` needs no Hub: the text tower's config, and the tag's preprocessing."""
    arguments: dict[str, Any] = {}
    if spec.tag:
        published = _library(spec.source).get_pretrained_cfg(spec.model, spec.tag)
        arguments["force_preprocess_cfg"] = {
            key: published[key] for key in PREPROCESSING if published.get(key) is not None
        }
    text = (config or {}).get("text_cfg", {})
    if architecture := TRANSFORMERS.get(text.get("hf_model_name", "")):
        architecture.config().save_pretrained(folder)
        arguments["text_cfg"] = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    return arguments


def _stand_in_tokenizer(spec: _Spec) -> Any:  # noqa: ANN401 - open_clip's tokenizer
    """Return a stand-in if the model has random weights and its tokenizer is on the Hub; else None."""
    open_clip = _library(spec.source)
    text = (open_clip.get_model_config(spec.model) or {}).get("text_cfg", {})
    words, size = TOKENIZERS.get(text.get("hf_tokenizer_name", ""), (None, 0))
    if not spec.source.random or spec.source.local or words is None:
        return None
    with fetching(spec.source), _without_logging(), tempfile.TemporaryDirectory() as folder:
        tokenizer = open_clip.tokenizer.HFTokenizer(
            str(stand_in.save_tokenizer(Path(folder), words, size)),
            context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            **text.get("tokenizer_kwargs", {}),
        )
    tokenizer.tokenizer = stand_in.tokenizer(words, size)
    return tokenizer


def _reason(error: Exception, source: WeightsSource) -> str:
    """Return why the weights can't be loaded: a reason of the Hub's client, or open_clip's own error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, client_errors()):
        cause = cause.__cause__ or cause.__context__
    if cause or source.local:
        return failure_reason(error, source)
    return f"open_clip can't read them ({str(error).splitlines()[0]})."


def _library(encoder: EncoderName | WeightsSource) -> Any:  # noqa: ANN401 - a module
    try:
        import open_clip
    except ImportError:
        name = encoder.full if isinstance(encoder, EncoderName) else encoder.name
        raise MissingExtraError(f"The encoder {name}", "open-clip-torch", "models") from None
    return open_clip


@contextlib.contextmanager
def _without_logging() -> Iterator[None]:
    """Suppress logs and warnings: open_clip logs by the root logger, which would go on printing to the terminal."""
    root, handler = logging.getLogger(), logging.NullHandler()
    before = root.manager.disable
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
