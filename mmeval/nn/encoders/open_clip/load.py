"""The two towers of the models of ``open_clip``: CLIP, SigLIP, CoCa, multilingual text towers."""

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
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.open_clip.image import OpenClipImage, image_tower
from mmeval.nn.encoders.open_clip.text import OpenClipText, text_tower
from mmeval.nn.encoders.weights import Source, fetching, why

HUB, FOLDER, CONFIG = "hf-hub:", "local-dir:", "open_clip_config.json"
PREPARED = ("mean", "std", "interpolation", "resize_mode")
"""What a tag says of how images were prepared; their size is the model's."""
LISTING = "python -c 'import open_clip; print(open_clip.list_models())'"


def image(named: Named, frozen: bool) -> ImageEncoder:  # noqa: ARG001 - made alike either way
    """The image tower of ``open_clip:MODEL/TAG``, with the options ``space`` and ``weights``.

    Raises:
        UserError: no such model, weights or option, weights that don't fit the model, or a way to resize images
            that isn't ours.
        MissingWeightsError: the weights could not be had.
        MissingExtraError: the package isn't installed.
    """
    found = _spec(named)
    half = _half(found, "visual")
    made = image_tower(named.full, half.module, half.width, found.hidden)
    _sign(made, half, found)
    return made


def text(named: Named, frozen: bool) -> TextEncoder:  # noqa: ARG001 - made alike either way
    """The text tower of the same, with the same options and errors."""
    open_clip, found = _library(named), _spec(named)
    half = _half(found, "text")
    if standing_in := _stand_in(found):
        made = text_tower(named.full, half.module, standing_in, half.width, found.hidden)
        made.input = replace(made.input, tokenizer=type(standing_in.tokenizer).__name__)
    else:
        with fetching(found.source), _hushed():
            tokenizer = open_clip.get_tokenizer(found.model)
        made = text_tower(named.full, half.module, tokenizer, half.width, found.hidden)
    _sign(made, half, found)
    return made


@dataclass(frozen=True)
class _Spec:
    model: str
    """As ``open_clip.create_model`` takes it."""
    tag: str | None
    hidden: bool
    source: Source


@dataclass(frozen=True)
class _Half:
    module: nn.Module
    width: int
    """Of the joint space."""
    scale: float
    bias: float | None
    architecture: str
    """Its configuration, as JSON."""


_waiting: dict[tuple[str, str | None, str], _Half] = {}
"""The other half of the published model that was read last, so that its encoder needn't read it again."""


def _sign(made: OpenClipImage | OpenClipText, half: _Half, found: _Spec) -> None:
    made.logit_scale, made.logit_bias, made.architecture = half.scale, half.bias, half.architecture
    made.published = found.source.published


def _spec(named: Named) -> _Spec:
    """What a name means.

    Raises:
        UserError: as in :func:`image`.
    """
    named.only("space", "weights")
    hidden = named.choice("space", "joint", "hidden") == "hidden"
    random = named.choice("weights", "pretrained", "random") == "random"
    rest = named.rest
    if not rest:
        raise UserError(f'"{named.full}": write open_clip:MODEL/TAG.')
    if rest.startswith(HUB):
        return _Spec(rest, None, hidden, Source(named.full, rest.removeprefix(HUB), None, False, random))
    folder = Path(rest.removeprefix(FOLDER)).expanduser()
    if named.kind == "local" or rest.startswith(FOLDER) or (folder / CONFIG).is_file():
        if not (folder / CONFIG).is_file():
            raise UserError(f'"{named.full}": there is no {CONFIG} in {folder}.')
        return _Spec(f"{FOLDER}{folder}", None, hidden, Source(named.full, str(folder), None, True, random))
    model, _, tag = rest.partition("/")
    _check(named, model, tag)
    return _Spec(model, tag or None, hidden, Source(named.full, model, None, False, random or not tag))


def _check(named: Named, model: str, tag: str) -> None:
    """Refuse a model or weights that don't exist, and weights that were trained with the other activation."""
    open_clip = _library(named)
    if model not in open_clip.list_models():
        raise UnknownNameError("model of open_clip", model, open_clip.list_models(), LISTING)
    if not tag:
        return
    trained = open_clip.get_pretrained_cfg(model, tag)
    if not trained:
        tags = open_clip.list_pretrained_tags_by_model(model)
        has = f"it has {', '.join(tags)}" if tags else "it has none"
        raise UserError(f'"{named.full}": {model} has no weights named "{tag}"; {has}.')
    quick, quicker = (bool(cfg.get("quick_gelu")) for cfg in (trained, open_clip.get_model_config(model)))
    other = model.removesuffix("-quickgelu") + ("-quickgelu" if quick else "")
    # open_clip only warns, and the embeddings are quietly worse.
    if quick != quicker and other != model and open_clip.get_pretrained_cfg(other, tag):
        theirs, its = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
        raise UserError(
            f'"{named.full}": these weights were trained with {theirs}, and {model} has {its}; '
            f"write open_clip:{other}/{tag}."
        )


def _half(found: _Spec, tower: str) -> _Half:
    """One tower alone, so that no encoder holds or learns what it doesn't use."""
    waited = _waiting.pop((found.model, found.tag, tower), None)
    _waiting.clear()
    if waited and found.source.published:
        return waited
    open_clip = _library(found.source)
    with fetching(found.source), _hushed(), torch.random.fork_rng(devices=[], enabled=not found.source.random):
        try:
            config = open_clip.get_model_config(found.model)
            with tempfile.TemporaryDirectory() as folder:
                model = open_clip.create_model(
                    found.model,
                    None if found.source.random else found.tag,  # it would fetch the weights even if they aren't loaded
                    load_weights=not found.source.random,
                    require_pretrained=not found.source.random,
                    pretrained_text=False,  # the checkpoint holds both towers
                    force_custom_text=True,  # the text tower as a module of its own
                    device=torch.get_default_device(),  # the meta device, where a model is only counted
                    **(_without_hub(found, config, Path(folder)) if found.source.random else {}),
                )
        except (RuntimeError, ValueError, KeyError) as error:
            raise MissingWeightsError(found.source.name, _why(error, found.source)) from error
    bias, scale = pretrained.scaling(model)
    architecture = json.dumps(config, sort_keys=True)
    halves = {
        name: _Half(getattr(model, name), config["embed_dim"], scale, bias, architecture) for name in ("visual", "text")
    }
    if found.source.published:
        (other,) = halves.keys() - {tower}
        _waiting[found.model, found.tag, other] = halves[other]
    return halves[tower]


def _without_hub(found: _Spec, config: Any, folder: Path) -> dict[str, Any]:  # noqa: ANN401 - open_clip's
    """Arguments that spare ``create_model`` the Hub: the text tower's config, and how the tag's images were read."""
    changed: dict[str, Any] = {}
    if found.tag:
        published = _library(found.source).get_pretrained_cfg(found.model, found.tag)
        changed["force_preprocess_cfg"] = {key: published[key] for key in PREPARED if published.get(key) is not None}
    text = (config or {}).get("text_cfg", {})
    if architecture := TRANSFORMERS.get(text.get("hf_model_name", "")):
        architecture.config().save_pretrained(folder)
        changed["text_cfg"] = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    return changed


def _stand_in(found: _Spec) -> Any:  # noqa: ANN401 - open_clip's tokenizer
    """A stand-in for the tokenizer of a model of random weights whose own is on the Hub; None where it is shipped."""
    open_clip = _library(found.source)
    text = (open_clip.get_model_config(found.model) or {}).get("text_cfg", {})
    words, size = TOKENIZERS.get(text.get("hf_tokenizer_name", ""), (None, 0))
    if not found.source.random or found.source.local or words is None:
        return None
    with fetching(found.source), _hushed(), tempfile.TemporaryDirectory() as folder:
        made = open_clip.tokenizer.HFTokenizer(
            str(stand_in.written(Path(folder), words, size)),
            context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            **text.get("tokenizer_kwargs", {}),
        )
    made.tokenizer = stand_in.tokenizer(words, size)
    return made


def _why(error: Exception, found: Source) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, client_errors()):
        cause = cause.__cause__ or cause.__context__
    return why(error, found) if cause or found.local else f"open_clip can't read them ({str(error).splitlines()[0]})."


def _library(of: Named | Source) -> Any:  # noqa: ANN401 - a module
    try:
        import open_clip
    except ImportError:
        name = of.full if isinstance(of, Named) else of.name
        raise MissingExtraError(f"The encoder {name}", "open-clip-torch", "models") from None
    return open_clip


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """open_clip logs by the root logger, which would then stay set up to print on the terminal."""
    root, silent = logging.getLogger(), logging.NullHandler()
    before = root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)
