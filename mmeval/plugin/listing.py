"""Listing the installed plugins from metadata, without importing any."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmeval.plugin import compat

GROUPS = {
    "model": "mmeval.models",
    "dataset": "mmeval.datasets",
    "metric": "mmeval.metrics",
    "command": "mmeval.commands",
}
RESTRICT = "MMEVAL_PLUGINS"


@dataclass(frozen=True)
class Listed:
    """An installed plugin, described by its entry point and its module's docstring."""

    name: str
    kind: str
    summary: str
    distribution: str
    version: str
    module: str
    status: str
    """`ok`, or in a few words why the plugin can't be used."""


def entry_points(kind: str) -> Iterator[importlib.metadata.EntryPoint]:
    """Yield the entry points of a kind; ``MMEVAL_PLUGINS`` (comma-separated names), if set, restricts them."""
    allowed = os.environ.get(RESTRICT)
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    for entry in importlib.metadata.entry_points(group=GROUPS[kind]):
        if names is None or entry.name in names:
            yield entry


def installed(*kinds: str) -> list[Listed]:
    """Return the installed plugins of the kinds, by default all, sorted by kind and name."""
    plugins = [_describe(kind, entry) for kind in kinds or GROUPS for entry in entry_points(kind)]
    return sorted(plugins, key=lambda plugin: (plugin.kind, plugin.name))


def _describe(kind: str, entry: importlib.metadata.EntryPoint) -> Listed:
    dist = entry.dist
    name, version = (dist.name, dist.version) if dist else ("", "")
    try:
        module = entry.module
    except AttributeError:  # importlib.metadata raises it for an invalid value
        return Listed(entry.name, kind, "", name, version, entry.value, f'broken: "{entry.value}" names no module')
    summary, status = _summary_and_status(module)
    return Listed(entry.name, kind, summary, name, version, module, status)


def origin(entry: importlib.metadata.EntryPoint) -> str:
    """Return distribution and version of an entry point, else its module."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.module


def stated_api(module: str) -> str | None:
    """Return the API version that a module states in its source; None if it states none or can't be read."""
    path = _source(module)
    return stated_api_of(path) if path else None


def stated_api_of(path: Path) -> str | None:
    """Return the API version that a Python file states; None if it states none or can't be read."""
    try:
        return compat.declared_version(_parsed(path))
    except (OSError, SyntaxError, ValueError):
        return None


def _summary_and_status(module: str) -> tuple[str, str]:
    """Return the first line of a module's docstring, read from its source, and its status."""
    path = _source(module)
    if path is None:
        return "", f'broken: no module "{module}"'
    try:
        tree = _parsed(path)
    except (OSError, SyntaxError, ValueError) as error:
        return "", f"broken: {type(error).__name__} in {path.name}"
    lines = (ast.get_docstring(tree) or "").splitlines()
    return (lines[0] if lines else ""), compat.incompatibility(compat.declared_version(tree)) or "ok"


def _parsed(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        # Invalid escapes in the plugin's source are no concern of the user.
        warnings.simplefilter("ignore")
        return ast.parse(path.read_bytes())


def _source(module: str) -> Path | None:
    """Return the file of a module, without importing it; None if there is none."""
    # find_spec would import the parents of a submodule, so it looks up only the top package.
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    candidates = [Path(spec.origin)] if spec.origin else []
    for part in rest:
        candidates = [path for folder in folders for path in (folder / part / "__init__.py", folder / f"{part}.py")]
        folders = [folder / part for folder in folders]
    return next((path for path in candidates if path.is_file()), None)
