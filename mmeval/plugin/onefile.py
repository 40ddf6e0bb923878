"""A plugin that is a single Python file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from mmeval.errors import PluginError
from mmeval.files import digest
from mmeval.plugin import compat as api
from mmeval.plugin.guard import guarded
from mmeval.plugin.listing import stated_api_of

PREFIX, SUFFIX = "mmeval_file_", ".py"


def is_file(name: str) -> bool:
    """Whether what a user typed, or a record holds, is the path of a Python file and not the name of a plugin."""
    return name.endswith(SUFFIX) or "/" in name or "\\" in name


class File(NamedTuple):
    """A loaded file."""

    module: ModuleType
    digest: str
    """Of its text, eight hex digits."""


def load(path: Path, option: str) -> File:
    """Import the file at ``path``; ``option`` is the command's, for messages.

    Raises:
        PluginError: no such file, not Python, made for another API, or it fails.
    """
    if not path.is_file():
        raise PluginError(f"{option} {path}: there is no such file.")
    name = f"{PREFIX}{path.stem}_{digest(str(path.resolve()))[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise PluginError(f"{option} {path}: not a Python file.")
    if complaint := api.complaint(stated_api_of(path)):
        raise PluginError(f"Plugin {path} {complaint}.")
    text = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    if known := _imported(path):
        return File(known, text)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    loader = found.loader
    guarded(str(path), lambda: loader.exec_module(module))
    return File(module, text)


def _imported(path: Path) -> ModuleType | None:
    """The module that the file is already, if somebody imported it by a name of its own.

    Two modules of one file would share its source in Python's books, and the second lose the docstrings of its options.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and not name.startswith(PREFIX) and Path(file).name == path.name and Path(file).samefile(path):
            return module
    return None
