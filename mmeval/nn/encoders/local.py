"""Encoders in a folder: what a library wrote there says which of them reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mmeval.errors import UserError
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders.name import Named

READS = {"st": "sentence_transformer", "hf": "", "open_clip": "open_clip_towers", "timm": "timm_image"}
"""Values of the option ``as``, and the module that reads such a folder; of ``hf`` there is one per modality."""


def image(named: Named, frozen: bool) -> ImageEncoder:
    """``local:PATH`` of a folder of transformers, timm, open_clip or sentence-transformers."""
    made: ImageEncoder = _maker(named, "image")(_inner(named), frozen)
    return made


def text(named: Named, frozen: bool) -> TextEncoder:
    """``local:PATH`` of a folder of transformers, open_clip or sentence-transformers."""
    made: TextEncoder = _maker(named, "text")(_inner(named), frozen)
    return made


def _maker(named: Named, what: str) -> Callable[[Named, bool], Any]:
    reader = _reader(named)
    maker: Callable[[Named, bool], Any] | None = getattr(
        import_module(f"mmeval.nn.encoders.{READS[reader] or f'hf_{what}'}"), what, None
    )
    if maker is None:
        raise UserError(f'"{named.full}": the folder holds a model of {reader}, which has no {what} encoder.')
    return maker


def _inner(named: Named) -> Named:
    return replace(named, options={key: value for key, value in named.options.items() if key != "as"})


def _reader(named: Named) -> str:
    """Which library's folder it is. That of sentence-transformers often holds one of transformers, which says less."""
    if not named.rest:
        raise UserError(f'"{named.full}": write local:PATH.')
    folder = Path(named.rest).expanduser()
    if not folder.is_dir():
        raise UserError(f'"{named.full}": there is no folder {folder}.')
    if "as" in named.options:
        return named.choice("as", *READS)
    if (folder / "modules.json").is_file():
        return "st"
    config = _json(folder / "config.json")
    if "model_type" in config:
        return "hf"
    if "architecture" in config:
        return "timm"
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    raise UserError(
        f'"{named.full}": the folder holds no model: there is neither modules.json, nor a config.json of transformers '
        "or timm, nor open_clip_config.json."
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
