"""The version of the plugin API, and whether a plugin is compatible with it."""

from __future__ import annotations

import ast

from mmeval.version import API_VERSION

DECLARATION = "MMEVAL_API"
"""Name of the constant with which a plugin's module states the API version it was written for."""


def declared_version(tree: ast.Module) -> str | None:
    """Return the API version that a module states, empty if it is not a string; None if the module states none.

    The version is read from the source, without an import.
    """
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if any(isinstance(target, ast.Name) and target.id == DECLARATION for target in targets):
            # Only a string is accepted: the number 1.10 equals 1.1.
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return None


def incompatibility(version: str | None) -> str | None:
    """Return why a plugin for API ``version`` can't be used; None if it can.

    A plugin is compatible if its major version is equal and its minor version is not newer. A plugin that states no
    version is accepted.
    """
    if version is None:
        return None
    parts = version.split(".")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        return f'states its API version wrongly: {DECLARATION} must be a string such as "{API_VERSION}"'
    required, available = tuple(map(int, parts)), tuple(map(int, API_VERSION.split(".")))
    mismatch = f"was made for the plugin API {version}, this mmeval has {API_VERSION}"
    if required > available:
        return f"{mismatch}; upgrade mmeval-multilingual"
    return f"{mismatch}; upgrade the plugin" if required[0] < available[0] else None
