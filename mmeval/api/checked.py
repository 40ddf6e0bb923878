"""Specs whose mistakes are one sentence: a field that is missing, unknown or of the wrong kind."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from typing import Any, TypeVar

from mmeval.errors import SpecError

S = TypeVar("S")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def checked(cls: type[S]) -> type[S]:
    """Class decorator, above ``@dataclass``: wrong arguments raise a :class:`SpecError` instead of a TypeError."""
    made: Any = vars(cls)["__init__"]
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    none = dataclasses.MISSING
    required = [name for name, f in fields.items() if f.default is none and f.default_factory is none]

    @functools.wraps(made)
    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: ANN401, N807 - any spec's fields
        if len(values) > len(fields):
            raise SpecError(f"{cls.__name__} has {len(fields)} fields, it was given {len(values)}")
        placed = dict(zip(fields, values, strict=False))
        given = placed | named
        if twice := [name for name in named if name in placed]:
            raise SpecError(f"{_called(cls, given)} was given {twice[0]} twice")
        # Before what is missing: a misspelt field is both, and its right name helps more.
        if unknown := [name for name in named if name not in fields]:
            near = difflib.get_close_matches(unknown[0], fields, n=1)
            raise SpecError(
                f'{_called(cls, given)} has no field "{unknown[0]}"' + (f'; did you mean "{near[0]}"?' if near else "")
            )
        if missing := [name for name in required if name not in given]:
            raise SpecError(f"{_called(cls, given)} lacks {', '.join(missing)}")
        made(self, **given)

    setattr(cls, "__init__", __init__)  # noqa: B010 - a type checker minds the assignment
    return cls


def require(spec: object, holds: bool, complaint: str) -> None:
    """Raise a :class:`SpecError` about ``spec`` unless ``holds``."""
    if not holds:
        raise SpecError(f"{_called(type(spec), vars(spec))}: {complaint}")


def require_texts(spec: object, *fields: str) -> None:
    """Each of the fields must be a text that isn't empty."""
    for field in fields:
        value = getattr(spec, field)
        ok = isinstance(value, str) and bool(value.strip())
        require(spec, ok, f"{field} must be a text that says something, it is {value!r}")


def require_name(spec: object) -> None:
    """The field ``name`` is what people type: letters, digits, dots, dashes."""
    name = getattr(spec, "name", None)
    ok = isinstance(name, str) and bool(_NAME.fullmatch(name)) and not name.endswith(".py")
    require(spec, ok, f"name must be letters, digits, dots, dashes and underscores, it is {name!r}")


def require_callable(spec: object, field: str) -> None:
    """The field must be a function."""
    require(spec, callable(getattr(spec, field)), f"{field} must be a function, it is {getattr(spec, field)!r}")


def _called(cls: type, given: dict[str, Any]) -> str:
    name = " ".join(str(given.get("name") or "").split())
    return f'{cls.__name__} "{name}"' if name else cls.__name__
