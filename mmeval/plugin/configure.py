"""Building a config from a preset and the changes that a user types after ``--set``."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from mmeval.api.config import Config, defaults, error_key, lowered, options
from mmeval.errors import PluginError, UserError

C = TypeVar("C", bound=Config)


def configure(kind: type[C], plugin: str, preset: Mapping[str, Any], changes: Sequence[str] = ()) -> C:
    """Return the config of a preset with ``key=value`` changes, in the form of ``--set``.

    Args:
        kind: the plugin's config class.
        plugin: the plugin's name, for messages.
        preset: option values by dotted name.
        changes: ``"width=256"``, ``"recipe.epochs=3"``; lists and mappings as JSON.

    Raises:
        UserError: a change names an unknown option, has an invalid value, or lacks ``=``.
        PluginError: the preset sets an invalid value.
    """
    show = f"`mmeval plugins show {plugin}` lists the options."
    values: dict[str, Any] = {option.name: option.default for option in options(defaults(kind))}
    names, changed = list(values), set()
    values |= preset
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UserError(f"--set {change}: write it as key=value, e.g. --set {names[0]}=... {show}")
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            guess = f' Did you mean "{near[0]}"?' if near else ""
            raise UserError(f'--set {change}: {plugin} has no option "{key}".{guess} {show}')
        values[key] = _value(value)
        changed.add(key)
    try:
        return kind.model_validate(_nested(values))
    except ValidationError as error:
        first = error.errors()[0]
        key, value = error_key(first), "none" if first["input"] is None else first["input"]
        if changed and (key in changed or key not in preset):
            raise UserError(f"--set {key}={value}: {lowered(first['msg'])}. {show}") from None
        raise PluginError(
            f"A preset of {plugin} sets {key}={value}: {lowered(first['msg'])}; tell its authors."
        ) from None


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a change: JSON for lists and mappings, None for ``none``, else the string."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return None if text == "none" else text


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted name as nested dictionaries."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, leaf = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree
