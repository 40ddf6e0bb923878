"""What is installed, told from metadata alone: no plugin is imported."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmeval.plugin import compat as api

GROUPS = {
    "model": "mmeval.models",
    "dataset": "mmeval.datasets",
    "metric": "mmeval.metrics",
    "command": "mmeval.commands",
}
RESTRICT = "MMEVAL_PLUGINS"


@dataclass(frozen=True)
class Listed:
    """One installed plugin, as its entry point and its module's docstring describe it."""

    name: str
    kind: str
    summary: str
    distribution: str
    version: str
    module: str
    status: str
    """`ok`, or what is wrong, in a few words."""


def entry_points(kind: str) -> Iterator[importlib.metadata.EntryPoint]:
    """The entry points of a kind, less those that ``MMEVAL_PLUGINS`` (comma-separated names) leaves out."""
    allowed = os.environ.get(RESTRICT)
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    for entry in importlib.metadata.entry_points(group=GROUPS[kind]):
        if names is None or entry.name in names:
            yield entry


def installed(*kinds: str) -> list[Listed]:
    """All plugins of the kinds, by kind and name."""
    found = [_describe(kind, entry) for kind in kinds or GROUPS for entry in entry_points(kind)]
    return sorted(found, key=lambda one: (one.kind, one.name))


def _describe(kind: str, entry: importlib.metadata.EntryPoint) -> Listed:
    dist = entry.dist
    name, version = (dist.name, dist.version) if dist else ("", "")
    try:
        module = entry.module
    except AttributeError:  # what importlib.metadata raises for a value that it can't parse
        return Listed(entry.name, kind, "", name, version, entry.value, f'broken: "{entry.value}" names no module')
    summary, status = _described(module)
    return Listed(entry.name, kind, summary, name, version, module, status)


def origin(entry: importlib.metadata.EntryPoint) -> str:
    """Distribution and version behind an entry point: whom to write to."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module


def stated_api(module: str) -> str | None:
    """The API version that a module states in its source; None if it states none, or can't be read."""
    path = _source(module)
    return stated_api_of(path) if path else None


def stated_api_of(path: Path) -> str | None:
    """As :func:`stated_api`, of a file."""
    try:
        return api.declared(_parsed(path))
    except (OSError, SyntaxError, ValueError):
        return None


def _described(module: str) -> tuple[str, str]:
    """First line of a module's docstring, read from its source, and whether the module can be used."""
    path = _source(module)
    if path is None:
        return "", f'broken: no module "{module}"'
    try:
        tree = _parsed(path)
    except (OSError, SyntaxError, ValueError) as error:
        return "", f"broken: {type(error).__name__} in {path.name}"
    lines = (ast.get_docstring(tree) or "").splitlines()
    return (lines[0] if lines else ""), api.complaint(api.declared(tree)) or "ok"


def _parsed(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        # Of careless escapes, which are its author's affair.
        warnings.simplefilter("ignore")
        return ast.parse(path.read_bytes())


def _source(module: str) -> Path | None:
    # Only the top package is looked up: finding a submodule would import its parents.
    top, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    folders = [Path(folder) for folder in found.submodule_search_locations or ()]
    candidates = [Path(found.origin)] if found.origin else []
    for part in rest:
        candidates = [path for folder in folders for path in (folder / part / "__init__.py", folder / f"{part}.py")]
        folders = [folder / part for folder in folders]
    return next((path for path in candidates if path.is_file()), None)
