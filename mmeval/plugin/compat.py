"""The version of what plugins import, and whether a plugin was made for it."""

from __future__ import annotations

import ast

from mmeval.version import API_VERSION

DECLARATION = "MMEVAL_API"
"""The constant by which a plugin's module states the version it was made for."""


def declared(tree: ast.Module) -> str | None:
    """The version that a module states, read from its source so that nothing is imported; None if it states none."""
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if any(isinstance(target, ast.Name) and target.id == DECLARATION for target in targets):
            # Not str(): 1.10 as a number is 1.1.
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return None


def complaint(stated: str | None) -> str | None:
    """Why a plugin made for API ``stated`` can't be used here; None if it can.

    The same major version, and a minor one that isn't newer. A plugin that states nothing is let in.
    """
    if stated is None:
        return None
    parts = stated.split(".")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        return f'states its API version wrongly: {DECLARATION} must be a text such as "{API_VERSION}"'
    made, core = tuple(map(int, parts)), tuple(map(int, API_VERSION.split(".")))
    where = f"was made for the plugin API {stated}, this mmeval has {API_VERSION}"
    if made > core:
        return f"{where}; upgrade mmeval-multilingual"
    return f"{where}; upgrade the plugin" if made[0] < core[0] else None
