"""Configs: typed, frozen groups of options, each with its help text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mmeval.errors import SpecError

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
        key = error_key(first)  # empty for a rule of the whole config
        needs = (
            f"{kind.__name__}.{key} needs a default that holds" if key else f"{kind.__name__} needs defaults that hold"
        )
        raise SpecError(f"{needs}: {lowered(first['msg'])}") from None


def error_key(error: ErrorDetails) -> str:
    """Return the dotted name of the option that an error of pydantic is about; empty for a rule of the whole config."""
    return ".".join(str(part) for part in error["loc"] if str(part).isidentifier())


def lowered(message: str) -> str:
    """Return a message with a small first letter, to stand after a colon."""
    return message[0].lower() + message[1:]
