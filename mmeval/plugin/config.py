"""Configuration of a model: typed, frozen, documented, and changed only by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mmeval.errors import PluginError, SpecError, UserError

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A group of options; a docstring under a field is its help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


class ModelConfig(Config):
    """Base of every model plugin's configuration."""


class Option(NamedTuple):
    """One option as help shows it."""

    name: str
    """Dotted: ``recipe.epochs``."""
    type: str
    default: Any
    help: str


def options(defaults: Config, prefix: str = "") -> Iterator[Option]:
    """Yield the options of a config, own ones before those of nested groups."""
    groups = []
    for name, field in type(defaults).model_fields.items():
        value = getattr(defaults, name)
        if isinstance(value, Config):
            groups.append((name, value))
            continue
        kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
        yield Option(prefix + name, kind.replace("typing.", ""), value, " ".join((field.description or "").split()))
    for name, value in groups:
        yield from options(value, f"{prefix}{name}.")


def defaults(kind: type[C]) -> C:
    """A config as it is when nothing is changed.

    Raises:
        SpecError: a field has no default, or one that its own rules refuse.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        key = _key(first)  # empty for a rule of the whole config
        needs = (
            f"{kind.__name__}.{key} needs a default that holds" if key else f"{kind.__name__} needs defaults that hold"
        )
        raise SpecError(f"{needs}: {_lower(first['msg'])}") from None


def configure(kind: type[C], plugin: str, preset: Mapping[str, Any], changes: Sequence[str] = ()) -> C:
    """Make a config from a preset and ``key=value`` changes, as ``--set`` takes them.

    Args:
        kind: the plugin's config class.
        plugin: the plugin's name, for messages.
        preset: option values by dotted name.
        changes: ``"width=256"``, ``"recipe.epochs=3"``; lists and mappings as JSON.

    Raises:
        UserError: an unknown option, a wrong type, a value out of range, or no ``=``.
        PluginError: the preset sets what the config refuses.
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
        key, value = _key(first), "none" if first["input"] is None else first["input"]
        if changed and (key in changed or key not in preset):
            raise UserError(f"--set {key}={value}: {_lower(first['msg'])}. {show}") from None
        raise PluginError(
            f"A preset of {plugin} sets {key}={value}: {_lower(first['msg'])}; tell its authors."
        ) from None


def _key(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"] if str(part).isidentifier())


def _lower(message: str) -> str:
    return message[0].lower() + message[1:]


def _value(text: str) -> Any:  # noqa: ANN401 - what JSON holds
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return None if text == "none" else text


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, leaf = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree
