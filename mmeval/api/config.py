"""Configs: typed, frozen groups of options with help texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mmeval.errors import SpecError

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A group of options; the docstring under a field is its help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


class ModelConfig(Config):
    """Base of the configs of model plugins."""


class Option(NamedTuple):
    """An option, as help shows it."""

    name: str
    """Dotted name: ``recipe.epochs``."""
    type: str
    default: Any
    help: str


def options(defaults: Config, prefix: str = "") -> Iterator[Option]:
    """Yield the options of a config, its own before those of nested groups.

    Args:
        defaults: the config, whose values are the defaults.
        prefix: start of the dotted names.
    """
    groups: list[tuple[str, Config]] = []
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
    """Return the config with default values.

    Raises:
        SpecError: a field has no default or an invalid one.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        key = error_key(first)
        problem = f"{kind.__name__}.{key} needs a valid default" if key else f"{kind.__name__} needs valid defaults"
        raise SpecError(f"{problem}: {lowered(first['msg'])}") from None


def error_key(error: ErrorDetails) -> str:
    """Return the dotted name of the option that a pydantic error concerns; empty if it concerns the whole config."""
    return ".".join(str(part) for part in error["loc"] if str(part).isidentifier())


def lowered(message: str) -> str:
    """Return a message with a lower-case first letter, for use after a colon."""
    return message[0].lower() + message[1:]
