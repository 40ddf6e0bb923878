"""Encoders from a local folder, loaded with the library that wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mmeval.errors import UserError
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders.name import EncoderName

LIBRARIES = {
    "st": {"image": "sentence_transformers.load", "text": "sentence_transformers.load"},
    "hf": {"image": "huggingface.image", "text": "huggingface.text"},
    "open_clip": {"image": "open_clip.load", "text": "open_clip.load"},
    "timm": {"image": "timm"},
}
"""Values of the option ``as``, and the module in ``encoders`` that loads each modality."""


def build_image(name: EncoderName, frozen: bool) -> ImageEncoder:
    """Build the image encoder of ``local:PATH``, a folder of transformers, timm, open_clip or sentence-transformers."""
    encoder: ImageEncoder = _builder(name, "image")(_without_library(name), frozen)
    return encoder


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:
    """Build the text encoder of ``local:PATH``, a folder of transformers, open_clip or sentence-transformers."""
    encoder: TextEncoder = _builder(name, "text")(_without_library(name), frozen)
    return encoder


def _builder(name: EncoderName, modality: str) -> Callable[[EncoderName, bool], Any]:
    library = _library(name)
    if modality not in LIBRARIES[library]:
        raise UserError(f'"{name.full}": the folder holds a model of {library}, which has no {modality} encoder.')
    module = import_module(f"mmeval.nn.encoders.{LIBRARIES[library][modality]}")
    builder: Callable[[EncoderName, bool], Any] = getattr(module, f"build_{modality}")
    return builder


def _without_library(name: EncoderName) -> EncoderName:
    return replace(name, options={key: value for key, value in name.options.items() if key != "as"})


def _library(name: EncoderName) -> str:
    """Return the key in ``LIBRARIES`` of the library that wrote the folder.

    A folder of sentence-transformers often is one of transformers too, but then lacks pooling and projection: it is
    recognised first.
    """
    if not name.argument:
        raise UserError(f'"{name.full}": write local:PATH.')
    folder = Path(name.argument).expanduser()
    if not folder.is_dir():
        raise UserError(f'"{name.full}": there is no folder {folder}.')
    if "as" in name.options:
        return name.choice("as", *LIBRARIES)
    if (folder / "modules.json").is_file():
        return "st"
    config = _read_json(folder / "config.json")
    if "model_type" in config:
        return "hf"
    if "architecture" in config:
        return "timm"
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    raise UserError(
        f'"{name.full}": the folder holds no model: there is neither modules.json, nor a config.json of transformers '
        "or timm, nor open_clip_config.json."
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
