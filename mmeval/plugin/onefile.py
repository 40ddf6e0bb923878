"""Plugins that are a single Python file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from mmeval.errors import PluginError
from mmeval.files import digest
from mmeval.plugin import compat
from mmeval.plugin.guard import guarded
from mmeval.plugin.listing import stated_api_of

PREFIX, SUFFIX = "mmeval_file_", ".py"


def is_file(name: str) -> bool:
    """Return whether a plugin's name, as typed or recorded, is the path of a Python file, or of one and a variant."""
    return any(part.endswith(SUFFIX) for part in name.split(":")) or "/" in name or "\\" in name


class OneFilePlugin(NamedTuple):
    """A loaded one-file plugin."""

    module: ModuleType
    digest: str
    """Digest of the file's text, eight hex digits."""


def load(path: Path, option: str) -> OneFilePlugin:
    """Import the file at ``path``; messages name the command-line ``option``.

    Raises:
        PluginError: the file does not exist, is not Python, needs another API version, or its import fails.
    """
    if not path.is_file():
        raise PluginError(f"{option} {path}: there is no such file.")
    name = f"{PREFIX}{path.stem}_{digest(str(path.resolve()))[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{option} {path}: not a Python file.")
    if reason := compat.incompatibility(stated_api_of(path)):
        raise PluginError(f"Plugin {path} {reason}.")
    text_digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    if known := _imported(path):
        return OneFilePlugin(known, text_digest)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader
    guarded(str(path), lambda: loader.exec_module(module))
    return OneFilePlugin(module, text_digest)


def _imported(path: Path) -> ModuleType | None:
    """Return the module of the file if it is imported already, under its own name; else None.

    If two modules have the same file, pydantic finds the docstrings of the options only for the first.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and not name.startswith(PREFIX) and Path(file).name == path.name and Path(file).samefile(path):
            return module
    return None
