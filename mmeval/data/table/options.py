"""What is what in somebody's table: typed on the command line, or kept in a ``dataset.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from mmeval.api.config import Config
from mmeval.errors import DataError, UserError
from mmeval.files import write_text

HUB = "hub:"
SEVERAL = ("text", "label", "slice", "metadata")
"""Roles that may have several columns."""


class Columns(Config):
    """Which column is what. None: nothing was said, so that names are guessed; empty: there is none."""

    image: str | None = None
    """The image: a path, an address whose file is on disk, or the bytes themselves."""
    text: tuple[str, ...] | None = None
    """Texts, joined by a blank."""
    language: str | None = None
    """ISO 639 code, with or without a country; names and country codes are corrected."""
    label: tuple[str, ...] | None = None
    """Class names; each column is a task."""
    id: str | None = None
    """What rows of one product share. It need not be unique."""
    split: str | None = None
    """train, validation or test."""
    group: str | None = None
    """What else rows share that must stand in one split."""
    slice: tuple[str, ...] | None = None
    """Columns by which scores are also given."""
    metadata: tuple[str, ...] | None = None
    """Columns that are kept to be looked at."""

    @field_validator(*SEVERAL, mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) and value else () if value == "" else value

    def said(self) -> dict[str, tuple[str, ...]]:
        """The columns by role, of the roles that were named."""
        named = {role: getattr(self, role) for role in type(self).model_fields}
        return {
            role: columns if isinstance(columns, tuple) else (columns,) for role, columns in named.items() if columns
        }

    def __str__(self) -> str:
        """As typed after ``--columns``."""
        return ",".join(f"{role}={'+'.join(columns)}" for role, columns in self.said().items())


class TableOptions(Config):
    """A table as a data set; the fields of a ``dataset.toml``."""

    source: str = Field(min_length=1)
    """A file, a folder of them, or ``hub:owner/name`` (also ``hub:owner/name/FOLDER``, or a file in it).

    A relative path starts at the ``dataset.toml``.
    """
    name: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")
    """What a user types after ``--dataset``; empty: made of the source's."""
    summary: str = ""
    """One line."""
    licence: str = "unknown"
    """Licence of the data."""
    language: str = ""
    """The language of every row, where no column says it."""
    encoding: str = ""
    """Of a CSV, TSV or JSON Lines file, as Python names it (``cp1250``); empty: UTF-8."""
    images: str = ""
    """The folder that images' paths start from; empty: that of the table."""
    revision: str = ""
    """Commit, tag or branch of a Hub data set."""
    columns: Columns = Columns()
    """Which column is what."""

    @property
    def is_hub(self) -> bool:
        """Whether the table is a data set on the Hub."""
        return self.source.startswith(HUB)

    @property
    def called(self) -> str:
        """Its name, or one made of the file's or folder's."""
        stem = self.source.removeprefix(HUB) if self.is_hub else Path(self.source).resolve().name.split(".")[0]
        return self.name or name_of(stem)


def name_of(stem: str) -> str:
    """A name for a table, made of that of its file."""
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "table"
    return f"{made}-table" if made.endswith((".py", ".toml")) else made


def parse_columns(text: str) -> Columns:
    """Read what stands after ``--columns``: ``image=photo,text=title+description,label=category``.

    Raises:
        UserError: not written so, or a role that there isn't.
    """
    named: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        role, equals, names = part.partition("=")
        role = role.strip()
        if not equals or role not in Columns.model_fields:
            raise UserError(
                f'--columns: "{part}" should be ROLE=COLUMN, with a ROLE of {", ".join(Columns.model_fields)}.'
            )
        if role in named:
            raise UserError(f"--columns names {role} twice; write {role}=ONE+OTHER if both are meant.")
        columns = tuple(filter(None, (one.strip() for one in names.split("+"))))
        if len(columns) > 1 and role not in SEVERAL:
            raise UserError(f"--columns: {role} is one column, not {len(columns)}.")
        named[role] = columns if role in SEVERAL else "".join(columns)
    return Columns(**named)


def read_options(path: Path) -> TableOptions:
    """Read a ``dataset.toml``; its paths come back absolute.

    Raises:
        DataError: not there, no TOML, or with a field that there isn't.
    """
    try:
        found = TableOptions(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} can't be read as TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        has = ", ".join(Columns.model_fields if where.startswith("columns.") else TableOptions.model_fields)
        said = f"there is no such field; there are {has}" if first["type"] == "extra_forbidden" else first["msg"]
        raise DataError(f"{path}: {where}: {said}.") from None
    base = path.parent.resolve()
    source = found.source if found.is_hub else str(base / Path(found.source).expanduser())
    images = str(base / Path(found.images).expanduser()) if found.images else ""
    name = found.name or name_of(path.stem if path.stem != "dataset" else base.name)
    return found.model_copy(update={"source": source, "images": images, "name": name})


def write_options(path: Path, options: TableOptions) -> None:
    """Write a ``dataset.toml`` that :func:`read_options` reads."""
    values = options.model_dump(mode="json", exclude={"columns"})
    if not options.is_hub:
        values["source"] = _from(path, options.source)
    if options.images:
        values["images"] = _from(path, options.images)
    lines = ["# A data set of mmeval: `mmeval data show FILE`, `mmeval run --dataset FILE`."]
    lines += [f"{name} = {_toml(value)}" for name, value in values.items() if value]
    lines += ["", "[columns]"]
    for role, value in options.columns.model_dump(mode="json").items():
        lines += [f"{role} = {_toml(value)}"] if value is not None else []
    write_text(path, "\n".join(lines) + "\n")


def _from(file: Path, place: str) -> str:
    """A path as it is written in ``file``: relative if it lies beside or below it, so that both can be moved."""
    base, resolved = file.parent.resolve(), Path(place).resolve()
    return str(resolved.relative_to(base)) if resolved.is_relative_to(base) else str(resolved)


def _toml(value: Any) -> str:  # noqa: ANN401 - a text or a list of texts
    # A JSON text is a basic string of TOML, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
